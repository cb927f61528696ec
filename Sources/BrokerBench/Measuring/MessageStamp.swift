package import NIOCore

/// What the first bytes of a payload say about it, so that whoever receives it can tell loss, duplicates, disorder and
/// delay. Behind the stamp stand letters; the last byte of a longer payload is a check of its own, so that a payload
/// that was cut or mixed up is seen.
///
/// Numbers are big-endian:
///
///     0    run         4 bytes
///     4    publisher   4 bytes, the first of them 0: no text has that there
///     8    check       2 bytes, of all other fields
///     10   sequence    6 bytes
///     16   intended    8 bytes
package struct MessageStamp: Sendable, Equatable {
    /// Bytes of the stamp, and so of the smallest payload.
    package static let bytes = 24

    private static let publisherOffset = 4
    private static let sequenceOffset = 8
    private static let intendedOffset = 16
    private static let publisherMax: UInt32 = 0xFF_FFFF
    private static let checkShift: UInt64 = 48
    private static let sequenceMask = (UInt64(1) << checkShift) - 1
    /// Part of the check, so that a payload of zeros has none.
    private static let magic: UInt64 = 0x6472_6177_6272_6467

    /// A run of the load generator; its upper half is the boot of the machine, whose clock `intended` is of.
    package var run: UInt32
    /// Below 2^24.
    package var publisher: UInt32
    /// From 0 on, for each publisher; below 2^48.
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
        let checked = UInt64(bigEndian: payload.loadUnaligned(fromByteOffset: Self.sequenceOffset, as: UInt64.self))
        sequence = checked & Self.sequenceMask
        intended = UInt64(bigEndian: payload.loadUnaligned(fromByteOffset: Self.intendedOffset, as: UInt64.self))
        guard publisher <= Self.publisherMax, checked == checkedSequence else { return nil }
        if count > Self.bytes, payload[count - 1] != lastByte { return nil }
    }

    /// The check and the sequence, as they stand side by side.
    private var checkedSequence: UInt64 {
        let fields = Self.magic ^ UInt64(run) << 32 ^ UInt64(publisher) ^ sequence &* 31 ^ intended
        // The highest bits of the product depend on every bit of the fields.
        let check = (fields &* 0x9E37_79B9_7F4A_7C15) >> Self.checkShift
        return check << Self.checkShift | sequence & Self.sequenceMask
    }

    private var lastByte: UInt8 { UInt8(truncatingIfNeeded: UInt64(publisher) &* 7 &+ sequence &* 31 &+ 1) }

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
        payload.storeBytes(of: checkedSequence.bigEndian, toByteOffset: Self.sequenceOffset, as: UInt64.self)
        payload.storeBytes(of: intended.bigEndian, toByteOffset: Self.intendedOffset, as: UInt64.self)
        if payload.count > Self.bytes { payload[payload.count - 1] = lastByte }
    }
}
