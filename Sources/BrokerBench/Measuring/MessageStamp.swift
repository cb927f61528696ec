package import NIOCore

/// What the first bytes of a payload say about it, so that whoever receives it can tell loss, duplicates, disorder and
/// delay. Behind the stamp stand letters; the last byte of a longer payload is a check of its own, so that a payload
/// that was cut or mixed up is seen.
package struct MessageStamp: Sendable, Equatable {
    /// Bytes of the stamp, and so of the smallest payload.
    package static let bytes = 24

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
        let start = payload.readerIndex
        let count = payload.readableBytes
        guard count >= Self.bytes,
            let first: UInt64 = payload.getInteger(at: start),
            let sequence: UInt64 = payload.getInteger(at: start + Self.sequenceOffset),
            let intended: UInt64 = payload.getInteger(at: start + Self.intendedOffset)
        else { return nil }
        self.init(
            run: UInt32(truncatingIfNeeded: first >> 32),
            publisher: UInt32(truncatingIfNeeded: first),
            sequence: sequence,
            intended: intended
        )
        if count > Self.bytes {
            guard payload.getInteger(at: start + count - 1, as: UInt8.self) == check else { return nil }
        }
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
        rewrite(in: &payload, end: payload.writerIndex, size: size)
        return payload
    }

    /// Writes what changes from message to message over a payload of the same run and publisher.
    ///
    /// - Parameters:
    ///   - end: behind the payload's last byte.
    ///   - size: of the payload.
    /// - Complexity: O(1), no allocation when the buffer is not shared.
    package func rewrite(in buffer: inout ByteBuffer, end: Int, size: Int) {
        buffer.setInteger(sequence, at: end - size + Self.sequenceOffset)
        buffer.setInteger(intended, at: end - size + Self.intendedOffset)
        if size > Self.bytes { buffer.setInteger(check, at: end - 1) }
    }
}
