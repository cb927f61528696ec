import NIOCore

extension ByteBuffer {
    /// Seven bits a byte, lowest first; the high bit says that more follow. Small numbers take one byte.
    mutating func writeVariable(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            writeInteger(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        writeInteger(UInt8(value))
    }

    /// Nil when the bytes end early or the number has more than 64 bits.
    mutating func readVariable() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = readInteger(as: UInt8.self) {
            guard shift < 63 || (shift == 63 && byte <= 1) else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }

    mutating func writeText(_ text: String) {
        writeVariable(UInt64(text.utf8.count))
        writeString(text)
    }

    mutating func readBytes() -> ByteBuffer? {
        guard let count = readVariable(), count <= UInt64(readableBytes) else { return nil }
        return readSlice(length: Int(count))
    }

    mutating func readText() -> String? {
        guard let bytes = readBytes() else { return nil }
        return String(decoding: bytes.readableBytesView, as: UTF8.self)
    }
}
