import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Shared subscriptions: members that die, leave, return")
struct SharedMemberTests {
    // MARK: A member dies

    @Test("what a dead member had of QoS 1 goes to another, before what came later", arguments: [false, true])
    func redelivery(_ isDurable: Bool) {
        let broker = ShardHarness(.shared)
        func member(_ name: MQTTString) -> ScriptedPeer {
            isDurable ? broker.connectsDurably(name, receiveMaximum: 2) : broker.connects(name, receiveMaximum: 2)
        }
        let a = member("a")
        let b = member("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...6)
        #expect(a.texts == ["1", "3"])
        let held = b.takesMessages()
        #expect(held.map(\.text) == ["2", "4"])
        a.vanishes()
        b.receivesNothing()
        for message in held { b.sends(.pubAck(id: message.packetID)) }
        #expect(b.acknowledgesAll() == ["1", "3"])
        #expect(b.acknowledgesAll() == ["5", "6"])
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("when the node says goodbye, what one member had does not go through the hands of the others")
    func draining() {
        let broker = ShardHarness()
        let members = ["a", "b", "c"].map { broker.connectsDurably(MQTTString($0)) }
        for member in members { member.joins("$share/g/t", .atLeastOnce) }
        broker.connects("p").says(1...3)
        for member in members { #expect(member.texts.count == 1) }
        broker.perform { shard, now in shard.drain(now: now) }
        for member in members { member.receives(.disconnect(reason: .serverShuttingDown)) }
        #expect(broker.spool.rows == 3)
    }

    @Test("what no member is there for waits for the next one, in order")
    func nobodyThere() {
        let broker = ShardHarness(.shared)
        let a = broker.connectsDurably("a")
        a.joins("$share/g/t", .atLeastOnce)
        a.vanishes()
        broker.connects("p").says(1...3)
        #expect(broker.spool.rows == 3)
        let b = broker.connects("b")
        b.sends(.subscribe(id: 1, filters: "$share/g/t", qos: .atLeastOnce))
        #expect(b.acknowledgesAll() == ["1", "2", "3"])
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a session that returns finds what its group has waiting")
    func returning() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        a.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.says(1...1)
        a.vanishes()
        p.says(2...3)
        let back = broker.connectsDurably("a")
        #expect(back.acknowledgesAll() == ["1", "2", "3"])
        #expect(broker.spool.rows == 0)
    }

    @Test("QoS 2 that was sent is finished with the same client when it returns [5:MQTT-4.8.2-4]")
    func exactlyOnceIsFinished() {
        let broker = ShardHarness(.shared)
        let (a, b) = broker.durableMembers(.exactlyOnce)
        let p = broker.connects("p")
        p.says(1...2, .exactlyOnce)
        let id = a.receivesMessage("t", "1", .exactlyOnce)
        let other = b.receivesMessage("t", "2", .exactlyOnce)
        a.vanishes()
        b.sends(.pubRec(id: other), .pubComp(id: other))
        b.receives(.pubRel(id: other))
        let back = broker.connectsDurably("a")
        #expect(
            back.takes().dropFirst() == [
                .publish(topic: "t", payload: "1", qos: .exactlyOnce, id: id, isDuplicate: true)
            ]
        )
        back.sends(.pubRec(id: id))
        back.receives(.pubRel(id: id))
        back.vanishes()
        let again = broker.connectsDurably("a")
        #expect(again.takes().dropFirst() == [.pubRel(id: id)])
        again.sends(.pubComp(id: id))
        broker.holdsNothing()
    }

    @Test("QoS 2 of a session that ends goes to nobody else [5:MQTT-4.8.2-5]", arguments: [false, true])
    func exactlyOnceEnds(_ isDurable: Bool) {
        let broker = ShardHarness(.shared)
        let a = isDurable ? broker.connectsDurably("a") : broker.connects("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .exactlyOnce)
        b.joins("$share/g/t", .exactlyOnce)
        broker.connects("p").says(1...2, .exactlyOnce)
        _ = a.receivesMessage("t", "1", .exactlyOnce)
        let other = b.receivesMessage("t", "2", .exactlyOnce)
        a.vanishes()
        if isDurable { broker.connects("a").vanishes() }
        b.receivesNothing()
        b.sends(.pubRec(id: other), .pubComp(id: other))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
        #expect(broker.spool.givenUp == [.ended])
        #expect(broker.books.isClosed)
    }

    @Test("QoS 2 that was not sent yet goes to another member")
    func unsentExchange() {
        let broker = ShardHarness(.shared)
        let (a, b) = broker.durableMembers(.exactlyOnce)
        let p = broker.connects("p")
        broker.commitsAtOnce = false
        p.sends(.publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1))
        broker.commit()
        // Its identifier is not on disk yet.
        a.vanishes()
        broker.settle()
        a.receivesNothing()
        let id = b.receivesMessage("t", "1", .exactlyOnce)
        b.sends(.pubRec(id: id), .pubComp(id: id))
        broker.settle()
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a failing answer of a member settles a message for the group [5:MQTT-4.8.2-6]", arguments: [false, true])
    func failingAnswer(_ isDurable: Bool) {
        let broker = ShardHarness(.shared)
        let members = ["a", "b"].map {
            isDurable ? broker.connectsDurably(MQTTString($0)) : broker.connects(MQTTString($0))
        }
        for member in members { member.joins("$share/g/t", .exactlyOnce) }
        let p = broker.connects("p")
        p.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        members[0].sends(.pubAck(id: members[0].receivesMessage("t", "1", .atLeastOnce), reason: .unspecifiedError))
        p.sends(.publish(topic: "t", payload: "2", qos: .exactlyOnce, id: 2), .pubRel(id: 2))
        members[1].sends(.pubRec(id: members[1].receivesMessage("t", "2", .exactlyOnce), reason: .quotaExceeded))
        for member in members { member.receivesNothing() }
        broker.holdsNothing()
    }

    // MARK: Leaving

    @Test("a member that unsubscribes finishes what it was sent [5:MQTT-3.10.4-3]")
    func unsubscribing() {
        let broker = ShardHarness(.shared)
        let (a, b) = broker.durableMembers(.atLeastOnce)
        let p = broker.connects("p")
        p.says(1...2)
        let id = a.receivesMessage("t", "1", .atLeastOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        a.receives(.unsubAck(id: 2, reasons: .success))
        p.says(3...3)
        #expect(b.acknowledgesAll() == ["2", "3"])
        a.sends(.pubAck(id: id))
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("the last member that leaves takes the queue with it", arguments: [false, true])
    func lastMember(_ isDurable: Bool) {
        let broker = ShardHarness(.shared)
        let a = isDurable ? broker.connectsDurably("a", receiveMaximum: 1) : broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .exactlyOnce)
        broker.connects("p").says(1...3)
        let id = a.receivesMessage("t", "1", .atLeastOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        _ = a.takes()
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
        a.sends(.pubAck(id: id))
        a.receivesNothing()
        a.joins("$share/g/t", .exactlyOnce)
        broker.connects("q").says(4...4)
        #expect(a.acknowledgesAll() == ["4"])
    }

    @Test("an exchange whose group is gone is released when its client returns")
    func exchangeWithoutGroup() {
        let broker = ShardHarness(.shared)
        let a = broker.connectsDurably("a")
        a.joins("$share/g/t", .exactlyOnce)
        broker.connects("p").says(1...1, .exactlyOnce)
        let id = a.receivesMessage("t", "1", .exactlyOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        _ = a.takes()
        a.vanishes()
        let back = broker.connectsDurably("a")
        #expect(back.takes().dropFirst() == [.pubRel(id: id)])
        back.sends(.pubComp(id: id))
        #expect(broker.spool.identifiers == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a group is durable from its first durable member on; what memory has goes out first")
    func becomesDurable() {
        let broker = ShardHarness(.shared)
        let a = broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.says(1...3)
        #expect(broker.spool.rows == 0)
        let b = broker.connectsDurably("b")
        b.joins("$share/g/t", .atLeastOnce)
        b.vanishes()
        p.says(4...5)
        #expect(broker.spool.rows > 0)
        var seen: [String] = []
        for _ in 0..<8 { seen += a.acknowledgesAll() }
        #expect(seen == ["1", "2", "3", "4", "5"])
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    // MARK: Restart

    @Test("a restart keeps the queue of a group and what its members had")
    func restart() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        let b = broker.connects("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...4)
        #expect(a.acknowledgesAll() == ["1", "3"])
        #expect(b.texts == ["2", "4"])
        broker.restarts()
        #expect(broker.spool.rows == 2)
        #expect(broker.connectsDurably("a").acknowledgesAll() == ["2", "4"])
        #expect(broker.spool.rows == 0)
    }

    @Test("after a restart QoS 2 is finished with the client that had it; what only the dead had is over")
    func restartOfExchanges() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        let b = broker.connectsDurably("b")
        let c = broker.connects("c")
        for member in [a, b, c] { member.joins("$share/g/t", .exactlyOnce) }
        broker.connects("p").says(1...3, .exactlyOnce)
        let first = a.receivesMessage("t", "1", .exactlyOnce)
        let second = b.receivesMessage("t", "2", .exactlyOnce)
        _ = c.receivesMessage("t", "3", .exactlyOnce)
        a.sends(.pubRec(id: first))
        broker.restarts()
        #expect(broker.spool.givenUp == [.ended])
        let back = broker.connectsDurably("a")
        #expect(back.takes().dropFirst() == [.pubRel(id: first)])
        back.sends(.pubComp(id: first))
        let other = broker.connectsDurably("b")
        #expect(
            other.takes().dropFirst() == [
                .publish(topic: "t", payload: "2", qos: .exactlyOnce, id: second, isDuplicate: true)
            ]
        )
        other.sends(.pubRec(id: second), .pubComp(id: second))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("a group without durable members ends with the process")
    func restartWithoutMembers() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        let b = broker.connects("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        broker.connects("p").says(1...2)
        #expect(b.texts == ["1", "2"])
        #expect(broker.spool.rows == 2)
        broker.restarts()
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.receivers == 1)
    }
}
