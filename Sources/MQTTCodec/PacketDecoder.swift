package import NIOCore

/// Bytes of one connection to packets.
///
/// Whatever can be judged from the first bytes of a packet is judged before the rest has arrived: type, direction,
/// flags and size. A peer that is wrong once is wrong for good; `next` then throws the same error again.
package struct PacketDecoder: Sendable {
    /// Which side we are.
    package enum Role: Sendable, Hashable {
        /// Decodes what clients send.
        case server
        /// Decodes what a server sends.
        case client
    }

    package let role: Role
    package let limits: CodecLimits

    /// What the peer speaks. In the role of a server it is nil until the protocol level of CONNECT has been read and
    /// is one of ours, and it is set even when the rest of that CONNECT is wrong: it says how to answer.
    package private(set) var version: ProtocolVersion?

    private var failure: DecodeError?
    /// The topic of the PUBLISH before, which most publishers repeat: equal bytes need no second look.
    private(set) var lastTopic: MQTTString = ""

    /// - Parameters:
    ///   - version: in the role of a client, what we spoke in CONNECT (5.0 unless told). A server that passes one
    ///     starts behind CONNECT.
    package init(role: Role, version: ProtocolVersion? = nil, limits: CodecLimits = CodecLimits()) {
        self.role = role
        self.limits = limits
        self.version = role == .client ? version ?? .v5 : version
    }

    /// Takes the next packet off the front of `buffer`; nil when it has not arrived whole.
    ///
    /// Payloads and binary data are slices of `buffer`: whoever keeps them beyond the turn copies them.
    ///
    /// - Throws: what is wrong with the peer. The buffer then stands at the packet that is wrong.
    /// - Complexity: O(bytes of the packet). PUBLISH without properties allocates nothing when its topic is that of
    ///   the PUBLISH before or has up to 15 bytes.
    package mutating func next(from buffer: inout ByteBuffer) throws(DecodeError) -> Packet? {
        if let failure { throw failure }
        if let packet = plainPacket(from: &buffer) { return packet }
        do throws(DecodeError) {
            guard let header = try header(of: buffer), buffer.readableBytes >= header.packetSize else { return nil }
            let packet = try packet(header, in: buffer)
            // Within what is readable, as was just seen.
            buffer.moveReaderIndex(forwardBy: header.packetSize)
            return packet
        } catch {
            failure = error
            throw error
        }
    }

    /// How many bytes the packet at the front of `buffer` lacks; nil when that is not known yet, or it lacks none, or
    /// nothing that comes can make it right.
    package func missingBytes(of buffer: ByteBuffer) -> Int? {
        guard failure == nil else { return nil }
        do throws(DecodeError) {
            guard let header = try header(of: buffer), header.packetSize > buffer.readableBytes else { return nil }
            return header.packetSize - buffer.readableBytes
        } catch {
            return nil
        }
    }

    // MARK: Header

    /// The fixed header, when it is whole and its packet may be waited for.
    private func header(of buffer: ByteBuffer) throws(DecodeError) -> FixedHeader? {
        guard let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return nil }
        guard let type = PacketType(rawValue: first >> 4) else {
            throw fault(.malformedPacket, "[5:§2.1.2]", "[311:§2.2.1]", "reserved packet type")
        }
        try checkTurn(of: type)
        try checkFlags(first & 0x0F, of: type)
        guard let remaining = try FixedHeader.remainingLength(in: buffer) else { return nil }
        let header = FixedHeader(
            type: type,
            flags: first & 0x0F,
            remainingLength: remaining.value,
            length: 1 + remaining.length
        )
        try checkLength(header)
        return header
    }

    /// Whether the other side may send such a packet now.
    private func checkTurn(of type: PacketType) throws(DecodeError) {
        guard let version else {
            // [5:MQTT-3.1.0-1] [311:MQTT-3.1.0-1]
            if type != .connect {
                throw fault(.protocolError, "[5:MQTT-3.1.0-1]", "[5:MQTT-3.1.0-1]", "first packet is not CONNECT")
            }
            return
        }
        // [5:MQTT-3.1.0-2] [311:MQTT-3.1.0-2]
        if role == .server && type == .connect {
            throw fault(.protocolError, "[5:MQTT-3.1.0-2]", "[311:MQTT-3.1.0-2]", "second CONNECT")
        }
        let isExpected =
            switch role {
            case .server: type.isSentByClient(in: version)
            case .client: type.isSentByServer(in: version)
            }
        if !isExpected {
            throw fault(.protocolError, "[5:§2.1.2]", "[311:§2.2.1]", "packet type that this side never sends")
        }
    }

    private func checkFlags(_ flags: UInt8, of type: PacketType) throws(DecodeError) {
        if type == .publish { return try PublishFlags.validate(flags, version: version) }
        // 3.1 has DUP in all packets that it may have to repeat.
        let mayRepeat = version == .v3_1 && (type == .pubRel || type == .subscribe || type == .unsubscribe)
        let relevant = mayRepeat ? flags & ~PublishFlags.duplicate : flags
        if relevant == type.reservedFlags { return }
        // [5:MQTT-2.1.3-1] [311:MQTT-2.2.2-1] [311:MQTT-2.2.2-2], and once more for some types:
        switch type {
        case .pubRel: throw fault(.malformedPacket, "[5:MQTT-3.6.1-1]", "[311:MQTT-3.6.1-1]", "reserved flags")
        case .subscribe: throw fault(.malformedPacket, "[5:MQTT-3.8.1-1]", "[311:MQTT-3.8.1-1]", "reserved flags")
        case .unsubscribe: throw fault(.malformedPacket, "[5:MQTT-3.10.1-1]", "[311:MQTT-3.10.1-1]", "reserved flags")
        case .disconnect: throw fault(.malformedPacket, "[5:MQTT-3.14.1-1]", "[311:MQTT-3.14.1-1]", "reserved flags")
        case .auth: throw fault(.malformedPacket, "[5:MQTT-3.15.1-1]", "[5:MQTT-3.15.1-1]", "reserved flags")
        default: throw fault(.malformedPacket, "[5:MQTT-2.1.3-1]", "[311:MQTT-2.2.2-2]", "reserved flags")
        }
    }

    private func checkLength(_ header: FixedHeader) throws(DecodeError) {
        let limit = header.type == .connect ? limits.maximumConnectSize : limits.maximumPacketSize
        if header.packetSize > limit {
            throw fault(.packetTooLarge, "[5:MQTT-3.2.2-15]", "[311:§2.2.3]", "packet too large", at: 1)
        }
        if version == .v5 && !header.isShortest {
            throw fault(.malformedPacket, "[5:MQTT-1.5.5-1]", "[5:MQTT-1.5.5-1]", Self.notShortest, at: 1)
        }
        // PINGREQ and PINGRESP without a version cannot happen: CONNECT is first.
        if let only = header.type.fixedRemainingLength(in: version ?? .v5), header.remainingLength != only {
            throw fault(.malformedPacket, "[5:§2.1.4]", "[311:§2.2.3]", "wrong remaining length", at: 1)
        }
    }

    private static let notShortest = "remaining length not in its shortest form"

    // MARK: Body

    private mutating func packet(_ header: FixedHeader, in buffer: ByteBuffer) throws(DecodeError) -> Packet {
        var reader = PacketReader(buffer, header: header, version: version ?? .v5, role: role, limits: limits)
        switch header.type {
        case .publish:
            let publish = try reader.publish(lastTopic: lastTopic)
            if publish.topic != lastTopic, !publish.topic.isEmpty { lastTopic = publish.topic }
            return .publish(publish)
        case .pubAck: return .pubAck(try reader.publishAck(.pubAck))
        case .pubRec: return .pubRec(try reader.publishAck(.pubRec))
        case .pubRel: return .pubRel(try reader.publishAck(.pubRel))
        case .pubComp: return .pubComp(try reader.publishAck(.pubComp))
        case .pingReq: return .pingReq
        case .pingResp: return .pingResp
        case .connect: return .connect(try connect(header, &reader))
        case .connAck: return .connAck(try reader.connAck())
        case .subscribe: return .subscribe(try reader.subscribe())
        case .subAck: return .subAck(try reader.subAck())
        case .unsubscribe: return .unsubscribe(try reader.unsubscribe())
        case .unsubAck: return .unsubAck(try reader.unsubAck())
        case .disconnect: return .disconnect(try reader.disconnect())
        case .auth: return .auth(try reader.auth())
        }
    }

    private mutating func connect(_ header: FixedHeader, _ reader: inout PacketReader) throws(DecodeError) -> Connect {
        let (version, isBridge) = try reader.protocolVersion()
        self.version = version
        reader.version = version
        // Could not be judged before the version was known.
        if version == .v5 && !header.isShortest {
            throw fault(.malformedPacket, "[5:MQTT-1.5.5-1]", "[5:MQTT-1.5.5-1]", Self.notShortest, at: 1)
        }
        return try reader.connect(version: version, isBridge: isBridge)
    }

    private func fault(
        _ reason: ReasonCode,
        _ five: String,
        _ three: String,
        _ explanation: String,
        at offset: Int = 0
    ) -> DecodeError {
        let statement = version == nil || version == .v5 ? five : three
        return DecodeError(reason: reason, statement: statement, explanation: explanation, offset: offset)
    }
}
