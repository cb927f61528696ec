package import NIOCore

/// How much a connection reads at once: twice as much when a read filled its buffer, half when two in a row left half of
/// theirs empty.
///
/// A small buffer stays with its connection, so that no message allocates one. A large one is taken for one read: who was
/// busy once holds no memory, and whoever reads next reads into bytes that the processor's caches still hold.
package struct ReadBuffers: RecvByteBufferAllocator {
    /// Bytes of the next one, a power of two.
    private var size: UInt32 = 512
    private var wasHalfEmpty = false

    private static let least: UInt32 = 64
    /// More than the 64 KB that many clients write at once, whose headers would cost a read of their own.
    package static let most: UInt32 = 128 << 10
    /// The largest that stays with a connection.
    package static let keptMost: UInt32 = 16 << 10

    package init() {}

    package func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: Int(size)) }

    /// Nil when it is not to be one that was kept.
    package func nextBufferSize() -> Int? { size <= Self.keptMost ? Int(size) : nil }

    /// - Returns: true, or a kept buffer would be used where none of its size may be kept.
    package mutating func record(actualReadBytes count: Int) -> Bool {
        if count >= size {
            size = min(size * 2, Self.most)
            wasHalfEmpty = false
        } else if count > size / 2 {
            wasHalfEmpty = false
        } else {
            if wasHalfEmpty { size = max(size / 2, Self.least) }
            wasHalfEmpty.toggle()
        }
        return true
    }
}
