package import NIOCore

/// One application message for many receivers.
///
/// A PUBLISH has four layouts: version 3 or 5, with or without packet identifier. The first receiver is written
/// directly; for the others each layout is encoded once, to the first that asks for it, and every further receiver costs
/// one copy of those bytes, in which the first byte (QoS, RETAIN, DUP) and the packet identifier are set. Receivers with
/// subscription identifiers are written one by one, since their properties differ.
package struct PublishEncoder: ~Copyable, Sendable {
    package let topic: MQTTString
    package private(set) var payload: ByteBuffer
    /// Those of the message, without topic alias and subscription identifiers: these belong to one connection.
    package let properties: Properties

    /// Bytes of the properties of version 5, without their length.
    private let propertiesSize: Int
    /// False when topic, properties or payload do not fit a packet; nothing is ever written then.
    private let isRepresentable: Bool
    /// Those that were asked for, once there is a second receiver, one behind the other: kind, length, packet. An array of
    /// bytes is one block of memory for all of them, and one word here: most messages never have any, and every message
    /// is moved a few times.
    private var layouts: [UInt8] = []
    /// The first receiver is written directly: most messages have no second one.
    private var hasWritten = false

    /// - Parameters:
    ///   - properties: as they shall be sent; a message expiry is counted down before. A topic alias or
    ///   subscription identifiers of the publisher's connection are dropped [5:MQTT-3.3.2-7].
    ///   - topicAlias: of the receiver's connection, for a message that is written to it alone.
    package init(
        topic: MQTTString,
        payload: ByteBuffer,
        properties: Properties = Properties(),
        topicAlias: UInt16? = nil
    ) {
        self.topic = topic
        self.payload = payload
        if properties.isEmpty, topicAlias == nil {
            self.properties = properties
            self.propertiesSize = 0
            self.isRepresentable = Self.fits(topicBytes: topic.count, 2 + topic.count + payload.readableBytes)
            return
        }
        var properties = properties
        var size = SizeCounter()
        if !properties.isEmpty {
            var values = properties.values
            if values.topicAlias != nil || !values.subscriptionIdentifiers.isEmpty {
                values.topicAlias = nil
                values.subscriptionIdentifiers = []
                properties.values = values
            }
        }
        if topicAlias != nil { properties.topicAlias = topicAlias }
        if !properties.isEmpty { size.propertyFields(properties.values, of: .publish) }
        self.properties = properties
        self.propertiesSize = size.count
        size.string(topic)
        size.rest(payload)
        self.isRepresentable = size.isRepresentable && Self.fits(topicBytes: topic.count, size.count)
    }

    /// With room for the packet identifier, the length of the properties and subscription identifiers of receivers.
    private static func fits(topicBytes: Int, _ size: Int) -> Bool {
        topicBytes <= CodecLimits.fieldBytesMax && size < CodecLimits.variableByteIntegerMax - 65_536
    }

    /// Bytes of the packet that `append` writes with the same arguments; 0 when the message fits no packet.
    package func size(version: ProtocolVersion, qos: QoS, subscriptionIdentifiers: [UInt32] = []) -> Int {
        guard isRepresentable else { return 0 }
        let remaining = remainingLength(version: version, qos: qos, identifiersSize: Self.size(subscriptionIdentifiers))
        return 1 + variableByteIntegerSize(remaining) + remaining
    }

    private var sharesPayload: Bool { payload.readableBytes >= OutBytes.sharedBytesMin }

    /// Appends the PUBLISH for one receiver; false, and nothing appended, when the message fits no packet.
    ///
    /// - Parameters:
    ///   - packetID: 1...65535 for QoS 1 and 2; not looked at for QoS 0 [5:MQTT-2.2.1-2].
    ///   - subscriptionIdentifiers: of the subscriptions that this receiver matched with [5:MQTT-3.3.4-4]; not
    ///     written in version 3. At most 10,000 are written.
    /// - Complexity: O(packet), no allocation beyond growth of `out` once the layout is there; a large payload is not
    ///   copied.
    @discardableResult
    package mutating func append(
        to out: inout OutBytes,
        version: ProtocolVersion,
        qos: QoS,
        packetID: UInt16,
        isRetained: Bool,
        isDuplicate: Bool = false,
        subscriptionIdentifiers: [UInt32] = []
    ) -> Bool {
        guard isRepresentable else { return false }
        if sharesPayload || (version == .v5 && !subscriptionIdentifiers.isEmpty) {
            // Once for all of them.
            if sharesPayload { payload = payload.compact }
            return appendOnce(
                to: &out,
                version: version,
                qos: qos,
                packetID: packetID,
                isRetained: isRetained,
                isDuplicate: isDuplicate,
                subscriptionIdentifiers: subscriptionIdentifiers
            )
        }
        let firstByte = PublishFlags.firstByte(qos: qos, isRetained: isRetained, isDuplicate: isDuplicate)
        let packetID = qos == .atMostOnce ? nil : packetID
        if !hasWritten && (version != .v5 || properties.isEmpty) {
            hasWritten = true
            return PlainPublish.write(
                topic: topic,
                payload: payload,
                to: &out.rest,
                version: version,
                firstByte: firstByte,
                packetID: packetID
            )
        }
        let kind = UInt8(version == .v5 ? 2 : 0) | (packetID == nil ? 0 : 1)
        if let layout = layout(of: kind) {
            append(layout, to: &out.rest, firstByte: firstByte, packetID: packetID)
        } else {
            let start = out.rest.writerIndex
            write(to: &out.rest, version: version, firstByte: firstByte, packetID: packetID, [])
            keep(out.rest.viewBytes(at: start, length: out.rest.writerIndex - start), kind)
        }
        return true
    }

    /// Appends the PUBLISH for a message that has one receiver: no layout is kept, the bytes are written once, and those of
    /// a large payload not at all.
    ///
    /// The parameters mean what they mean in `init` and in the other `append`.
    @discardableResult
    package static func append(
        topic: MQTTString,
        payload: ByteBuffer,
        properties: Properties = Properties(),
        mark: LinkMark? = nil,
        to out: inout OutBytes,
        version: ProtocolVersion,
        qos: QoS,
        packetID: UInt16,
        isRetained: Bool,
        isDuplicate: Bool = false,
        subscriptionIdentifiers: [UInt32] = []
    ) -> Bool {
        if properties.isEmpty, version != .v5 || subscriptionIdentifiers.isEmpty,
            payload.readableBytes < OutBytes.sharedBytesMin
        {
            return PlainPublish.write(
                topic: topic,
                payload: payload,
                to: &out.rest,
                version: version,
                firstByte: PublishFlags.firstByte(qos: qos, isRetained: isRetained, isDuplicate: isDuplicate),
                packetID: qos == .atMostOnce ? nil : packetID,
                mark: mark
            )
        }
        return PublishEncoder(topic: topic, payload: payload, properties: properties.marked(mark)).appendOnce(
            to: &out,
            version: version,
            qos: qos,
            packetID: packetID,
            isRetained: isRetained,
            isDuplicate: isDuplicate,
            subscriptionIdentifiers: subscriptionIdentifiers
        )
    }

    /// As `append`, without keeping a layout for receivers that follow.
    package func appendOnce(
        to out: inout OutBytes,
        version: ProtocolVersion,
        qos: QoS,
        packetID: UInt16,
        isRetained: Bool,
        isDuplicate: Bool = false,
        subscriptionIdentifiers: [UInt32] = []
    ) -> Bool {
        guard isRepresentable else { return false }
        let firstByte = PublishFlags.firstByte(qos: qos, isRetained: isRetained, isDuplicate: isDuplicate)
        let packetID = qos == .atMostOnce ? nil : packetID
        guard sharesPayload else {
            write(to: &out.rest, version: version, firstByte: firstByte, packetID: packetID, subscriptionIdentifiers)
            return true
        }
        out.append(sharing: payload) { head in
            write(
                to: &head,
                version: version,
                firstByte: firstByte,
                packetID: packetID,
                subscriptionIdentifiers,
                writesPayload: false
            )
        }
        return true
    }

    // MARK: Layouts

    /// Bytes of kind and length.
    private static let layoutHeaderBytes = 5

    /// Where the packet of a layout stands; nil when nobody has asked for it.
    private func layout(of kind: UInt8) -> Range<Int>? {
        var index = 0
        while index < layouts.count {
            let length = layouts[index + 1..<index + Self.layoutHeaderBytes].reduce(0) { $0 << 8 | Int($1) }
            let start = index + Self.layoutHeaderBytes
            if layouts[index] == kind { return start..<start + length }
            index = start + length
        }
        return nil
    }

    /// Keeps the packet that one receiver got for those that follow.
    private mutating func keep(_ packet: ByteBufferView?, _ kind: UInt8) {
        guard let packet else { return }
        layouts.reserveCapacity(layouts.count + Self.layoutHeaderBytes + packet.count)
        layouts.append(kind)
        for shift in stride(from: 24, through: 0, by: -8) {
            layouts.append(UInt8(truncatingIfNeeded: packet.count >> shift))
        }
        layouts.append(contentsOf: packet)
    }

    /// Copies a layout and sets what differs between receivers.
    private func append(_ layout: Range<Int>, to out: inout ByteBuffer, firstByte: UInt8, packetID: UInt16?) {
        unsafe layouts.withUnsafeBytes { layouts in
            let source = unsafe UnsafeRawBufferPointer(rebasing: layouts[layout])
            _ = unsafe out.writeWithUnsafeMutableBytes(minimumWritableBytes: source.count) { target in
                unsafe target.copyMemory(from: source)
                unsafe target[0] = firstByte
                if let packetID {
                    // Behind the first byte, the remaining length and the topic with its length.
                    let offset = unsafe Self.remainingLengthBytes(source) + 1 + 2 + topic.count
                    unsafe target[offset] = UInt8(truncatingIfNeeded: packetID >> 8)
                    unsafe target[offset + 1] = UInt8(truncatingIfNeeded: packetID)
                }
                return source.count
            }
        }
    }

    private static func remainingLengthBytes(_ packet: UnsafeRawBufferPointer) -> Int {
        var count = 1
        while unsafe packet[count] & 0x80 != 0 { count += 1 }
        return count
    }

    // MARK: Writing

    private func write(
        to out: inout ByteBuffer,
        version: ProtocolVersion,
        firstByte: UInt8,
        packetID: UInt16?,
        _ subscriptionIdentifiers: [UInt32],
        writesPayload: Bool = true
    ) {
        let identifiersSize = version == .v5 ? Self.size(subscriptionIdentifiers) : 0
        let remaining = remainingLength(
            version: version,
            qos: packetID == nil ? .atMostOnce : .atLeastOnce,
            identifiersSize: identifiersSize
        )
        let left = writesPayload ? 0 : payload.readableBytes
        out.reserveCapacity(minimumWritableBytes: 1 + variableByteIntegerSize(remaining) + remaining - left)
        // The writer holds the only reference meanwhile, so that nothing is copied.
        var writer = BufferWriter(buffer: out)
        out = ByteBuffer()
        writer.byte(firstByte)
        writer.variableByteInteger(remaining)
        writer.string(topic)
        if let packetID { writer.twoByteInteger(packetID) }
        if version == .v5 {
            writer.variableByteInteger(propertiesSize + identifiersSize)
            if !properties.isEmpty { writer.propertyFields(properties.values, of: .publish) }
            for identifier in subscriptionIdentifiers.prefix(Self.subscriptionIdentifiersMax)
            where Self.isWritten(identifier) {
                writer.byte(PropertyID.subscriptionIdentifier.rawValue)
                writer.variableByteInteger(Int(identifier))
            }
        }
        if writesPayload { writer.rest(payload) }
        out = writer.buffer
    }

    private func remainingLength(version: ProtocolVersion, qos: QoS, identifiersSize: Int) -> Int {
        let withoutProperties = 2 + topic.count + (qos == .atMostOnce ? 0 : 2) + payload.readableBytes
        guard version == .v5 else { return withoutProperties }
        let section = propertiesSize + identifiersSize
        return withoutProperties + variableByteIntegerSize(section) + section
    }

    /// Keeps the packet within what `isRepresentable` left room for: 10,000 identifiers of five bytes.
    private static let subscriptionIdentifiersMax = 10_000

    /// Others than 1...268,435,455 do not exist (§3.8.2.1.2).
    private static func isWritten(_ identifier: UInt32) -> Bool {
        identifier > 0 && identifier <= CodecLimits.variableByteIntegerMax
    }

    private static func size(_ identifiers: [UInt32]) -> Int {
        var size = 0
        for identifier in identifiers.prefix(subscriptionIdentifiersMax) where isWritten(identifier) {
            size += 1 + variableByteIntegerSize(Int(identifier))
        }
        return size
    }
}
