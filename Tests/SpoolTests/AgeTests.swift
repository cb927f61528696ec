import BrokerCore
import MQTTCodec
import Spool
import Synchronization
import TestSupport
import Testing

/// `max_age`: what waits for too long goes, counted by a reason of its own, whoever looks at the queue or nobody.
@Suite("How long messages wait")
struct AgeTests {
    /// The clock by which messages grow old, set by hand.
    private final class Clock: Sendable {
        private let elapsed = Mutex(Duration.zero)

        var now: Duration {
            get { elapsed.withLock { $0 } }
            set { elapsed.withLock { $0 = newValue } }
        }
    }

    private static func bounds(_ age: Duration?, _ whenFull: FullQueuePolicy = .dropOldest, _ max: Int = 100_000)
        -> QueueBounds
    {
        QueueBounds(messagesMax: max, bytesMax: 1 << 30, ageMax: age, whenFull: whenFull)
    }

    private static func fixture(_ clock: Clock, _ bounds: QueueBounds) throws -> SpoolFixture {
        try SpoolFixture {
            $0.session = bounds
            $0.hooks.elapsed = { clock.now }
        }
    }

    /// 2025-01-01
    private static let realisticWall = Timestamp(microseconds: 1_735_689_600_000_000)

    @Test("who comes back later than that reads only what is younger")
    func reading() throws {
        let clock = Clock()
        let fixture = try Self.fixture(clock, Self.bounds(.seconds(60)))
        try fixture.commit(.session(alice), .link(bob))
        try fixture.commit(.message("1", to: alice, bob))
        clock.now = .seconds(30)
        try fixture.commit(.message("2", to: bob))
        clock.now = .seconds(40)
        try fixture.commit(.session(ReceiverID(3)))
        try fixture.commit(.message("3", to: alice))
        clock.now = .seconds(70)
        #expect(try fixture.positions(alice).map(\.number) == [3])
        #expect(fixture.spool.drops(of: alice) == [.aged: 1])
        #expect(fixture.tidings.now.dropped == [alice: 1])
        #expect(try fixture.positions(bob).map(\.number) == [1, 2], "whose queue has no such bound keeps everything")
        #expect(fixture.spool.drops(of: bob) == [:])
        #expect(fixture.spool.tally.isClosed)
        clock.now = .seconds(1_000)
        #expect(try fixture.positions(alice) == [])
        #expect(fixture.spool.standing.drops[.aged] == 2)
    }

    @Test("the next message for a queue, and the next for any other, takes what is too old with it")
    func appending() throws {
        let clock = Clock()
        let fixture = try Self.fixture(clock, Self.bounds(.seconds(60)))
        try fixture.commit(.session(alice), .session(bob))
        try fixture.commit(.message("1", to: alice, bob))
        clock.now = .seconds(120)
        try fixture.commit(.message("2", to: alice))
        #expect(fixture.spool.drops(of: alice) == [.aged: 1])
        #expect(fixture.spool.drops(of: bob) == [.aged: 1])
        #expect(try fixture.sql("SELECT count(*) FROM message") == "1")
    }

    @Test("a queue that nobody touches shrinks by itself, and says so")
    func idle() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(.milliseconds(200)) }
        try fixture.commit(.session(alice))
        try fixture.commit(.message("1", to: alice), .message("2", to: alice))
        try fixture.tidings.wait("their end") { $0.dropped == [alice: 2] }
        #expect(fixture.spool.tally(of: alice).dropped.byReason == [.aged: 2])
        #expect(fixture.spool.standing.messages == 0)
        #expect(try fixture.sql("SELECT count(*) FROM message") == "0", "a batch of its own took the rows")
    }

    @Test("an exchange of QoS 2 that was begun is finished, however old its message is")
    func exchanges() throws {
        let clock = Clock()
        let fixture = try Self.fixture(clock, Self.bounds(.seconds(60)))
        try fixture.commit(.session(alice))
        try fixture.commit((1...4).map { .message("\($0)", to: alice) })
        try fixture.commit(.outboundPublish(alice, packetID: 9, Position(2)))
        clock.now = .seconds(120)
        #expect(try fixture.positions(alice).map(\.number) == [2])
        try fixture.commit(.outboundRelease(alice, packetID: 9, Position(2)))
        let tally = fixture.spool.tally(of: alice)
        #expect(tally.delivered == 1 && tally.dropped.byReason == [.aged: 3] && tally.isClosed)
        try fixture.reopen()
        #expect(try fixture.positions(alice) == [], "what went is on disk as gone")
    }

    @Test("who acknowledges what went for its age while it was under way has it after all")
    func afterAll() throws {
        let clock = Clock()
        let fixture = try Self.fixture(clock, Self.bounds(.seconds(60), .dropOldest, 2))
        try fixture.commit(.session(alice))
        try fixture.commit((1...3).map { .message("\($0)", to: alice) })
        clock.now = .seconds(120)
        try fixture.commit(.demandsSync)
        #expect(fixture.spool.drops(of: alice) == [.oldest: 1, .aged: 2])
        try fixture.commit(.acknowledged(alice, Position(3)))
        #expect(fixture.spool.drops(of: alice) == [.oldest: 1, .aged: 1])
        #expect(fixture.spool.tally(of: alice).isClosed)
    }

    @Test("age is known after a restart, and the time between counts")
    func restart() throws {
        let clock = Clock()
        let fixture = try SpoolFixture {
            $0.session = Self.bounds(.seconds(3_600))
            $0.hooks.elapsed = { clock.now }
        }
        fixture.wall = Self.realisticWall
        try fixture.reopen()
        try fixture.commit(.session(alice))
        for seconds in [0, 1_800, 3_000] {
            let came = Self.realisticWall.advanced(bySeconds: UInt32(seconds))
            let message = Message.sample("\(seconds)", came: came)
            try fixture.commit(.message(message, deliveries: [Delivery(receiver: alice, qos: .atLeastOnce)]))
        }
        fixture.wall = Self.realisticWall.advanced(bySeconds: 4_000)
        try fixture.reopen()
        #expect(try fixture.positions(alice).map(\.number) == [2, 3])
        // A clock that starts in 1970, or was set back, makes nothing older, and nothing that it stamped either.
        fixture.wall = Timestamp(microseconds: 5)
        try fixture.reopen()
        #expect(try fixture.positions(alice).map(\.number) == [2, 3])
        try fixture.commit(.message("of 1970", to: alice))
        fixture.wall = Self.realisticWall.advanced(bySeconds: 4_000)
        try fixture.reopen()
        #expect(try fixture.positions(alice).map(\.number) == [2, 3, 4])
        clock.now = .seconds(3_700)
        #expect(try fixture.positions(alice).map(\.number) == [])
    }

    @Test("a bound that is given later holds at once, for what waits already")
    func laterBound() throws {
        let clock = Clock()
        let fixture = try Self.fixture(clock, Self.bounds(nil))
        try fixture.commit(.session(alice), .link(bob))
        try fixture.commit(.message("1", to: alice, bob))
        clock.now = .seconds(600)
        try fixture.commit(.message("2", to: alice, bob))
        fixture.spool.setBounds(session: Self.bounds(.seconds(300)), links: ["hub": Self.bounds(.seconds(3_600))])
        try fixture.tidings.wait("its end") { $0.dropped == [alice: 1] }
        clock.now = .seconds(3_700)
        #expect(try fixture.positions(bob).map(\.number) == [2])
        fixture.spool.setBounds(session: Self.bounds(nil), links: ["hub": Self.bounds(nil)])
        clock.now = .seconds(360_000)
        #expect(try fixture.positions(bob).map(\.number) == [2])
    }

    @Test("a queue that refuses because it is full takes messages again when its old ones go")
    func relieves() throws {
        let clock = Clock()
        let fixture = try Self.fixture(clock, Self.bounds(.seconds(60), .reject, 3))
        try fixture.commit(.session(alice))
        try fixture.commit((1...3).map { .message("\($0)", to: alice) })
        try fixture.tidings.wait("full") { $0.full == [alice: [true]] }
        clock.now = .seconds(120)
        try fixture.commit(.demandsSync)
        try fixture.tidings.wait("room") { $0.full == [alice: [true, false]] }
    }

    @Test("a queue that was forgotten goes in steps, so that no commit takes long")
    func steps() throws {
        let clock = Clock()
        let batches = Mutex(0)
        let fixture = try SpoolFixture {
            $0.session = Self.bounds(.seconds(60))
            $0.hooks.elapsed = { clock.now }
            $0.hooks.didCommit = { (_) throws(SpoolError) in batches.withLock { $0 += 1 } }
        }
        try fixture.commit(.session(alice))
        try fixture.commit((1...25_000).map { _ in .message("x", to: alice) })
        let before = batches.withLock { $0 }
        clock.now = .seconds(120)
        try fixture.commit(.demandsSync)
        try fixture.tidings.wait("their end") { $0.dropped == [alice: 25_000] }
        #expect(batches.withLock { $0 } >= before + 3)
    }

    @Test("a month of messages is remembered by so many marks and no more, and still nothing goes early")
    func manyMarks() throws {
        let clock = Clock()
        let month = Duration.seconds(30 * 86_400)
        let fixture = try SpoolFixture {
            $0.mode = .off
            $0.session = Self.bounds(month)
            // A short bound beside it asks for marks that are close together.
            $0.links["hub"] = Self.bounds(.seconds(1))
            $0.hooks.elapsed = { clock.now }
        }
        try fixture.commit(.session(alice))
        for second in 1...4_300 {
            clock.now = .seconds(second)
            try fixture.commit(.message("x", to: alice))
        }
        clock.now = month + .seconds(2_000)
        let waiting = try fixture.positions(alice).map(\.number)
        let first = try #require(waiting.first)
        #expect(waiting == Array(first...4_300))
        #expect(first <= 2_001, "the one of second 2,001 has a second left")
        #expect(first >= 1_990, "marks that are a month old are a few seconds apart")
    }

    @Test("nothing goes before its time, and everything soon after it", arguments: [1, 2, 3] as [UInt64])
    func neverEarly(seed: UInt64) throws {
        var dice = SeededGenerator(seed: seed)
        let clock = Clock()
        let age = Duration.seconds(32)
        let fixture = try Self.fixture(clock, Self.bounds(age))
        try fixture.commit(.session(alice))
        var came: [UInt64: Duration] = [:]
        for _ in 0..<300 {
            clock.now += .milliseconds(Int.random(in: 0...4_000, using: &dice))
            if Bool.random(using: &dice) {
                came[try fixture.commit(.message("x", to: alice)).number] = clock.now
            }
            let waiting = Set(try fixture.positions(alice).map(\.number))
            for (position, time) in came {
                if clock.now - time < age { #expect(waiting.contains(position), "\(position) went early") }
                // A mark is a thirty-second part of the bound apart from the next, or as far as two turns of this test.
                if clock.now - time > age + .seconds(10) { #expect(!waiting.contains(position), "\(position) stayed") }
            }
        }
        #expect(fixture.spool.tally.isClosed)
    }
}
