import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("What can grow has a limit")
struct BoundsTests {
    private let text = String(repeating: "x", count: 200)

    @Test("while the spool is behind, whoever makes it store more is not read from", arguments: bothVersions)
    func spoolBehind(_ version: ProtocolVersion) {
        var settings = BrokerSettings()
        settings.spoolBacklogBytesMax = 4_000
        let broker = ShardHarness(settings, commitsAtOnce: false)
        let (a, b) = (broker.connects("a", version), broker.connects("b", version))
        for number in 0..<40 { a.sends(.publish(topic: MQTTString("t/\(number)"), payload: text, isRetained: true)) }
        #expect(a.connection.isHeld)
        #expect(broker.shard.retained.count < 12)
        // Who makes nobody store anything goes on.
        b.sends(.publish(topic: "u", payload: text))
        #expect(!b.connection.isHeld)
        broker.settle()
        #expect(!a.connection.isHeld)
        #expect(broker.shard.retained.count == 40)
    }

    @Test("a disk that takes nothing is not given sessions and wills without end", arguments: bothVersions)
    func spoolFull(_ version: ProtocolVersion) {
        var settings = BrokerSettings()
        settings.spoolBacklogBytesMax = 2_000
        let broker = ShardHarness(settings, commitsAtOnce: false)
        var refused = 0
        for number in 0..<100 {
            let client = broker.opens(version)
            client.sends(
                .connect(clientID: MQTTString("c\(number)"), version: version, cleanStart: false, expiry: 60))
            if client.isClosed { refused += 1 }
        }
        #expect((10..<90).contains(refused))
        // Who leaves nothing behind comes in.
        #expect(!broker.connects("loose", version).isClosed)
        broker.settle()
        #expect(!broker.connects("late", version, expiry: 60).isClosed)
    }

    @Test("while the spool is behind, the gateway refuses what would be stored")
    func gatewayBehind() {
        var settings = BrokerSettings()
        settings.spoolBacklogBytesMax = 100
        let broker = ShardHarness(settings, commitsAtOnce: false)
        let a = broker.connects("a")
        a.sends(.publish(topic: "t", payload: text, isRetained: true))
        let kept = GatewayPublish(topic: "t", payload: ByteBuffer(), qos: .atLeastOnce, isRetained: false)
        let loose = GatewayPublish(topic: "t", payload: ByteBuffer(), qos: .atMostOnce, isRetained: false)
        #expect(broker.shard.refusal(of: kept, now: broker.now) == .quotaExceeded)
        #expect(broker.shard.refusal(of: loose, now: broker.now) == nil)
        broker.settle()
        #expect(broker.shard.refusal(of: kept, now: broker.now) == nil)
    }

    @Test("the gateway's topics have no more levels than those of clients")
    func gatewayLevels() {
        let broker = ShardHarness()
        func refusal(levels: Int) -> ReasonCode? {
            let topic = MQTTString(Array(repeating: "a", count: levels).joined(separator: "/"))
            return broker.shard.refusal(
                of: GatewayPublish(topic: topic, payload: ByteBuffer(), qos: .atMostOnce, isRetained: false),
                now: broker.now
            )
        }
        #expect(refusal(levels: 128) == nil)
        #expect(refusal(levels: 129) == .topicNameInvalid)
    }

    @Test("properties of a retained message count against its limit")
    func heavyProperties() {
        var settings = BrokerSettings()
        settings.retainedPayloadMax = 1_000
        let broker = ShardHarness(settings)
        let a = broker.connects("a")
        var properties = Properties()
        properties.values.userProperties = [
            Properties.UserProperty("name", MQTTString(text + text + text + text + text))
        ]
        a.sends(
            .publish(
                Publish(
                    topic: "t",
                    payload: ByteBuffer(string: "x"),
                    qos: .atLeastOnce,
                    packetID: 1,
                    isRetained: true,
                    isDuplicate: false,
                    properties: properties
                )
            )
        )
        a.receives(.pubAck(id: 1, reason: .quotaExceeded))
        #expect(broker.shard.retained.count == 0)
    }

    @Test("sessions that outlive their connection are counted; others still get in")
    func sessions() {
        var settings = BrokerSettings()
        settings.sessionsMax = 1
        let broker = ShardHarness(settings)
        let a = broker.connectsDurably("a")
        a.receivesConnAck()
        let b = broker.connectsDurably("b")
        b.receivesConnAck(.quotaExceeded)
        #expect(b.isClosed)
        let c = broker.opens()
        c.sends(.connect(clientID: "c"))
        c.receivesConnAck()
        a.vanishes()
        broker.connectsDurably("a").receivesConnAck(isSessionPresent: true)
    }

    @Test("who makes us look through many retained messages rests, and gets them all the same")
    func replayRests() {
        let broker = ShardHarness()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        for number in 0..<1_100 {
            a.sends(.publish(topic: MQTTString("n\(number)/\(number)"), payload: "x", isRetained: true))
        }
        b.sends(.subscribe(id: 1, filters: "+/5", "+/6", "+/7"))
        #expect(b.takesMessages().map(\.topic) == ["n5/5"])
        // Another packet gives no second turn.
        b.sends(.subscribe(id: 2, filters: "+/8"))
        #expect(b.takesMessages().isEmpty)
        broker.advance(.milliseconds(20))
        #expect(b.takesMessages().map(\.topic) == ["n6/6", "n7/7", "n8/8"])
    }

    @Test("a replay is not dropped where it goes beyond the write buffer, it waits")
    func replayWaits() {
        var settings = BrokerSettings()
        settings.writeBufferBytesMax = 1_000
        let broker = ShardHarness(settings)
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        for number in 10..<30 { a.sends(.publish(topic: MQTTString("t/\(number)"), payload: text, isRetained: true)) }
        b.sends(.subscribe(id: 1, filters: "t/#"))
        var count = b.takesMessages().count
        #expect(count < 10)
        for _ in 0..<10 {
            b.becomesWritable(true)
            count += b.takesMessages().count
        }
        #expect(count == 20)
        #expect(broker.shard.counters.qos0Dropped == 0)
    }

    @Test("a filter that is subscribed again is replayed once, an unsubscribed one no more")
    func replaysOnce() {
        let broker = ShardHarness()
        let (a, b) = (broker.connects("a"), broker.connects("b", receiveMaximum: 1))
        a.sends(.publish(topic: "t/1", payload: "x", qos: .atLeastOnce, id: 1, isRetained: true))
        a.sends(.publish(topic: "t/2", payload: "x", qos: .atLeastOnce, id: 2, isRetained: true))
        b.sends(.subscribe(id: 1, filters: "t/+", "t/2", qos: .atLeastOnce))
        b.sends(.subscribe(id: 2, filters: "t/2", qos: .atLeastOnce))
        b.sends(.unsubscribe(id: 3, filters: "t/+"))
        let first = b.takesMessages()
        #expect(first.map(\.topic) == ["t/1"])
        b.sends(.pubAck(id: first.first?.packetID ?? 0))
        let second = b.takesMessages()
        #expect(second.map(\.topic) == ["t/2"])
        b.sends(.pubAck(id: second.first?.packetID ?? 0))
        #expect(b.takesMessages().isEmpty)
    }
}
