package import NIOCore

/// What the first bytes of a payload say about it, so that whoever receives it can tell loss, duplicates, disorder and
/// delay. Behind the stamp stand letters; the last byte of a longer payload is a check of its own, so that a payload
/// that was cut or mixed up is seen.
package struct MessageStamp: Sendable, Equatable {
    /// Bytes of the stamp, and so of the smallest payload.
    package static let bytes = 24

    private static let publisherOffset = 4
    private static let sequenceOffset = 8
    private static let intendedOffset = 16

    /// A run of the load generator; its upper half is the boot of the machine, whose clock `intended` is of.
    package var run: UInt32
    package var publisher: UInt32
    /// From 0 on, for each publisher.
    package var sequence: UInt64
    /// When the message should have been sent, by the machine's monotonic clock, in nanoseconds.
    package var intended: UInt64

    package init(run: UInt32, publisher: UInt32, sequence: UInt64, intended: UInt64) {
        self.run = run
        self.publisher = publisher
        self.sequence = sequence
        self.intended = intended
    }

    /// Nil when the payload is no message of a load generator: too short, or its check does not match.
    package init?(of payload: ByteBuffer) {
        let stamp = payload.withUnsafeReadableBytes { MessageStamp(of: $0) }
        guard let stamp else { return nil }
        self = stamp
    }

    /// The same for bytes in memory.
    ///
    /// - Complexity: O(1), no allocation.
    package init?(of payload: UnsafeRawBufferPointer) {
        let count = payload.count
        guard count >= Self.bytes else { return nil }
        run = UInt32(bigEndian: payload.loadUnaligned(as: UInt32.self))
        publisher = UInt32(bigEndian: payload.loadUnaligned(fromByteOffset: Self.publisherOffset, as: UInt32.self))
        sequence = UInt64(bigEndian: payload.loadUnaligned(fromByteOffset: Self.sequenceOffset, as: UInt64.self))
        intended = UInt64(bigEndian: payload.loadUnaligned(fromByteOffset: Self.intendedOffset, as: UInt64.self))
        if count > Self.bytes, payload[count - 1] != check { return nil }
    }

    private var check: UInt8 { UInt8(truncatingIfNeeded: UInt64(publisher) &* 7 &+ sequence &* 31 &+ 1) }

    /// A payload of `size` bytes with this stamp.
    ///
    /// - Parameter size: at least `MessageStamp.bytes`.
    package func payload(size: Int) -> ByteBuffer {
        var payload = ByteBuffer()
        payload.reserveCapacity(Swift.max(size, Self.bytes))
        payload.writeInteger(run)
        payload.writeInteger(publisher)
        payload.writeInteger(sequence)
        payload.writeInteger(intended)
        for index in Swift.min(size, Self.bytes)..<size {
            payload.writeInteger(UInt8(truncatingIfNeeded: Int(UInt8(ascii: "a")) + index % 26))
        }
        payload.withUnsafeMutableReadableBytes { rewrite(in: $0) }
        return payload
    }

    /// Writes what changes from message to message over a payload of the same run and publisher.
    ///
    /// - Complexity: O(1), no allocation.
    package func rewrite(in payload: UnsafeMutableRawBufferPointer) {
        payload.storeBytes(of: sequence.bigEndian, toByteOffset: Self.sequenceOffset, as: UInt64.self)
        payload.storeBytes(of: intended.bigEndian, toByteOffset: Self.intendedOffset, as: UInt64.self)
        if payload.count > Self.bytes { payload[payload.count - 1] = check }
    }
}
