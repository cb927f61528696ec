import BrokerCore
import MQTTCodec
import Spool
import Testing

@Suite("Watermarks of queues")
struct WatermarkTests {
    private static func bounds(
        _ messagesMax: Int,
        bytesMax: Int = 1 << 30,
        _ whenFull: FullQueuePolicy = .dropOldest
    ) -> QueueBounds {
        var bounds = QueueBounds(messagesMax: messagesMax, bytesMax: bytesMax, whenFull: whenFull)
        bounds.watermarks = Watermarks(low: 0.2, high: 0.6)
        return bounds
    }

    private func said(_ fixture: SpoolFixture, _ receiver: ReceiverID) -> [Bool] {
        fixture.tidings.now.levels[receiver]?.map(\.isHigh) ?? []
    }

    @Test("an alarm is raised once at the high watermark, and cleared once below the low one", arguments: [10, 11])
    func hysteresis(max: Int) throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(max) }
        // Rounded up: 6 of 10 and 7 of 11, below 2 of 10 and 3 of 11.
        let (high, low) = (max == 10 ? 6 : 7, max == 10 ? 2 : 3)
        try fixture.commit(.session(alice))
        for count in 1..<high {
            try fixture.commit(.message(to: alice))
            #expect(said(fixture, alice) == [], "\(count)")
        }
        try fixture.commit(.message(to: alice))
        #expect(fixture.tidings.now.levels[alice] == [QueueLevel(isHigh: true, messages: high, bytes: high * 11)])
        #expect(fixture.spool.tally(of: alice).isHigh)
        try fixture.commit((1...20).map { _ in .message(to: alice) })
        let waiting = try fixture.positions(alice)
        try fixture.commit(waiting.prefix(max - low).map { .acknowledged(alice, $0) })
        #expect(said(fixture, alice) == [true], "nothing is said in between")
        try fixture.commit(.message(to: alice), .message(to: alice))
        #expect(said(fixture, alice) == [true])
        try fixture.commit(try fixture.positions(alice).dropFirst(low - 1).map { .acknowledged(alice, $0) })
        #expect(
            fixture.tidings.now.levels[alice]?.last
                == QueueLevel(isHigh: false, messages: low - 1, bytes: (low - 1) * 11)
        )
        #expect(said(fixture, alice) == [true, false])
        #expect(!fixture.spool.tally(of: alice).isHigh)
        try fixture.commit((1..<high).map { _ in .message(to: alice) })
        #expect(said(fixture, alice) == [true, false, true])
    }

    @Test("bytes count like messages, each queue by its own bounds")
    func bytesAndLinks() throws {
        let fixture = try SpoolFixture {
            $0.session = Self.bounds(100, bytesMax: 110)
            $0.links["hub"] = Self.bounds(3, .reject)
        }
        try fixture.commit(.session(alice), .link(bob))
        // 11 bytes a message.
        try fixture.commit((1...5).map { _ in .message(to: alice) })
        #expect(said(fixture, alice) == [])
        try fixture.commit(.message(to: alice, bob), .message(to: bob))
        #expect(said(fixture, alice) == [true])
        #expect(said(fixture, bob) == [true])
    }

    @Test("a queue for one message is high when it has it and low when it has not")
    func smallest() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(1) }
        try fixture.commit(.session(alice), .message(to: alice))
        try fixture.commit(.message(to: alice))
        #expect(said(fixture, alice) == [true])
        try fixture.commit(.acknowledged(alice, Position(2)))
        #expect(said(fixture, alice) == [true, false])
    }

    @Test("what is high when the spool is opened is said to whoever attaches; with the receiver the alarm goes")
    func standing() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(5) }
        try fixture.commit(.session(alice), .message(to: alice), .message(to: alice), .message(to: alice))
        try fixture.reopen()
        #expect(said(fixture, alice) == [true], "known before the first turn")
        try fixture.commit(.receiverGone(alice))
        #expect(said(fixture, alice) == [true, false])
        let late = TidingsRecorder()
        fixture.spool.attach { late.received($0) }
        #expect(late.now.calls.isEmpty)
    }

    @Test("other bounds and other watermarks raise and clear alarms without a message")
    func otherBounds() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(100) }
        try fixture.commit(.session(alice))
        try fixture.commit((1...50).map { _ in .message(to: alice) })
        fixture.spool.setBounds(session: Self.bounds(80), links: [:])
        try fixture.tidings.wait("the alarm") { $0.levels[alice]?.count == 1 }
        var wide = Self.bounds(80)
        wide.watermarks = Watermarks(low: 0.7, high: 0.9)
        fixture.spool.setBounds(session: wide, links: [:])
        try fixture.tidings.wait("its end") { $0.levels[alice]?.map(\.isHigh) == [true, false] }
    }

    @Test("the spool as a whole has watermarks of its own")
    func whole() throws {
        let fixture = try SpoolFixture {
            $0.bytesMax = 1 << 20
            $0.watermarks = Watermarks(low: 0.3, high: 0.5)
        }
        let large = String(repeating: "x", count: 100_000)
        try fixture.commit(.link(alice))
        try fixture.commit((1...3).map { _ in .message(large, to: alice) })
        #expect(!fixture.spool.isHigh)
        try fixture.commit((1...3).map { _ in .message(large, to: alice) })
        try fixture.tidings.wait("the alarm") { $0.spoolLevels.map(\.isHigh) == [true] }
        #expect(fixture.spool.isHigh)
        #expect(fixture.tidings.now.refusals.isEmpty)
        try fixture.reopen()
        #expect(fixture.tidings.now.spoolLevels.map(\.messages) == [6])
        try fixture.commit((1...5).map { .acknowledged(alice, Position($0)) })
        try fixture.tidings.wait("its end") { $0.spoolLevels.map(\.isHigh) == [true, false] }
        fixture.spool.setBounds(session: Self.bounds(9), links: [:], watermarks: Watermarks(low: 0.01, high: 0.02))
        try fixture.tidings.wait("other watermarks") { $0.spoolLevels.map(\.isHigh) == [true, false, true] }
        #expect(fixture.tidings.now.levels == [:])
    }
}
