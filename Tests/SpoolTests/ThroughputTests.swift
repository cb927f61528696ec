import BrokerCore
import Foundation
import MQTTCodec
import NIOCore
import Spool
import Testing

/// Not a gate: prints what this machine reaches. `DRAWBRIDGE_MEASURE=1 swift test -c release --filter Throughput`.
@Suite("Throughput", .serialized, .enabled(if: ProcessInfo.processInfo.environment["DRAWBRIDGE_MEASURE"] != nil))
struct ThroughputTests {
    private let payload = String(repeating: "x", count: 64)

    @Test("rows per second, 1,000 small messages an append, one append waiting")
    func rows() throws {
        let fixture = try prepared()
        let batches = 300
        let start = ContinuousClock.now
        for _ in 0..<batches {
            let records = (0..<1_000).map { _ in SpoolRecord.message(payload, to: alice) }
            let ticket = fixture.append(records).ticket
            try fixture.tidings.wait("the batch before") { $0.committed.number + 1 >= ticket.number }
        }
        report(fixture, "1,000 messages an append", batches * 1_000, since: start)
        let read = ContinuousClock.now
        var after = Position.zero
        var found = 0
        while true {
            let page = try fixture.page(alice, after: after, messagesMax: 1_000)
            if page.entries.isEmpty { break }
            found += page.entries.count
            after = page.end
        }
        report(fixture, "read in pages of 1,000", found, since: read)
        let acknowledge = ContinuousClock.now
        for batch in 0..<batches {
            try fixture.commit((1...1_000).map { .acknowledged(alice, Position(UInt64(batch * 1_000 + $0))) })
        }
        report(fixture, "1,000 acknowledgements an append", found, since: acknowledge)
        #expect(fixture.spool.depth(of: alice) == 0)
    }

    @Test("messages per second, appended one by one, at most 1,000 unanswered")
    func windowed() throws {
        let fixture = try prepared()
        let start = ContinuousClock.now
        for _ in 0..<200_000 {
            let ticket = fixture.append(.message(payload, to: alice)).ticket
            try fixture.tidings.wait("the window") { $0.committed.number + 1_000 >= ticket.number }
        }
        try fixture.commit(.message(payload, to: alice))
        report(fixture, "one by one, window of 1,000", 200_000, since: start)
    }

    @Test("commits per second, one message each")
    func commits() throws {
        let fixture = try prepared()
        let start = ContinuousClock.now
        for _ in 0..<5_000 { try fixture.commit(.message(payload, to: alice)) }
        report(fixture, "one message, one commit", 5_000, since: start)
    }

    @Test("messages to a thousand receivers")
    func fanOut() throws {
        let fixture = try prepared()
        let everybody = (10..<1_010).map { ReceiverID($0) }
        try fixture.commit(everybody.map { .link($0) })
        let deliveries = everybody.map { Delivery(receiver: $0, qos: .atLeastOnce) }
        let message = Message.sample(payload)
        let start = ContinuousClock.now
        for _ in 0..<20 { try fixture.commit((0..<100).map { _ in .message(message, deliveries: deliveries) }) }
        report(fixture, "messages to 1,000 receivers", 2_000, since: start)
    }

    @Test("rows per second against SQLite alone, in turns, batches of 1,000")
    func againstBareSQLite() throws {
        let fixture = try prepared()
        let bare = try BareSQLite()
        let bytes = Array(payload.utf8)
        var spoolTime = Duration.zero
        var bareTime = Duration.zero
        for _ in 0..<20 {
            let start = ContinuousClock.now
            for _ in 0..<20 { try bare.write(rows: 1_000, payload: bytes) }
            let middle = ContinuousClock.now
            bareTime += middle - start
            var last = Ticket.none
            for _ in 0..<20 {
                last = fixture.append((0..<1_000).map { _ in .message(payload, to: alice) }).ticket
                try fixture.tidings.wait("the batch before") { $0.committed.number + 1 >= last.number }
            }
            try fixture.tidings.wait("the last batch") { $0.committed >= last }
            spoolTime += ContinuousClock.now - middle
        }
        print(
            "measured: SQLite alone \(Int(400_000 / bareTime.inSeconds))/s, spool \(Int(400_000 / spoolTime.inSeconds))/s"
        )
    }

    @Test("opening a spool with 1,000,000 messages in 10,000 sessions, closed and killed")
    func fastStart() throws {
        let fixture = try SpoolFixture()
        let sessions = (1...10_000).map { ReceiverID(UInt64($0)) }
        try fixture.commit(sessions.map { .session($0, MQTTString("client-\($0.number)")) })
        for round in 0..<100 {
            try fixture.commit(sessions.map { .message("\(round)\(payload)", to: $0) })
        }
        let killed = try fixture.copyAsIfKilled { print("measured: open after a kill: \($0.inSeconds) s") }
        #expect(killed.spool.depth(of: ReceiverID(1)) == 100)
        fixture.spool.close()
        let before = residentBytes()
        let start = ContinuousClock.now
        let processor = clock()
        try fixture.reopen()
        let used = Double(clock() - processor) / Double(CLOCKS_PER_SEC)
        print("measured: open after a close: \((ContinuousClock.now - start).inSeconds) s, of the processor \(used) s")
        print("measured: \((residentBytes() - before) / 1_000_000) bytes of memory a message more than before")
        #expect(fixture.spool.depth(of: ReceiverID(10_000)) == 100)
    }

    private func residentBytes() -> Int {
        do {
            let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
            return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
        } catch {
            return 0
        }
    }

    private func prepared() throws -> SpoolFixture {
        let fixture = try SpoolFixture()
        try fixture.commit(.link(alice))
        return fixture
    }

    private func report(_ fixture: SpoolFixture, _ what: String, _ count: Int, since start: ContinuousClock.Instant) {
        let time = start.duration(to: .now).inSeconds
        let commits = fixture.spool.statistics.commits
        print("measured: \(what): \(Int(Double(count) / time))/s (\(commits) commits so far)")
    }
}

extension Duration {
    fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
