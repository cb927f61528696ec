import BrokerCore
import MQTTCodec
import Spool
import Testing

@Suite("Bounds that are given later")
struct NewBoundsTests {
    private static func bounds(_ messagesMax: Int, _ whenFull: FullQueuePolicy = .dropOldest) -> QueueBounds {
        QueueBounds(messagesMax: messagesMax, bytesMax: 1 << 20, whenFull: whenFull)
    }

    @Test("every queue has them, and gives up what is too much with its next message")
    func sessions() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(4) }
        try fixture.commit(.session(alice), .link(bob))
        try fixture.commit((1...5).map { .message("\($0)", to: alice, bob) })
        #expect(try fixture.positions(alice).map(\.number) == [2, 3, 4, 5])
        fixture.spool.setBounds(session: Self.bounds(2), links: ["hub": Self.bounds(3)])
        try fixture.commit(.message(to: alice, bob))
        #expect(try fixture.positions(alice).map(\.number) == [5, 6])
        #expect(try fixture.positions(bob).map(\.number) == [4, 5, 6])
        let carol = ReceiverID(3)
        try fixture.commit(.session(carol))
        try fixture.commit((1...3).map { .message("\($0)", to: carol) })
        #expect(fixture.spool.depth(of: carol) == 2)
    }

    @Test("a queue that refuses opens when it gets more room, or another policy, without a message")
    func fullness() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(2, .reject) }
        try fixture.commit(.session(alice))
        try fixture.commit(.message(to: alice), .message(to: alice))
        try fixture.tidings.wait("full") { $0.full == [alice: [true]] }
        fixture.spool.setBounds(session: Self.bounds(9, .reject), links: [:])
        try fixture.tidings.wait("room") { $0.full == [alice: [true, false]] }
        fixture.spool.setBounds(session: Self.bounds(2, .reject), links: [:])
        try fixture.tidings.wait("full again") { $0.full == [alice: [true, false, true]] }
        fixture.spool.setBounds(session: Self.bounds(2, .dropNewest), links: [:])
        try fixture.tidings.wait("it drops") { $0.full == [alice: [true, false, true, false]] }
        try fixture.commit(.message(to: alice))
        #expect(try fixture.positions(alice).map(\.number) == [1, 2])
    }
}
