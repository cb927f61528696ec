import BrokerCore
import MQTTCodec
import Spool
import Testing

@Suite("Bounds that are given later")
struct NewBoundsTests {
    private static func bounds(_ messagesMax: Int) -> QueueBounds {
        QueueBounds(messagesMax: messagesMax, bytesMax: 1 << 20, whenFull: .dropOldest)
    }

    @Test("a queue that is new has them; one that is there takes them with its next record")
    func sessions() throws {
        let fixture = try SpoolFixture { $0.session = Self.bounds(4) }
        try fixture.commit(.session(alice))
        fixture.spool.setBounds(session: Self.bounds(2), links: ["hub": Self.bounds(3)])
        try fixture.commit((1...5).map { .message("\($0)", to: alice) })
        #expect(try fixture.positions(alice).map(\.number) == [2, 3, 4, 5], "nothing has told it yet")
        try fixture.commit(.session(alice), .link(bob))
        for _ in 0..<5 { try fixture.commit(.message(to: alice, bob)) }
        #expect(try fixture.positions(alice).map(\.number) == [9, 10])
        #expect(try fixture.positions(bob).map(\.number) == [8, 9, 10])
    }
}
