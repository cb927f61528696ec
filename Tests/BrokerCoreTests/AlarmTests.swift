import BrokerCore
import MQTTCodec
import TestSupport
import Testing

@Suite("Alarms of queues")
struct AlarmTests {
    private static let alarms = "$SYS/brokers/drawbridge/alarms/#"

    private func watcher(_ broker: ShardHarness) -> ScriptedPeer {
        let ops = broker.connects("ops")
        ops.sends(.subscribe(id: 1, filters: Self.alarms))
        _ = ops.takes()
        return ops
    }

    private func tells(_ broker: ShardHarness, _ receiver: ReceiverID?, _ level: QueueLevel) {
        broker.perform { shard, now in shard.spoolReported([.level(receiver, level)], now: now) }
    }

    @Test("a stored queue's alarm is said once: an event, a line in the log, a count; and once that it is over")
    func session() throws {
        let broker = ShardHarness()
        let ops = watcher(broker)
        let alice = broker.connectsDurably("a/1")
        let receiver = try #require(alice.connection.session?.receiver)
        alice.vanishes()
        tells(broker, receiver, QueueLevel(isHigh: true, messages: 6_000, bytes: 99_000))
        _ = ops.receivesMessage(
            "$SYS/brokers/drawbridge/alarms/queue_high_watermark.a%2F1/alert",
            #"{"id":"queue_high_watermark.a/1","severity":"warning","title":"queue","#
                + #""summary":"6000 messages, 99000 bytes","ts":1800000000}"#
        )
        let notice = try #require(broker.notices.last)
        #expect(notice.level == .warning && notice.text == "queue above its high watermark")
        #expect(notice.clientID == "a/1" && notice.detail == "6000 messages, 99000 bytes")
        #expect(broker.shard.alarms == 1 && broker.shard.counters.alarmsRaised == 1)
        tells(broker, receiver, QueueLevel(isHigh: true, messages: 7_000, bytes: 99_000))
        ops.receivesNothing()
        tells(broker, receiver, QueueLevel(isHigh: false, messages: 10, bytes: 20))
        _ = ops.receivesMessage(
            "$SYS/brokers/drawbridge/alarms/queue_high_watermark.a%2F1/clear",
            #"{"id":"queue_high_watermark.a/1","severity":"warning","title":"queue","#
                + #""summary":"10 messages, 20 bytes","ts":1800000000}"#
        )
        #expect(broker.notices.last?.level == .info)
        #expect(broker.shard.alarms == 0 && broker.shard.counters.alarmsCleared == 1)
    }

    @Test("so is that of the spool as a whole")
    func spool() {
        let broker = ShardHarness()
        let ops = watcher(broker)
        tells(broker, nil, QueueLevel(isHigh: true, messages: 1, bytes: 2))
        #expect(ops.takesMessages().map(\.topic) == ["$SYS/brokers/drawbridge/alarms/spool_high_watermark/alert"])
        tells(broker, nil, QueueLevel(isHigh: true, messages: 1, bytes: 2))
        ops.receivesNothing()
        broker.perform { shard, now in shard.report(NodeFigures(version: "1"), now: now) }
        ops.sends(.subscribe(id: 2, filters: "$SYS/brokers/drawbridge/stats/alarms/count"))
        #expect(ops.takesMessages().map(\.text) == ["1"])
        tells(broker, nil, QueueLevel(isHigh: false, messages: 1, bytes: 1))
        #expect(ops.takesMessages().map(\.topic) == ["$SYS/brokers/drawbridge/alarms/spool_high_watermark/clear"])
        #expect(
            broker.notices.dropFirst().map(\.text) == [
                "spool above its high watermark", "spool below its low watermark again",
            ]
        )
    }

    @Test("the alarm of a session that ends is over, whatever the spool says afterwards")
    func ended() throws {
        let broker = ShardHarness()
        let ops = watcher(broker)
        let alice = broker.connectsDurably("alice")
        let receiver = try #require(alice.connection.session?.receiver)
        tells(broker, receiver, QueueLevel(isHigh: true, messages: 5, bytes: 5))
        alice.sends(.disconnect(reason: .success, expiry: 0))
        tells(broker, receiver, QueueLevel(isHigh: false, messages: 0, bytes: 0))
        #expect(
            ops.takesMessages().map(\.topic) == [
                "$SYS/brokers/drawbridge/alarms/queue_high_watermark.alice/alert",
                "$SYS/brokers/drawbridge/alarms/queue_high_watermark.alice/clear",
            ]
        )
        #expect(broker.shard.alarms == 0)
    }

    @Test("a hundred alarms at once are counted and told as events, and do not fill the log")
    func manyAtOnce() throws {
        let broker = ShardHarness()
        var receivers: [ReceiverID] = []
        for number in 0..<100 {
            let peer = broker.connectsDurably(MQTTString("s\(number)"))
            receivers.append(try #require(peer.connection.session?.receiver))
        }
        broker.notices.removeAll()
        for receiver in receivers { tells(broker, receiver, QueueLevel(isHigh: true, messages: 9, bytes: 9)) }
        #expect(broker.shard.alarms == 100)
        #expect(broker.notices.count == 20)
        broker.advance(.seconds(2))
        tells(broker, receivers[0], QueueLevel(isHigh: false, messages: 1, bytes: 1))
        #expect(broker.notices.last?.detail == "1 messages, 1 bytes; 80 more alarms were not logged")
    }

    @Test("a queue in memory has an alarm too, said when the turn is over", arguments: [false, true])
    func memory(_ isGroup: Bool) {
        var settings = BrokerSettings()
        settings.queueMessagesMax = 10
        let broker = ShardHarness(settings)
        let ops = watcher(broker)
        let slow = broker.connects("slow", receiveMaximum: 1)
        slow.sends(.subscribe(id: 1, filters: isGroup ? "$share/g/t" : "t", qos: .atLeastOnce))
        let p = broker.connects("p")
        for id in UInt16(1)...6 { p.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id)) }
        broker.advance(.milliseconds(1))
        ops.receivesNothing()
        // One is in the window, and six wait.
        for id in UInt16(7)...9 { p.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id)) }
        broker.advance(.milliseconds(1))
        let id = isGroup ? "group_queue_high_watermark.$share%2Fg%2Ft" : "queue_high_watermark.slow"
        #expect(ops.takesMessages().map(\.topic) == [MQTTString("$SYS/brokers/drawbridge/alarms/\(id)/alert")])
        for _ in 0..<7 {
            for message in slow.takesMessages() { slow.sends(.pubAck(id: message.packetID)) }
        }
        broker.advance(.milliseconds(1))
        #expect(ops.takesMessages().map(\.topic) == [MQTTString("$SYS/brokers/drawbridge/alarms/\(id)/clear")])
        #expect(broker.shard.alarms == 0)
    }

    @Test("what passes a watermark and comes back within a turn is not worth a word; other marks are")
    func brief() {
        var settings = BrokerSettings()
        settings.queueMessagesMax = 10
        let broker = ShardHarness(settings)
        let ops = watcher(broker)
        let slow = broker.connects("slow", receiveMaximum: 1)
        slow.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        let p = broker.connects("p")
        for id in UInt16(1)...7 { p.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id)) }
        broker.reconfigures { $0.watermarks = Watermarks(low: 0.8, high: 0.9) }
        broker.advance(.milliseconds(1))
        ops.receivesNothing()
        broker.reconfigures { $0.watermarks = Watermarks(low: 0.1, high: 0.2) }
        broker.advance(.milliseconds(1))
        #expect(ops.takesMessages().count == 1)
        slow.vanishes()
        #expect(ops.takesMessages().map { $0.topic.string.hasSuffix("/clear") } == [true])
        #expect(broker.shard.alarms == 0)
    }
}
