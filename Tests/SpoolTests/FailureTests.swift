import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Synchronization
import Testing

@Suite("A disk that fails")
struct FailureTests {
    /// Fails the first `count` calls.
    private final class Trouble: Sendable {
        private let left = Mutex(0)
        let seen = Mutex<[UInt64]>([])

        func begin(_ count: Int) { left.withLock { $0 = count } }

        func strike(_ batch: UInt64) throws(SpoolError) {
            let strikes = left.withLock { left in
                if left > 0 { left -= 1 }
                return left > 0
            }
            seen.withLock { $0.append(batch) }
            if strikes { throw .io(code: 10, context: "writing") }
        }
    }

    @Test("a batch that fails before the commit is written again and announced once, when it is on disk")
    func failsBefore() throws {
        let trouble = Trouble()
        var hooks = SpoolHooks()
        hooks.willCommit = { (batch) throws(SpoolError) in try trouble.strike(batch) }
        let fixture = try SpoolFixture(hooks: hooks)
        try fixture.commit(.session(alice))
        trouble.begin(3)
        let (position, ticket) = fixture.append(.message("kept", to: alice), .retain(.sample("r")))
        try fixture.tidings.wait("the commit") { $0.committed == ticket }
        #expect(fixture.spool.state == .ok)
        #expect(fixture.spool.statistics.failures == 2)
        #expect(fixture.tidings.now.tickets == [Ticket(1), Ticket(2)])
        #expect(try fixture.positions(alice) == [position])
        #expect(trouble.seen.withLock { $0 } == [1, 2, 2, 2], "the same batch each time")
    }

    @Test("a commit that took effect although it said that it failed is not written twice")
    func failsAfter() throws {
        let trouble = Trouble()
        var hooks = SpoolHooks()
        hooks.didCommit = { (batch) throws(SpoolError) in try trouble.strike(batch) }
        let fixture = try SpoolFixture(hooks: hooks)
        try fixture.commit(.session(alice))
        trouble.begin(2)
        let position = try fixture.commit(.message(to: alice))
        #expect(trouble.seen.withLock { $0 } == [1, 2], "found by its number, not written again")
        #expect(fixture.tidings.now.tickets == [Ticket(1), Ticket(2)])
        #expect(try fixture.positions(alice) == [position])
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [1])
    }

    @Test("while commits fail the state says since when and why, and nothing is announced")
    func state() throws {
        let trouble = Trouble()
        var hooks = SpoolHooks()
        hooks.willCommit = { (batch) throws(SpoolError) in try trouble.strike(batch) }
        let fixture = try SpoolFixture(hooks: hooks)
        try fixture.commit(.session(alice))
        trouble.begin(.max)
        fixture.append(.message(to: alice))
        while fixture.spool.state == .ok { sched_yield() }
        #expect(
            fixture.spool.state
                == .failing(since: fixture.wall, reason: SpoolError.io(code: 10, context: "writing").description)
        )
        #expect(fixture.tidings.now.committed == Ticket(1))
        #expect(fixture.spool.depth(of: alice) == 0)
        fixture.spool.close()
        #expect(fixture.tidings.now.committed == Ticket(1), "closing on a sick disk gives up, unannounced")
        trouble.begin(0)
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.depth) == [0])
    }

    @Test("a file locked by somebody else holds commits back, and loses nothing")
    func busy() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        let other = try fixture.besides("BEGIN IMMEDIATE; SELECT 'held';", answers: "held")
        let (position, ticket) = fixture.append(.message(to: alice))
        #expect(fixture.tidings.now.committed < ticket)
        try other.end()
        try fixture.tidings.wait("the commit") { $0.committed == ticket }
        #expect(try fixture.positions(alice) == [position])
    }

    @Test(
        "a row whose bytes changed is skipped, counted, and never delivered",
        arguments: [
            "topic = 'room/2'", "payload = 'jello'", "qos = 2", "flags = 1", "properties = x'0101'", "expiry = 5",
            "checksum = checksum + 1", "id = zeroblob(16)", "id = x''",
        ])
    func damagedRow(change: String) throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice), .message(to: alice), .message(to: alice))
        fixture.spool.close()
        _ = try fixture.sql("UPDATE message SET \(change) WHERE position = 2")
        try fixture.reopen()
        for _ in 0..<2 {
            let page = try fixture.page(alice)
            #expect(page.entries.map(\.position.number) == [1, 3])
            #expect(page.end == Position(3))
        }
        #expect(fixture.spool.statistics.damagedRows == 1)
    }

    @Test("a page that cannot be read is said to be so, and comes once it can be")
    func unreadable() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice))
        let (file, elsewhere) = ("\(fixture.folder)/spool.sqlite", "\(fixture.folder)/elsewhere")
        try FileManager.default.moveItem(atPath: file, toPath: elsewhere)
        fixture.append(loads: [.init(receiver: alice, after: .zero, messagesMax: 10, bytesMax: .max)])
        let deadline = ContinuousClock.now + .seconds(60)
        // Commits go on meanwhile.
        while fixture.spool.state == .ok, ContinuousClock.now < deadline { try fixture.commit(.retain(.sample())) }
        #expect(fixture.spool.state != .ok)
        #expect(fixture.tidings.pages.isEmpty)
        try FileManager.default.moveItem(atPath: elsewhere, toPath: file)
        try fixture.tidings.wait("the page") { $0.pages.count == 1 }
        #expect(fixture.tidings.pages.first?.entries.count == 1)
        while fixture.spool.state != .ok, ContinuousClock.now < deadline { try fixture.commit(.retain(.sample())) }
        #expect(fixture.spool.state == .ok)
    }

    @Test("a page that cannot be read is tried again only for the newest connection of its receiver")
    func unreadableForOldConnections() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice, "alice"), .session(bob, "bob"), .message(to: alice, bob))
        let (file, elsewhere) = ("\(fixture.folder)/spool.sqlite", "\(fixture.folder)/elsewhere")
        func request(_ receiver: ReceiverID, _ epoch: UInt64) -> LoadRequest {
            LoadRequest(receiver: receiver, after: .zero, messagesMax: 10, bytesMax: .max, epoch: epoch)
        }
        func epochs(_ receiver: ReceiverID) -> [UInt64] {
            fixture.tidings.pages.filter { $0.receiver == receiver }.map(\.epoch)
        }
        try FileManager.default.moveItem(atPath: file, toPath: elsewhere)
        fixture.append(loads: [request(bob, 3)])
        for epoch in UInt64(1)...20 {
            fixture.append(loads: [request(alice, epoch)])
            try fixture.commit(.retain(.sample()))
        }
        // With the second commit the reader has all that came before the first.
        try fixture.commit(.retain(.sample()))
        try fixture.commit(.retain(.sample()))
        #expect(fixture.tidings.pages.isEmpty)
        try FileManager.default.moveItem(atPath: elsewhere, toPath: file)
        // What failed once more stands behind a request, so with the second page all others are here.
        for epoch in UInt64(21)...22 {
            fixture.append(loads: [request(alice, epoch)])
            try fixture.tidings.wait("the page") { $0.pages.contains { $0.receiver == alice && $0.epoch == epoch } }
        }
        try fixture.tidings.wait("the page of the other") { $0.pages.contains { $0.receiver == bob } }
        #expect(epochs(bob) == [3])
        // One may have been in the hands of the reader.
        #expect(epochs(alice).count { $0 < 20 } <= 1)
        #expect(Array(epochs(alice).suffix(2)) == [21, 22])
    }

    @Test("a damaged retained message is skipped and counted")
    func damagedRetained() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.retain(.sample("1", topic: "a")), .retain(.sample("2", topic: "b")))
        fixture.spool.close()
        _ = try fixture.sql("UPDATE retained SET payload = 'x' WHERE topic = 'a'")
        try fixture.reopen()
        #expect(fixture.contents.retained.map(\.topic) == ["b"])
        #expect(fixture.spool.statistics.damagedRows == 1)
    }
}
