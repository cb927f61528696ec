package import NIOCore

/// Packets to bytes: the exact size first, then the bytes.
///
/// Fields that a version does not have are not written. A packet that cannot exist is not written at all, and its
/// size is 0: AUTH and a server's DISCONNECT in version 3, a CONNACK whose reason has no return code there
/// [311:MQTT-3.2.2-6], and whatever does not fit its length fields. A DISCONNECT with a reason is a server's one as
/// far as version 3 is concerned, since clients of version 3 only ever disconnect normally.
package enum PacketEncoder {
    /// Appends `packet` to `buffer`; false, and nothing appended, when it cannot exist in `version`.
    ///
    /// CONNECT is written in its own version, whatever `version` says.
    @discardableResult
    package static func write(_ packet: Packet, version: ProtocolVersion, into buffer: inout ByteBuffer) -> Bool {
        if case .publish(let publish) = packet, publish.properties.isEmpty || version != .v5 {
            return PlainPublish.write(
                topic: publish.topic,
                payload: publish.payload,
                to: &buffer,
                version: version,
                firstByte: firstByte(of: packet),
                packetID: publish.qos == .atMostOnce ? nil : publish.packetID,
                mark: publish.mark
            )
        }
        if let (type, packetID) = plainAck(packet) {
            writeAck(type, packetID: packetID, version: version, into: &buffer)
            return true
        }
        guard let remainingLength = remainingLength(of: packet, version: version) else { return false }
        buffer.reserveCapacity(minimumWritableBytes: 1 + variableByteIntegerSize(remainingLength) + remainingLength)
        // The writer holds the only reference meanwhile, so that nothing is copied.
        var writer = BufferWriter(buffer: buffer)
        buffer = ByteBuffer()
        writer.byte(firstByte(of: packet))
        writer.variableByteInteger(remainingLength)
        writer.body(of: packet, version: version)
        buffer = writer.buffer
        return true
    }

    /// Bytes that `write` appends.
    package static func size(of packet: Packet, version: ProtocolVersion) -> Int {
        guard let remainingLength = remainingLength(of: packet, version: version) else { return 0 }
        return 1 + variableByteIntegerSize(remainingLength) + remainingLength
    }

    /// The four acknowledgements of a PUBLISH; the raw value is the first byte, reserved flags included.
    package enum AckType: UInt8, Sendable, Hashable, CaseIterable {
        case pubAck = 0x40
        case pubRec = 0x50
        case pubRel = 0x62
        case pubComp = 0x70
    }

    /// Appends an acknowledgement without properties, in its shortest form.
    ///
    /// - Complexity: O(1), no allocation beyond growth of `buffer`.
    package static func writeAck(
        _ type: AckType,
        packetID: UInt16,
        reason: ReasonCode = .success,
        version: ProtocolVersion,
        into buffer: inout ByteBuffer
    ) {
        if version == .v5 && reason != .success {
            buffer.writeInteger(UInt32(type.rawValue) << 24 | 3 << 16 | UInt32(packetID))
            buffer.writeInteger(reason.rawValue)
        } else {
            buffer.writeInteger(UInt32(type.rawValue) << 24 | 2 << 16 | UInt32(packetID))
        }
    }

    /// Acknowledgements that say nothing but their identifier, which nearly all do.
    private static func plainAck(_ packet: Packet) -> (AckType, UInt16)? {
        let (type, ack): (AckType, PublishAck)
        switch packet {
        case .pubAck(let of): (type, ack) = (.pubAck, of)
        case .pubRec(let of): (type, ack) = (.pubRec, of)
        case .pubRel(let of): (type, ack) = (.pubRel, of)
        case .pubComp(let of): (type, ack) = (.pubComp, of)
        default: return nil
        }
        return ack.reason == .success && ack.properties.isEmpty ? (type, ack.packetID) : nil
    }

    private static func remainingLength(of packet: Packet, version: ProtocolVersion) -> Int? {
        switch packet {
        case .auth where version != .v5: return nil
        case .disconnect(let disconnect) where version != .v5 && disconnect.reason != .success: return nil
        case .connAck(let connAck) where version != .v5 && connAck.reason.connectReturnCode == nil: return nil
        default: break
        }
        var counter = SizeCounter()
        counter.body(of: packet, version: version)
        return counter.isRepresentable ? counter.count : nil
    }

    private static func firstByte(of packet: Packet) -> UInt8 {
        if case .publish(let publish) = packet {
            return PublishFlags.firstByte(
                qos: publish.qos,
                isRetained: publish.isRetained,
                isDuplicate: publish.isDuplicate
            )
        }
        // [5:MQTT-2.1.3-1] [311:MQTT-2.2.2-1]
        return packet.type.rawValue << 4 | packet.type.reservedFlags
    }
}

extension WireSink {
    /// All behind the fixed header.
    mutating func body(of packet: Packet, version: ProtocolVersion) {
        switch packet {
        case .connect(let connect): self.connect(connect)
        case .connAck(let connAck):
            self.connAck(connAck, returnCode: connAck.reason.connectReturnCode ?? 0, version: version)
        case .publish(let publish): self.publish(publish, version: version)
        case .pubAck(let ack), .pubRec(let ack), .pubRel(let ack), .pubComp(let ack):
            publishAck(ack, version: version)
        case .subscribe(let subscribe): self.subscribe(subscribe, version: version)
        case .subAck(let subAck): self.subAck(subAck, version: version)
        case .unsubscribe(let unsubscribe): self.unsubscribe(unsubscribe, version: version)
        case .unsubAck(let unsubAck): self.unsubAck(unsubAck, version: version)
        case .pingReq, .pingResp: break
        case .disconnect(let disconnect): self.disconnect(disconnect, version: version)
        case .auth(let auth): self.auth(auth)
        }
    }
}
