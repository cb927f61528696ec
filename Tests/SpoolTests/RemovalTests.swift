import BrokerCore
import MQTTCodec
import Spool
import Testing

/// What commands take out of queues.
@Suite("Messages that are taken out of a queue")
struct RemovalTests {
    @Test("they are gone for their receiver alone, are counted by reason, and stay gone")
    func books() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob))
        for number in 1...6 { try fixture.commit(.message("\(number)", to: alice, bob)) }
        try fixture.commit(.removed(alice, [Position(2), Position(3)], .dropped))
        try fixture.commit(.removed(alice, [Position(3), Position(5), Position(99)], .exported))
        #expect(try fixture.positions(alice).map(\.number) == [1, 4, 6])
        #expect(try fixture.readQueue(alice).map(\.number) == [1, 4, 6])
        #expect(try fixture.positions(bob).map(\.number) == [1, 2, 3, 4, 5, 6])
        #expect(fixture.spool.drops(of: alice) == [.removed: 2, .exported: 1])
        #expect(fixture.spool.tally.isClosed)
        try fixture.reopen()
        #expect(try fixture.positions(alice).map(\.number) == [1, 4, 6])
        let killed = try fixture.copyAsIfKilled()
        #expect(try killed.readQueue(alice).map(\.number) == [1, 4, 6])
    }

    @Test("their rows go with the last who waits for them")
    func rows() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        for number in 1...50 { try fixture.commit(.message("\(number)", to: alice)) }
        try fixture.commit(.removed(alice, (2...49).map { Position($0) }, .dropped))
        #expect(try fixture.sql("SELECT count(*) FROM message") == "2")
        try fixture.commit(.acknowledged(alice, Position(1)), .acknowledged(alice, Position(50)))
        #expect(try fixture.sql("SELECT count(*) FROM message") == "0")
        #expect(fixture.spool.tally.isClosed)
    }

    @Test("a hundred thousand of them behind one that is in flight fill no queue and take no time to speak of")
    func many() throws {
        let hub = ReceiverID(7)
        let fixture = try SpoolFixture()
        let link = ReceiverRecord(
            receiver: hub, kind: .link(name: "hub"), expiryInterval: .max, disconnectedAt: nil)
        try fixture.commit(.receiver(link))
        let count: UInt64 = 100_000
        let messages = (1...count).map { _ in SpoolRecord.message("x", to: hub) }
        try fixture.commit(messages)
        // Every other one, then the rest: the second finds holes everywhere.
        for remainder in [0, 1] as [UInt64] {
            let positions = (2...count).filter { $0 % 2 == remainder }.map { Position($0) }
            try fixture.commit(.removed(hub, positions, .dropped))
        }
        #expect(fixture.spool.depth(of: hub) == 1)
        #expect(fixture.tidings.now.full[hub] == nil)
        try fixture.commit(.message("y", to: hub))
        #expect(try fixture.readQueue(hub).map(\.number) == [1, count + 1])
        try fixture.commit(.acknowledged(hub, Position(1)))
        #expect(try fixture.positions(hub).map(\.number) == [count + 1])
        #expect(fixture.spool.tally.isClosed)
    }

    @Test("how far a file has come is on disk with what it says of the queue, and survives")
    func files() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message("1", to: alice))
        var file = CarriedFile(id: MessageID(high: 5, low: 6), way: .out, link: "hub", offset: 512)
        try fixture.commit(.carried(file))
        (file.parts, file.messages, file.offset) = (1, 1, 600)
        try fixture.commit(.removed(alice, [Position(1)], .exported), .carried(file))
        let killed = try fixture.copyAsIfKilled()
        #expect(try killed.spool.carried(file.id, .out) == file)
        #expect(try killed.spool.carried(file.id, .into) == nil)
        #expect(try killed.positions(alice).isEmpty)
        #expect(try killed.sql("SELECT count(*) FROM carried") == "1")
    }
}
