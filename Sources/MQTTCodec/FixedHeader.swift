import NIOCore

/// The first two to five bytes of every packet: type, flags and remaining length (§2.1).
struct FixedHeader {
    var type: PacketType
    /// The lower half of the first byte.
    var flags: UInt8
    var remainingLength: Int
    /// Bytes of the header itself.
    var length: Int

    /// Bytes of the whole packet.
    var packetSize: Int { length + remainingLength }

    /// Whether the remaining length takes its shortest form, which version 5 demands [5:MQTT-1.5.5-1].
    var isShortest: Bool { length == 1 + variableByteIntegerSize(remainingLength) }

    /// The remaining length that stands behind the first byte; nil when bytes are missing.
    static func remainingLength(in buffer: ByteBuffer) throws(DecodeError) -> (value: Int, length: Int)? {
        var value = 0
        for position in 0..<4 {
            guard let byte = buffer.getInteger(at: buffer.readerIndex + 1 + position, as: UInt8.self) else {
                return nil
            }
            value |= Int(byte & 0x7F) << (7 * position)
            if byte & 0x80 == 0 { return (value, position + 1) }
        }
        throw DecodeError(
            reason: .malformedPacket,
            statement: "[5:§1.5.5]",
            explanation: "remaining length longer than four bytes",
            offset: 4
        )
    }
}

/// Bytes that a Variable Byte Integer takes (§1.5.5, §2.2.3 of 3.1.1).
func variableByteIntegerSize(_ value: Int) -> Int {
    switch value {
    case ..<128: 1
    case ..<16_384: 2
    case ..<2_097_152: 3
    default: 4
    }
}
