import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("What came over links")
struct StreamTests {
    private let stream = StreamID(node: 0xFFFF_FFFF_FFFF, receiver: 7)
    private let other = StreamID(node: 1, receiver: .max)

    private func id(_ number: Int) -> MessageID { MessageID(high: UInt64(number), low: .max - UInt64(number)) }

    /// All ids of a stream, in their order.
    private func ids(_ fixture: SpoolFixture, _ stream: StreamID) -> [MessageID] {
        fixture.contents.streams.filter { $0.0 == stream }.flatMap(\.1)
    }

    @Test("is there when the spool is opened again, stream by stream and in order")
    func kept() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.streamSeen(stream, id(1)), .streamSeen(other, id(2)), .streamSeen(stream, id(3)))
        try fixture.commit(.streamSeen(stream, id(4)))
        try fixture.reopen()
        #expect(ids(fixture, stream) == [id(1), id(3), id(4)])
        #expect(ids(fixture, other) == [id(2)])
        try fixture.commit(.streamSeen(stream, id(5)))
        try fixture.reopen()
        #expect(ids(fixture, stream) == [id(1), id(3), id(4), id(5)])
        #expect(fixture.contents.streams.last.map { $0.1 } == [id(5)], "what came last stands last")
    }

    @Test("keeps the last thousand messages of a stream and lets go of what is older")
    func bounded() throws {
        let fixture = try SpoolFixture()
        for batch in 0..<40 { try fixture.commit((0..<100).map { .streamSeen(stream, id(batch * 100 + $0)) }) }
        try fixture.commit(.streamSeen(other, id(1)))
        #expect(try fixture.sql("SELECT sum(length(ids)) / 16 FROM stream") == "1101")
        try fixture.reopen()
        #expect(ids(fixture, stream) == (2_900..<4_000).map(id))
        // The parts of an earlier run are known, so that they go as well.
        for batch in 40..<60 { try fixture.commit((0..<100).map { .streamSeen(stream, id(batch * 100 + $0)) }) }
        try fixture.reopen()
        #expect(ids(fixture, stream) == (4_900..<6_000).map(id))
        #expect(ids(fixture, other) == [id(1)])
    }

    @Test("forgets the streams that were silent for longest when there are more than a thousand")
    func tooMany() throws {
        let fixture = try SpoolFixture()
        for batch in 0..<3 {
            try fixture.commit(
                (0..<400).map { .streamSeen(StreamID(node: 9, receiver: UInt64(batch * 400 + $0)), id($0)) })
        }
        try fixture.reopen()
        #expect(Set(fixture.contents.streams.map(\.0.receiver)) == Set(176..<1_200))
        #expect(try fixture.sql("SELECT count(*) FROM stream") == "1024")
    }

    @Test("while it is open twice as many are kept, and rows of those that were silent for longest go with the batch")
    func tooManyWhileOpen() throws {
        let fixture = try SpoolFixture()
        func come(_ receivers: Range<Int>) throws {
            try fixture.commit(receivers.map { .streamSeen(StreamID(node: 9, receiver: UInt64($0)), id($0)) })
        }
        let standing = "SELECT count(DISTINCT receiver), min(receiver) FROM stream"
        try come(0..<2_000)
        #expect(try fixture.sql(standing) == "2000|0")
        // Of one batch, too.
        try come(2_000..<2_100)
        #expect(try fixture.sql(standing) == "2048|52")
        try come(2_100..<2_400)
        #expect(try fixture.sql(standing) == "2048|352")
        // Who was not silent stays.
        try come(352..<353)
        try come(2_400..<2_401)
        #expect(try fixture.sql(standing) == "2048|352")
        let oldest = "SELECT group_concat(receiver) FROM (SELECT * FROM stream WHERE receiver < 356 ORDER BY number)"
        #expect(try fixture.sql(oldest) == "352,354,355,352")
        try fixture.reopen()
        let kept = Set<UInt64>(1_378..<2_401).union([352])
        #expect(Set(fixture.contents.streams.map(\.0.receiver)) == kept)
        #expect(ids(fixture, StreamID(node: 9, receiver: 352)) == [id(352), id(352)])
    }

    @Test("one batch with more streams than are kept leaves as many as are")
    func tooManyAtOnce() throws {
        let fixture = try SpoolFixture()
        try fixture.commit((0..<2_100).map { .streamSeen(StreamID(node: 9, receiver: UInt64($0)), id($0)) })
        #expect(try fixture.sql("SELECT count(*), min(receiver) FROM stream") == "2048|52")
    }

    @Test("a message keeps the mark that it came with")
    func mark() throws {
        let fixture = try SpoolFixture()
        let mark = LinkMark(id: id(12), hops: 3)
        var properties = Properties()
        properties.contentType = "text/plain"
        let message = Message(
            id: id(1), topic: "a/b", payload: ByteBuffer(string: "x"), qos: .exactlyOnce, isRetained: false,
            properties: properties, expiry: nil, mark: mark)
        try fixture.commit(
            .session(alice),
            .message(message, deliveries: [Delivery(receiver: alice, qos: .exactlyOnce)]),
            .retain(message)
        )
        try fixture.reopen()
        let entry = try #require(try fixture.page(alice).entries.first)
        #expect(entry.message.mark == mark)
        #expect(entry.message.properties == properties)
        #expect(fixture.contents.retained.first?.mark == mark)
    }

    @Test("a file of schema 3 opens, and so does what was salvaged of it")
    func migration() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message("kept", to: alice))
        fixture.spool.close()
        _ = try fixture.sql("DROP TABLE carried; DROP TABLE stream; PRAGMA user_version = 3")
        try fixture.reopen()
        #expect(try fixture.sql("PRAGMA user_version") == "5")
        #expect(try fixture.positions(alice).count == 1)
        #expect(fixture.contents.streams.isEmpty)
    }
}
