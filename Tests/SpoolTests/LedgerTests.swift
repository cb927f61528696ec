import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Testing

/// Promise 2: restored + taken = delivered + waiting + dropped, by reason and to the message.
@Suite("The ledger of each receiver")
struct LedgerTests {
    @Test("every way in which a message ends is counted once, by reason")
    func reasons() throws {
        let fixture = try SpoolFixture(queueMessagesMax: 5)
        try fixture.commit(.session(alice), .session(bob))
        try fixture.commit((1...7).map { .message("\($0)", to: alice, bob) })
        try fixture.commit(
            .acknowledged(alice, Position(3)), .givenUp(alice, Position(4), .expired),
            .givenUp(alice, Position(5), .tooLarge), .givenUp(alice, Position(6), .rejected)
        )
        let tally = fixture.spool.tally(of: alice)
        #expect(tally.taken == 7 && tally.delivered == 1 && tally.waiting == 1 && tally.first == 7)
        #expect(tally.dropped.byReason == [.oldest: 2, .expired: 1, .tooLarge: 1, .rejected: 1])
        #expect(tally.isClosed)
        #expect(try fixture.positions(bob).map(\.number) == [3, 4, 5, 6, 7], "bob lost nothing by that")
        let total = fixture.spool.tally
        #expect(total.isClosed && total.taken == 14 && total.dropped.total == 7)
    }

    @Test("a session that ends takes what waits with it, and so do messages on their way to it")
    func ended() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob), .message(to: alice, bob), .message(to: alice))
        try fixture.commit(.message(to: alice), .receiverGone(alice), .message(to: alice, bob))
        #expect(fixture.spool.tally(of: alice) == ReceiverTally())
        let total = fixture.spool.tally
        #expect(total.isClosed && total.taken == 6 && total.waiting == 2)
        #expect(total.dropped.byReason == [.ended: 4])
    }

    @Test(
        "what its queue gave up while it was under way is delivered after all",
        arguments: [
            FullQueuePolicy.dropOldest, .dropNewest,
        ])
    func afterAll(_ policy: FullQueuePolicy) throws {
        let fixture = try SpoolFixture {
            $0.session = QueueBounds(messagesMax: 2, bytesMax: 1 << 20, whenFull: policy)
        }
        try fixture.commit(.session(alice))
        try fixture.commit((1...4).map { .message("\($0)", to: alice) })
        // A live receiver has all four in its window.
        try fixture.commit((1...4).map { .acknowledged(alice, Position($0)) })
        let tally = fixture.spool.tally(of: alice)
        #expect(tally.delivered == 4 && tally.dropped.total == 0 && tally.isClosed)
    }

    @Test("what vanished from the queue is not counted again when its exchange ends")
    func vanished() throws {
        let fixture = try SpoolFixture(queueMessagesMax: 1)
        try fixture.commit(.session(alice))
        try fixture.commit(.message(to: alice), .message(to: alice))
        try fixture.commit(
            .givenUp(alice, Position(1), .vanished), .outboundRelease(alice, packetID: 5, .zero)
        )
        let tally = fixture.spool.tally(of: alice)
        #expect(tally.dropped.byReason == [.oldest: 1] && tally.waiting == 1 && tally.isClosed)
    }

    @Test("a message that names a receiver twice counts once, whether it fits or not")
    func namedTwice() throws {
        let fixture = try SpoolFixture {
            $0.session = QueueBounds(messagesMax: 1, bytesMax: 1 << 20, whenFull: .dropNewest)
        }
        try fixture.commit(.session(alice))
        try fixture.commit(.message(to: alice, alice), .message(to: alice, alice))
        let tally = fixture.spool.tally(of: alice)
        #expect(tally.taken == 2 && tally.waiting == 1 && tally.dropped.byReason == [.newest: 1])
    }

    @Test("counting begins anew with each start: what waited is restored, what was dropped before is forgotten")
    func restart() throws {
        let fixture = try SpoolFixture(queueMessagesMax: 2)
        try fixture.commit(.session(alice))
        try fixture.commit((1...3).map { .message("\($0)", to: alice) })
        #expect(fixture.spool.tally(of: alice).dropped.total == 1)
        try fixture.reopen()
        let tally = fixture.spool.tally(of: alice)
        #expect(tally.restored == 2 && tally.taken == 0 && tally.dropped.total == 0 && tally.isClosed)
        try fixture.commit(.message(to: alice))
        #expect(fixture.spool.tally(of: alice).dropped.byReason == [.oldest: 1])
        #expect(fixture.spool.tally.isClosed)
    }
}
