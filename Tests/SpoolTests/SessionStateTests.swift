import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Testing

@Suite("What a node finds when it starts again")
struct SessionStateTests {
    @Test("subscriptions are kept with options and identifier; a new one of the same filter replaces the old")
    func subscriptions() throws {
        let fixture = try SpoolFixture()
        let options = SubscriptionOptions(
            maximumQoS: .exactlyOnce,
            noLocal: true,
            retainAsPublished: true,
            retainHandling: .doNotSend
        )
        let old = SubscriptionRecord(filter: "a/#", options: SubscriptionOptions(), identifier: nil)
        let new = SubscriptionRecord(filter: "a/#", options: options, identifier: 268_435_455)
        let other = SubscriptionRecord(filter: "b", options: SubscriptionOptions(), identifier: nil)
        try fixture.commit(.session(alice, "ä"), .subscribe(alice, old), .subscribe(alice, other))
        try fixture.commit(.subscribe(alice, new), .unsubscribe(alice, filter: "b"))
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.subscriptions) == [[new]])
        #expect(fixture.contents.receivers.first?.record.kind == .session(clientID: "ä"))
        #expect(fixture.contents.receivers.first?.record.expiryInterval == 3600)
    }

    @Test("a receiver that changes keeps its queue")
    func receiverChanges() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .session(bob), .message(to: alice, bob), .message(to: alice, bob))
        try fixture.commit(.acknowledged(alice, Position(1)))
        let record = ReceiverRecord(
            receiver: alice,
            kind: .session(clientID: "client"),
            expiryInterval: .max,
            disconnectedAt: Timestamp(microseconds: 5)
        )
        try fixture.commit(.receiver(record))
        try fixture.reopen()
        #expect(fixture.contents.receivers.first?.record == record)
        #expect(try fixture.positions(alice) == [Position(2)])
    }

    @Test("an outbound QoS 2 exchange is published, released, complete [5:MQTT-4.3.3-3]")
    func outbound() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .message(to: alice), .message(to: alice))
        try fixture.commit(
            .outboundPublish(alice, packetID: 65_535, Position(1)),
            .outboundPublish(alice, packetID: 2, Position(2))
        )
        let killed = try fixture.copyAsIfKilled()
        #expect(
            Set(killed.contents.receivers.flatMap(\.outbound)) == [
                .init(packetID: 65_535, position: Position(1), isReleased: false),
                .init(packetID: 2, position: Position(2), isReleased: false),
            ])
        try fixture.commit(.outboundRelease(alice, packetID: 65_535, Position(1)))
        #expect(try fixture.positions(alice) == [Position(2)], "after PUBREC the message is done, the identifier not")
        try fixture.reopen()
        #expect(fixture.contents.receivers.flatMap(\.outbound).first { $0.packetID == 65_535 }?.isReleased == true)
        try fixture.commit(.outboundComplete(alice, packetID: 65_535), .outboundComplete(alice, packetID: 2))
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.outbound) == [[]])
        #expect(try fixture.positions(alice) == [Position(2)], "an exchange that was given up leaves its message")
    }

    @Test("inbound QoS 2 identifiers are kept until PUBREL [5:MQTT-4.3.3-10]")
    func inbound() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice), .inboundPublish(alice, packetID: 1), .inboundPublish(alice, packetID: 7))
        try fixture.commit(.inboundRelease(alice, packetID: 1), .inboundPublish(alice, packetID: 8))
        try fixture.commit(.inboundPublish(alice, packetID: 9), .inboundRelease(alice, packetID: 9))
        try fixture.reopen()
        #expect(fixture.contents.receivers.map(\.inbound) == [[7, 8]])
    }

    @Test("the latest retained message of each topic is kept, whatever canonically equal names exist")
    func retained() throws {
        let fixture = try SpoolFixture()
        let composed: MQTTString = "caf\u{E9}"
        let decomposed: MQTTString = "cafe\u{301}"
        try fixture.commit(.retain(.sample("old", topic: "a")), .retain(.sample("1", topic: composed)))
        try fixture.commit(.retain(.sample("new", topic: "a")), .retain(.sample("2", topic: decomposed)))
        try fixture.commit(.retain(.sample(topic: "b")), .retainGone(topic: "b"), .retainGone(topic: "never"))
        try fixture.reopen()
        let found = fixture.contents.retained.map { ($0.topic, String(buffer: $0.payload)) }
        #expect(Dictionary(uniqueKeysWithValues: found) == ["a": "new", composed: "1", decomposed: "2"])
        try fixture.commit(.retainGone(topic: "a"))
        try fixture.reopen()
        #expect(fixture.contents.retained.count == 2)
    }

    @Test("the node number stays, boots are counted, wall time and positions never go back")
    func node() throws {
        let fixture = try SpoolFixture()
        let first = fixture.contents
        #expect(first.nodeNumber > 0 && first.nodeNumber < 1 << 48)
        #expect(first.bootCount == 1 && first.nextReceiver == ReceiverID(1) && first.lastPosition == .zero)
        fixture.wall = Timestamp(microseconds: 9_000_000)
        try fixture.commit(.session(ReceiverID(41)), .message(to: ReceiverID(41)))
        try fixture.commit(.acknowledged(ReceiverID(41), Position(1)), .receiverGone(ReceiverID(41)))
        fixture.wall = Timestamp(microseconds: 5)
        try fixture.reopen()
        #expect(fixture.contents.nodeNumber == first.nodeNumber)
        #expect(fixture.contents.bootCount == 2)
        #expect(fixture.contents.nextReceiver == ReceiverID(42))
        #expect(fixture.contents.lastPosition == Position(1))
        #expect(fixture.contents.wallMark == Timestamp(microseconds: 9_000_000))
    }

    @Test("killed after a commit, everything committed is there, and no position that may have been given is reused")
    func killed() throws {
        let fixture = try SpoolFixture()
        try fixture.commit(.session(alice))
        for number in 0..<50 { try fixture.commit(.message("\(number)", to: alice)) }
        try fixture.commit(.acknowledged(alice, Position(1)))
        let killed = try fixture.copyAsIfKilled()
        #expect(killed.contents.receivers.map(\.depth) == [49])
        #expect(killed.contents.lastPosition > Position(1_000))
        #expect(try killed.positions(alice).map(\.number) == Array(2...50))
        let next = try killed.commit(.message(to: alice))
        #expect(next > killed.contents.lastPosition)
        #expect(try killed.page(alice, after: Position(50)).entries.map(\.position) == [next])
    }
}
