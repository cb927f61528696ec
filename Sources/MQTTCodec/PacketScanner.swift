/// A quick look at packets that lie whole in memory, for whoever takes so many that the decoder's care would be most of
/// the work, and trusts the other side: a load generator, which knows its messages by their payloads.
///
/// It finds PUBLISH without looking at the topic, and acknowledgements in their shortest form. Everything else, right or
/// wrong, is left to `PacketDecoder`.
package struct PacketScanner: Sendable {
    package enum Seen: Sendable, Equatable {
        /// `payload` counts from the beginning of the bytes.
        case publish(qos: QoS, packetID: UInt16, payload: Range<Int>)
        case ack(PacketEncoder.AckType, packetID: UInt16)
        /// Something else, or not here as a whole: for the decoder.
        case unknown
    }

    private let version: ProtocolVersion

    package init(version: ProtocolVersion) { self.version = version }

    /// Takes the packet that begins at `offset`, and moves `offset` behind it unless it is unknown.
    ///
    /// - Complexity: O(1), no allocation.
    package func next(_ bytes: UnsafeRawBufferPointer, at offset: inout Int) -> Seen {
        guard bytes.count - offset >= 4 else { return .unknown }
        let first = unsafe bytes[offset]
        if first >> 4 == PacketType.publish.rawValue { return unsafe publish(first, bytes, at: &offset) }
        guard let type = PacketEncoder.AckType(rawValue: first), unsafe bytes[offset + 1] == 2 else { return .unknown }
        let id = unsafe UInt16(bytes[offset + 2]) << 8 | UInt16(bytes[offset + 3])
        guard id > 0 else { return .unknown }
        offset += 4
        return .ack(type, packetID: id)
    }

    private func publish(_ first: UInt8, _ bytes: UnsafeRawBufferPointer, at offset: inout Int) -> Seen {
        var position = offset + 1
        guard let qos = QoS(rawValue: first >> 1 & 3),
            let remaining = unsafe variableByteInteger(bytes, at: &position), remaining <= bytes.count - position
        else { return .unknown }
        let end = position + remaining
        guard let topicBytes = unsafe twoByteInteger(bytes, at: &position, end), topicBytes <= end - position else {
            return .unknown
        }
        position += Int(topicBytes)
        var id: UInt16 = 0
        if qos != .atMostOnce {
            guard let found = unsafe twoByteInteger(bytes, at: &position, end), found > 0 else { return .unknown }
            id = found
        }
        if version == .v5 {
            guard let length = unsafe variableByteInteger(bytes, at: &position), length <= end - position else {
                return .unknown
            }
            position += length
        }
        offset = end
        return .publish(qos: qos, packetID: id, payload: position..<end)
    }

    private func twoByteInteger(_ bytes: UnsafeRawBufferPointer, at position: inout Int, _ end: Int) -> UInt16? {
        guard end - position >= 2 else { return nil }
        let value = unsafe UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
        position += 2
        return value
    }

    private func variableByteInteger(_ bytes: UnsafeRawBufferPointer, at position: inout Int) -> Int? {
        var value = 0
        for shift in stride(from: 0, to: 28, by: 7) {
            guard position < bytes.count else { return nil }
            let byte = unsafe bytes[position]
            position += 1
            value |= Int(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
