import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Pages that come late")
struct LatePageTests {
    @Test("a page that was asked for over a connection that is gone is not looked at")
    func otherConnection() {
        let broker = ShardHarness()
        let publisher = broker.connects("a")
        broker.connectsDurably("b").sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        broker.connectsDurably("b").vanishes()
        for number in 1...3 {
            publisher.sends(.publish(topic: "t", payload: "\(number)", qos: .atLeastOnce, id: UInt16(number)))
        }
        broker.commitsAtOnce = false
        // Three times asked, before the first answer.
        _ = broker.connectsDurably("b")
        _ = broker.connectsDurably("b")
        let last = broker.connectsDurably("b")
        broker.settle()
        #expect(last.takesMessages().map(\.text) == ["1", "2", "3"])
    }

    @Test("messages that are published while a page is under way come once and in order")
    func meanwhile() {
        let broker = ShardHarness()
        let publisher = broker.connects("a", .v3_1_1)
        broker.connectsDurably("b").sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        broker.connectsDurably("b").vanishes()
        publisher.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        broker.commitsAtOnce = false
        let back = broker.connectsDurably("b")
        publisher.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2))
        broker.commit(batches: 1)
        publisher.sends(.publish(topic: "t", payload: "3", qos: .atLeastOnce, id: 3))
        broker.commit(batches: 1)
        publisher.sends(.publish(topic: "t", payload: "4", qos: .exactlyOnce, id: 4))
        broker.settle()
        #expect(back.takesMessages().map(\.text) == ["1", "2", "3", "4"])
        #expect(back.connection.session?.flow == .live)
    }

    @Test("a session that ended takes no page, no commit and no message any more")
    func ended() {
        let broker = ShardHarness(commitsAtOnce: false)
        let publisher = broker.connects("a", .v3_1_1)
        let b = broker.connectsDurably("b")
        broker.settle()
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        broker.settle()
        _ = b.takes()
        publisher.sends(.publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1))
        broker.commit()
        publisher.sends(.publish(topic: "t", payload: "2", qos: .exactlyOnce, id: 2))
        b.sends(.disconnect(reason: .success, expiry: 0))
        let new = broker.connectsDurably("b")
        broker.settle()
        new.receivesConnAck()
        b.receivesNothing()
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
        #expect(broker.spool.receivers == 1)
    }
}
