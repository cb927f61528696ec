import MQTTCodec
import NIOCore

/// What a client has heard: how many packets of each type, and the identifiers of those that want an answer. Once there
/// is room for as many as come, hearing allocates nothing, so that what is counted is the broker's.
struct PacketTally {
    private var counts = InlineArray<16, Int>(repeating: 0)
    /// Of PUBLISH, PUBREC and PUBREL, in their order.
    private(set) var packetIDs: [UInt16] = []

    init(expecting messages: Int) { packetIDs.reserveCapacity(messages) }

    subscript(type: PacketType) -> Int { counts[Int(type.rawValue)] }

    /// Takes whole packets out of `buffer`.
    mutating func hear(_ buffer: inout ByteBuffer) {
        while let packet = PacketGlance.next(in: &buffer) {
            counts[Int(packet.type.rawValue)] += 1
            switch packet.type {
            case .publish, .pubRec, .pubRel: packetIDs.append(packet.packetID)
            default: break
            }
        }
    }

    mutating func forgetIDs() { packetIDs.removeAll(keepingCapacity: true) }

    mutating func forgetAll() {
        counts = InlineArray(repeating: 0)
        forgetIDs()
    }
}

/// What a broker sends, read without an allocation: type and packet identifier of each packet.
private struct PacketGlance {
    let type: PacketType
    let packetID: UInt16

    /// - Returns: nil when the rest is no whole packet.
    static func next(in buffer: inout ByteBuffer) -> PacketGlance? {
        let start = buffer.readerIndex
        guard let first: UInt8 = buffer.getInteger(at: start), let type = PacketType(rawValue: first >> 4) else {
            return nil
        }
        var length = 0
        var index = start + 1
        var shift = 0
        while true {
            guard let byte: UInt8 = buffer.getInteger(at: index), shift < 28 else { return nil }
            length |= Int(byte & 0x7F) << shift
            shift += 7
            index += 1
            if byte & 0x80 == 0 { break }
        }
        guard index + length <= buffer.writerIndex else { return nil }
        var packetID: UInt16 = 0
        if type == .publish {
            let topicBytes: UInt16 = buffer.getInteger(at: index) ?? 0
            if first & 0x06 != 0 { packetID = buffer.getInteger(at: index + 2 + Int(topicBytes)) ?? 0 }
        } else if length >= 2 {
            packetID = buffer.getInteger(at: index) ?? 0
        }
        buffer.moveReaderIndex(to: index + length)
        return PacketGlance(type: type, packetID: packetID)
    }
}
