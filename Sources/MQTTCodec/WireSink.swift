import NIOCore

/// Where an encoder puts the fields of a packet. There are two: one counts, one writes. Every layout is described
/// once, in terms of these functions, so that the size is exact because it cannot be anything else.
protocol WireSink {
    mutating func byte(_ value: UInt8)
    mutating func twoByteInteger(_ value: UInt16)
    mutating func fourByteInteger(_ value: UInt32)
    mutating func variableByteInteger(_ value: Int)
    /// Two bytes of length and the text.
    mutating func string(_ value: MQTTString)
    /// Two bytes of length and the data.
    mutating func data(_ value: ByteBuffer)
    /// Bytes without a length.
    mutating func rest(_ value: ByteBuffer)
    /// Something does not fit its length field; the packet cannot exist.
    mutating func fieldTooLong()
}

/// Counts the bytes of a packet and notices what no packet can hold.
struct SizeCounter: WireSink {
    private(set) var count = 0
    /// False when a string or datum is longer than 65,535 bytes, or the whole longer than a remaining length says.
    private(set) var isRepresentable = true

    mutating func byte(_ value: UInt8) { add(1) }
    mutating func twoByteInteger(_ value: UInt16) { add(2) }
    mutating func fourByteInteger(_ value: UInt32) { add(4) }

    mutating func variableByteInteger(_ value: Int) {
        if value > CodecLimits.variableByteIntegerMax { isRepresentable = false }
        add(variableByteIntegerSize(value))
    }

    mutating func string(_ value: MQTTString) { addField(value.count) }
    mutating func data(_ value: ByteBuffer) { addField(value.readableBytes) }
    mutating func rest(_ value: ByteBuffer) { add(value.readableBytes) }
    mutating func fieldTooLong() { isRepresentable = false }

    private mutating func add(_ bytes: Int) {
        // Wrapping is out of reach: memory holds less than Int.max bytes.
        count &+= bytes
        if count > CodecLimits.variableByteIntegerMax { isRepresentable = false }
    }

    private mutating func addField(_ bytes: Int) {
        if bytes > CodecLimits.fieldBytesMax { isRepresentable = false }
        add(2 &+ bytes)
    }
}

/// Writes a packet that a `SizeCounter` found representable.
struct BufferWriter: WireSink {
    var buffer: ByteBuffer

    mutating func byte(_ value: UInt8) { buffer.writeInteger(value) }
    mutating func twoByteInteger(_ value: UInt16) { buffer.writeInteger(value) }
    mutating func fourByteInteger(_ value: UInt32) { buffer.writeInteger(value) }

    mutating func variableByteInteger(_ value: Int) {
        // [5:MQTT-1.5.5-1] ends with the last group of bits that is not zero: the shortest form.
        var rest = value
        while rest > 0x7F {
            buffer.writeInteger(UInt8(truncatingIfNeeded: rest & 0x7F | 0x80))
            rest >>= 7
        }
        buffer.writeInteger(UInt8(truncatingIfNeeded: rest))
    }

    mutating func string(_ value: MQTTString) {
        buffer.writeInteger(UInt16(truncatingIfNeeded: value.count))
        _ = unsafe value.withBytes { unsafe buffer.writeBytes($0) }
    }

    mutating func data(_ value: ByteBuffer) {
        buffer.writeInteger(UInt16(truncatingIfNeeded: value.readableBytes))
        buffer.writeImmutableBuffer(value)
    }

    mutating func rest(_ value: ByteBuffer) { buffer.writeImmutableBuffer(value) }
    mutating func fieldTooLong() {}
}
