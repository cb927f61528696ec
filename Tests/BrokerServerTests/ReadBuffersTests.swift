import BrokerServer
import NIOCore
import Testing

@Suite("What a connection reads into")
struct ReadBuffersTests {
    private static let most = Int(ReadBuffers.most)
    private static let keptMost = Int(ReadBuffers.keptMost)

    /// As a channel of NIO does it: one buffer is kept, and what a handler holds is never written again.
    private struct Channel {
        var pool = NIOPooledRecvBufferAllocator(capacity: 1, recvAllocator: ReadBuffers())

        /// - Returns: what a handler gets, and how much there was room for.
        mutating func read(_ waiting: Int) -> (bytes: ByteBuffer, room: Int) {
            let (bytes, room) = pool.buffer(allocator: ByteBufferAllocator()) { buffer in
                let room = buffer.writableBytes
                buffer.writeRepeatingByte(0x78, count: min(waiting, room))
                return room
            }
            pool.record(actualReadBytes: bytes.readableBytes)
            return (bytes, room)
        }
    }

    private func place(_ buffer: ByteBuffer) -> UnsafeRawPointer? {
        buffer.withUnsafeReadableBytes { $0.baseAddress }
    }

    @Test("grows to its most under load and shrinks behind it")
    func grows() {
        var channel = Channel()
        var rooms: [Int] = []
        for _ in 0..<10 { rooms.append(channel.read(1 << 20).room) }
        #expect(rooms.first == 512)
        #expect(zip(rooms, rooms.dropFirst()).allSatisfy { $1 == min($0 * 2, Self.most) })
        #expect(rooms.last == Self.most)
        for _ in 0..<40 { _ = channel.read(10) }
        // The largest that was kept stays, and no more.
        #expect(channel.read(10).room <= Self.keptMost)
    }

    @Test("what fills more than half keeps its size")
    func steady() {
        var channel = Channel()
        while channel.read(1 << 20).room < Self.most {}
        for _ in 0..<10 { #expect(channel.read(66_000).room == Self.most) }
    }

    @Test("a small buffer is used again, unless somebody holds it")
    func small() {
        var channel = Channel()
        let first = place(channel.read(100).bytes)
        let again = channel.read(100).bytes
        #expect(place(again) == first)
        let other = channel.read(100).bytes
        #expect(place(other) != place(again))
        #expect(again.readableBytes == 100)
    }

    @Test("a large buffer is held by whoever reads, and by nobody behind that")
    func large() {
        var channel = Channel()
        while channel.read(1 << 20).room < Self.most {}
        var bytes = channel.read(1 << 20).bytes
        let before = place(bytes)
        // Alone with it: room is made without a copy elsewhere.
        bytes.clear()
        bytes.writeRepeatingByte(0x79, count: 10)
        #expect(place(bytes) == before)
    }
}
