import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Synchronization
import Testing

@Suite("Group commit")
struct GroupCommitTests {
    @Test("what is appended while a batch is written is committed in one transaction, in order, announced once")
    func oneCommitForMany() throws {
        let door = Door()
        var hooks = SpoolHooks()
        hooks.willCommit = { (_) throws(SpoolError) in door.pass() }
        let fixture = try SpoolFixture(hooks: hooks)
        try fixture.commit(.session(alice))
        let before = fixture.spool.statistics.commits

        door.shut()
        fixture.append(.message("first", to: alice))
        try door.waitUntilSomebodyStandsThere()
        var last = Ticket.none
        for number in 0..<1_000 { last = fixture.append(.message("\(number)", to: alice)).ticket }
        #expect(fixture.tidings.now.committed == Ticket(1), "nothing is announced before it is committed")
        #expect(fixture.spool.depth(of: alice) == 0)
        door.open()

        try fixture.tidings.wait("the last ticket") { $0.committed == last }
        #expect(fixture.spool.statistics.commits - before == 2)
        #expect(fixture.tidings.now.tickets == [Ticket(1), Ticket(2), last])
        #expect(fixture.spool.depth(of: alice) == 1_001)
        let page = try fixture.page(alice)
        let payloads = page.entries.map { String(buffer: $0.message.payload) }
        #expect(payloads == ["first"] + (0..<1_000).map(String.init))
        #expect(page.entries.map(\.position.number) == Array(1...1_001))
    }

    @Test("positions of many threads follow each other, each thread's in its order")
    func manyThreads() async throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        let spool = fixture.spool
        let positions = await withTaskGroup(of: [Position].self) { group in
            for thread in 1...4 {
                group.addTask {
                    (1...500).map { _ in
                        spool.append(
                            [.message("\(thread)", to: alice)],
                            loads: [],
                            ticket: .none,
                            wall: Timestamp(microseconds: 1)
                        )
                    }
                }
            }
            var all: [[Position]] = []
            for await part in group { all.append(part) }
            return all
        }
        try fixture.commit([])
        for part in positions { #expect(part == part.sorted()) }
        #expect(positions.flatMap { $0 }.map(\.number).sorted() == Array(1...2_000))
        #expect(try fixture.positions(alice).map(\.number) == Array(1...2_000))
    }

    @Test("a message whose receivers all acknowledge before it is written needs no row")
    func elision() throws {
        let door = Door()
        var hooks = SpoolHooks()
        hooks.willCommit = { (_) throws(SpoolError) in door.pass() }
        let fixture = try SpoolFixture(hooks: hooks)
        try fixture.commit(.session(alice), .session(bob))
        door.shut()
        fixture.append(.session(alice))
        try door.waitUntilSomebodyStandsThere()
        let both = fixture.append(.message(to: alice, bob)).position
        let half = fixture.append(.message(to: alice, bob)).position
        fixture.append(.acknowledged(alice, both), .acknowledged(bob, both), .acknowledged(alice, half))
        let nobody = fixture.append(.message(.sample(), deliveries: [])).position
        door.open()
        try fixture.commit(.session(alice))
        #expect(fixture.spool.statistics.rowsWritten == 1)
        #expect(fixture.spool.statistics.rowsElided == 2)
        #expect(try fixture.positions(alice) == [])
        #expect(try fixture.positions(bob) == [half])
        #expect(try fixture.page(bob).end == nobody)
        try fixture.reopen()
        #expect(try fixture.positions(alice) == [])
        #expect(try fixture.positions(bob) == [half])
    }

    @Test("close commits and announces what was appended, and nothing after it")
    func closing() throws {
        let fixture = try SpoolFixture()
        fixture.append(.session(alice))
        for _ in 0..<100 { fixture.append(.message(to: alice)) }
        fixture.spool.close()
        #expect(fixture.tidings.now.committed == Ticket(101))
        fixture.append(.message(to: alice))
        fixture.spool.close()
        #expect(fixture.tidings.now.committed == Ticket(101))
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [100])
        #expect(fixture.contents.lastPosition == Position(100))
    }
}
