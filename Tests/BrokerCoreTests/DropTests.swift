import BrokerCore
import MQTTCodec
import TestSupport
import Testing

/// Every message that a receiver does not get is counted once, by receiver and by reason; what the spool has, by the spool.
@Suite("Messages that receivers do not get")
struct DropTests {
    private func drops(_ broker: ShardHarness, of name: MQTTString) -> [DropReason: UInt64] {
        broker.shard.dropsOfReceivers.first { $0.name == name }?.counts.byReason ?? [:]
    }

    private func settings(_ change: (inout BrokerSettings) -> Void = { _ in }) -> BrokerSettings {
        var settings = BrokerSettings()
        settings.keepsLedger = true
        change(&settings)
        return settings
    }

    @Test("QoS 0 for who is away and for who does not read")
    func atMostOnce() throws {
        let broker = ShardHarness(settings())
        let p = broker.connects("p")
        let away = broker.connectsDurably("away")
        away.sends(.subscribe(id: 1, filters: "t"))
        away.vanishes()
        let slow = broker.connects("slow")
        slow.sends(.subscribe(id: 1, filters: "t"))
        slow.becomesWritable(false)
        for _ in 0..<3 { p.sends(.publish(topic: "t", payload: "x")) }
        #expect(drops(broker, of: "away") == [.away: 3])
        #expect(drops(broker, of: "slow") == [.buffer: 3])
        #expect(broker.shard.counters.drops.byReason == [.away: 3, .buffer: 3])
        let found = try #require(broker.shard.dropsOfReceivers.first { $0.name == "away" })
        #expect(found.kind == .session && !found.isConnected && found.receiver != nil)
        #expect(drops(broker, of: "p") == [:])
        #expect(broker.books.isClosed)
    }

    @Test("what is too large, has expired, is too much or too old, and what waits when its session ends")
    func memory() {
        let broker = ShardHarness(
            settings {
                $0.queueMessagesMax = 3
                $0.queueAgeMax = .seconds(600)
            }
        )
        let p = broker.connects("p")
        let slow = broker.connects("slow", packetBytesMax: 60)
        slow.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        let long = String(repeating: "x", count: 60)
        p.sends(.publish(topic: "t", payload: long), .publish(topic: "t", payload: long, qos: .atLeastOnce, id: 1))
        slow.becomesWritable(false)
        p.sends(.publish(topic: "t", payload: long, qos: .atLeastOnce, id: 2))
        p.sends(.publish(topic: "t", payload: "soon", qos: .atLeastOnce, id: 3, expiry: 5))
        broker.advance(.seconds(6))
        slow.becomesWritable(true)
        #expect(drops(broker, of: "slow") == [.tooLarge: 3, .expired: 1])
        slow.becomesWritable(false)
        for id in UInt16(4)...8 { p.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id)) }
        #expect(drops(broker, of: "slow") == [.tooLarge: 3, .expired: 1, .oldest: 2])
        broker.advance(.seconds(700))
        #expect(drops(broker, of: "slow") == [.tooLarge: 3, .expired: 1, .oldest: 2, .aged: 3])
        for id in UInt16(9)...10 { p.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id)) }
        slow.vanishes()
        #expect(broker.shard.dropsOfReceivers.isEmpty, "who is gone is in the sum alone")
        #expect(
            broker.shard.counters.drops.byReason == [.tooLarge: 3, .expired: 1, .oldest: 2, .aged: 3, .ended: 2]
        )
        #expect(broker.books.isClosed)
    }

    @Test("what the receiver answers with a failure")
    func rejected() {
        let broker = ShardHarness(settings())
        let p = broker.connects("p")
        let picky = broker.connects("picky")
        picky.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        _ = picky.takes()
        p.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        for message in picky.takesMessages() {
            picky.sends(.pubAck(id: message.packetID, reason: .implementationSpecificError))
        }
        #expect(drops(broker, of: "picky") == [.rejected: 1])
    }

    @Test("what is in the spool is not counted here as well")
    func stored() throws {
        let broker = ShardHarness(settings())
        let p = broker.connects("p")
        let b = broker.opens()
        b.sends(.connect(clientID: "b", cleanStart: false, expiry: 60, packetBytesMax: 60))
        b.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        let long = String(repeating: "x", count: 60)
        p.sends(.publish(topic: "t", payload: long, qos: .atLeastOnce, id: 1))
        #expect(broker.spool.givenUp == [.tooLarge])
        #expect(drops(broker, of: "b") == [:])
        p.sends(.publish(topic: "t", payload: long))
        #expect(drops(broker, of: "b") == [.tooLarge: 1])
    }

    @Test("of a share group: what nobody takes, what does not fit, and what waits when it ends")
    func group() throws {
        let broker = ShardHarness(settings { $0.queueMessagesMax = 2 })
        let p = broker.connects("p")
        let a = broker.connects("a", receiveMaximum: 1)
        a.sends(.subscribe(id: 1, filters: "$share/g/t", qos: .atLeastOnce))
        for id in UInt16(1)...5 { p.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id)) }
        a.becomesWritable(false)
        p.sends(.publish(topic: "t", payload: "x"))
        #expect(drops(broker, of: "$share/g/t") == [.oldest: 2, .buffer: 1])
        #expect(broker.shard.dropsOfReceivers.map(\.kind) == [.group])
        a.vanishes()
        #expect(broker.shard.counters.drops.byReason == [.oldest: 2, .buffer: 1, .ended: 3])
        #expect(broker.books.isClosed)
    }

    @Test("$SYS has the sum of each reason, in memory and in the spool")
    func system() {
        let broker = ShardHarness(settings())
        let ops = broker.connects("ops")
        let away = broker.connectsDurably("away")
        away.sends(.subscribe(id: 1, filters: "t"))
        away.vanishes()
        broker.connects("p").sends(.publish(topic: "t", payload: "x"))
        ops.sends(.subscribe(id: 1, filters: "$SYS/brokers/drawbridge/metrics/messages/dropped/+"))
        _ = ops.takes()
        var stored = DropCounts()
        stored[.aged] = 5
        stored[.away] = 1
        broker.perform { shard, now in shard.report(NodeFigures(version: "1", drops: stored), now: now) }
        let said = ops.takesMessages().map { ($0.topic.string.split(separator: "/").last.map(String.init), $0.text) }
        #expect(said.count == DropReason.allCases.count)
        #expect(said.contains { $0 == ("aged", "5") })
        #expect(said.contains { $0 == ("away", "2") })
        #expect(said.contains { $0 == ("too_large", "0") })
        ops.sends(.subscribe(id: 2, filters: "$SYS/broker/publish/messages/dropped"))
        #expect(ops.takesMessages().map(\.text) == ["7"])
    }
}
