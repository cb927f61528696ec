import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// The table "What waits for what", line by line: nothing before the commit, the answer after it.
@Suite("What waits for what", .serialized)
struct CommitTests {
    /// A publisher without and a subscriber with a durable session, both connected; nothing waits for the disk.
    private static func pair(_ qos: QoS) -> (broker: ShardHarness, publisher: ScriptedPeer, subscriber: ScriptedPeer) {
        let broker = ShardHarness(commitsAtOnce: false)
        let publisher = broker.connects("publisher")
        let subscriber = broker.connectsDurably("subscriber")
        broker.settle()
        subscriber.sends(.subscribe(id: 1, filters: "t", qos: qos))
        broker.settle()
        _ = subscriber.takes()
        return (broker, publisher, subscriber)
    }

    @Test("PUBACK waits for the message, its delivery does not")
    func pubAck() {
        let (broker, publisher, subscriber) = Self.pair(.atLeastOnce)
        publisher.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        publisher.receivesNothing()
        let id = subscriber.receivesMessage("t", "x", .atLeastOnce)
        subscriber.sends(.pubAck(id: id))
        broker.commit()
        publisher.receives(.pubAck(id: 1))
        broker.settle()
        #expect(broker.spool.rows == 0)
    }

    @Test("PUBACK of a retained message waits for it")
    func retained() {
        let broker = ShardHarness(commitsAtOnce: false)
        let publisher = broker.connects("a")
        publisher.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1, isRetained: true))
        publisher.receivesNothing()
        broker.commit()
        publisher.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        #expect(broker.spool.retained == 1)
    }

    @Test("PUBREC waits for the message; PUBLISH for the message and then for its identifier; PUBREL for PUBREC")
    func exactlyOnce() {
        let (broker, publisher, subscriber) = Self.pair(.exactlyOnce)
        publisher.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1))
        publisher.receivesNothing()
        subscriber.receivesNothing()
        broker.commit()
        publisher.receives(.pubRec(id: 1))
        subscriber.receivesNothing()
        broker.commit()
        let id = subscriber.receivesMessage("t", "x", .exactlyOnce)
        subscriber.sends(.pubRec(id: id))
        subscriber.receivesNothing()
        broker.commit()
        subscriber.receives(.pubRel(id: id))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 1)
        subscriber.sends(.pubComp(id: id))
        broker.commit()
        #expect(broker.spool.identifiers == 0)
    }

    @Test("PUBREC to a durable session waits for its packet identifier, and delivery with it; PUBCOMP for its release")
    func inbound() {
        let broker = ShardHarness(commitsAtOnce: false)
        let publisher = broker.connectsDurably("publisher")
        broker.settle()
        _ = publisher.takes()
        let subscriber = broker.connects("subscriber")
        subscriber.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = subscriber.takes()
        publisher.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1))
        publisher.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1, isDuplicate: true))
        publisher.receivesNothing()
        subscriber.receivesNothing()
        broker.commit()
        publisher.receives(.pubRec(id: 1), .pubRec(id: 1))
        _ = subscriber.receivesMessage("t", "x", .exactlyOnce)
        publisher.sends(.pubRel(id: 1))
        publisher.receivesNothing()
        broker.commit()
        publisher.receives(.pubComp(id: 1))
        #expect(broker.spool.identifiers == 0)
    }

    @Test("a PUBREL that is repeated over a new connection is not answered before the release is on disk")
    func repeatedRelease() {
        let broker = ShardHarness()
        let publisher = broker.connectsDurably("publisher")
        publisher.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1))
        broker.commitsAtOnce = false
        publisher.sends(.pubRel(id: 1))
        publisher.vanishes()
        let back = broker.connectsDurably("publisher")
        _ = back.takes()
        back.sends(.pubRel(id: 1))
        back.receivesNothing()
        broker.commit()
        back.receives(.pubComp(id: 1, reason: .packetIdentifierNotFound))
    }

    @Test("SUBACK and UNSUBACK of a durable session wait for the change of subscription")
    func subscriptions() {
        let (broker, _, subscriber) = Self.pair(.atLeastOnce)
        subscriber.sends(.subscribe(id: 2, filters: "u", qos: .atLeastOnce))
        subscriber.receivesNothing()
        broker.commit()
        subscriber.receives(.subAck(id: 2, reasons: .grantedQoS1))
        subscriber.sends(.unsubscribe(id: 3, filters: "u"))
        subscriber.receivesNothing()
        broker.commit()
        subscriber.receives(.unsubAck(id: 3, reasons: .success))
    }

    @Test("an UNSUBSCRIBE that is repeated over a new connection is not answered before the change is on disk")
    func repeatedUnsubscribe() {
        let (broker, _, subscriber) = Self.pair(.atLeastOnce)
        subscriber.sends(.unsubscribe(id: 2, filters: "t"))
        subscriber.vanishes()
        let back = broker.connectsDurably("subscriber")
        _ = back.takes()
        back.sends(.unsubscribe(id: 3, filters: "t"))
        back.receivesNothing()
        broker.commit()
        back.receives(.unsubAck(id: 3, reasons: .noSubscriptionExisted))
    }

    @Test("nothing waits for QoS 0 and for receivers that are not durable")
    func nothing() {
        let broker = ShardHarness(commitsAtOnce: false)
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        b.receives(.subAck(id: 1, reasons: .grantedQoS2))
        a.sends(.publish(topic: "t", payload: "0"))
        _ = b.receivesMessage("t", "0")
        a.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        a.receives(.pubAck(id: 1))
        _ = b.receivesMessage("t", "1", .atLeastOnce)
        a.sends(.publish(topic: "t", payload: "2", qos: .exactlyOnce, id: 2))
        a.receives(.pubRec(id: 2))
        _ = b.receivesMessage("t", "2", .exactlyOnce)
        #expect(!broker.spool.hasPending)
    }

    @Test("a QoS 2 PUBLISH whose identifier is on disk goes out at the return, without another commit")
    func identifierCommittedWhileAway() {
        let (broker, publisher, subscriber) = Self.pair(.exactlyOnce)
        publisher.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1))
        broker.commit()
        subscriber.vanishes()
        broker.settle()
        let back = broker.connectsDurably("subscriber")
        broker.settle()
        let messages = back.takesMessages()
        #expect(messages.map(\.text) == ["x"])
    }

    @Test("an order of QoS 1 behind QoS 2 is kept for every receiver")
    func mixed() {
        let (broker, publisher, subscriber) = Self.pair(.exactlyOnce)
        publisher.sends(
            .publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1),
            .publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2)
        )
        subscriber.receivesNothing()
        broker.settle()
        #expect(Set(subscriber.takesMessages().map(\.text)) == ["1", "2"])
    }
}
