import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Refused at routing, before anything is delivered; never acknowledged and dropped (promise 2).
@Suite("Refusals")
struct RefusalTests {
    private static func site(_ settings: BrokerSettings = BrokerSettings()) -> (
        broker: ShardHarness, durable: ScriptedPeer, clean: ScriptedPeer
    ) {
        let broker = ShardHarness(settings)
        let durable = broker.connectsDurably("durable")
        durable.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        let clean = broker.connects("clean")
        clean.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        _ = (durable.takes(), clean.takes())
        return (broker, durable, clean)
    }

    private static func tell(_ broker: ShardHarness, _ event: SpoolEvent) {
        broker.perform { shard, now in shard.spoolReported([event], now: now) }
    }

    @Test("version 5 hears 0x97 for what would have to be stored, and nobody gets it")
    func version5() {
        let (broker, durable, clean) = Self.site()
        let publisher = broker.connects("a")
        Self.tell(broker, .refusing(.full))
        publisher.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1, reason: .quotaExceeded))
        publisher.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 2))
        publisher.receives(.pubRec(id: 2, reason: .quotaExceeded))
        durable.receivesNothing()
        clean.receivesNothing()
        Self.tell(broker, .refusing(nil))
        publisher.sends(.publish(topic: "t", payload: "y", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1))
        #expect(durable.takesMessages().map(\.text) == ["y"])
    }

    @Test("what needs no room goes on: QoS 0, and receivers that are not durable")
    func liveGoesOn() {
        let (broker, durable, clean) = Self.site()
        let publisher = broker.connects("a")
        Self.tell(broker, .refusing(.sick))
        publisher.sends(.publish(topic: "t", payload: "0"))
        publisher.sends(.publish(topic: "else", payload: "1", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1))
        #expect(durable.takesMessages().map(\.text) == ["0"])
        #expect(clean.takesMessages().map(\.text) == ["0", "1"])
    }

    @Test("a retained message of QoS 0 is delivered and kept: nothing waits for it")
    func retained() {
        let (broker, _, clean) = Self.site()
        Self.tell(broker, .refusing(.diskFull))
        broker.connects("a").sends(.publish(topic: "t", payload: "x", isRetained: true))
        #expect(clean.takesMessages().map(\.text) == ["x"])
        #expect(broker.spool.retained == 1)
    }

    @Test("version 3 is slowed: its message waits, is stored when there is room, and what follows keeps its order")
    func version3() {
        let (broker, durable, _) = Self.site()
        let publisher = broker.connects("a", .v3_1_1)
        Self.tell(broker, .refusing(.full))
        publisher.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        publisher.receivesNothing()
        durable.receivesNothing()
        broker.advance(.seconds(20))
        Self.tell(broker, .refusing(nil))
        publisher.receives(.pubAck(id: 1))
        publisher.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2))
        publisher.receives(.pubAck(id: 2))
        #expect(durable.takesMessages().map(\.text) == ["1", "2"])
        #expect(broker.shard.counters.heldBack == 1 && broker.shard.counters.refused == 0)
        broker.advance(.seconds(60))
        #expect(!publisher.isClosed)
    }

    @Test("while a version 3 message waits its sender is heard: what it acknowledges may be what makes room")
    func version3Heard() throws {
        let broker = ShardHarness()
        let client = broker.connectsDurably("c", .v3_1_1)
        client.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        client.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        let first = try #require(client.takesMessages().first)
        let receiver = try #require(client.connection.session?.receiver)
        Self.tell(broker, .full(receiver, true))
        client.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2))
        client.sends(.publish(topic: "t", payload: "3"))
        client.sends(.publish(topic: "t", payload: "4", qos: .exactlyOnce, id: 4))
        #expect(broker.spool.rows == 1)
        client.sends(.pubAck(id: first.packetID))
        #expect(broker.spool.rows == 0)
        client.sends(.pingReq)
        client.receives(.pingResp)
        Self.tell(broker, .full(receiver, false))
        let packets = client.takes()
        #expect(packets.contains(.pubAck(id: 2)) && packets.contains(.pubRec(id: 4)))
        let texts = packets.compactMap { if case .publish(let publish) = $0 { publish.text } else { nil } }
        #expect(texts.filter { $0 != "3" } == ["2", "4"])
        #expect(texts.contains("3"))
        #expect(!client.connection.isHeld)
    }

    @Test("what waits for room is bounded: then nothing more is read, and all keeps its order")
    func version3Bounded() {
        var settings = BrokerSettings()
        settings.awaitingReleaseMax = 3
        let (broker, durable, _) = Self.site(settings)
        let publisher = broker.connects("a", .v3_1_1)
        Self.tell(broker, .refusing(.full))
        for id in 1...5 as ClosedRange<UInt16> {
            publisher.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id))
        }
        #expect(publisher.connection.stalled.count == 3)
        #expect(publisher.connection.isHeld)
        Self.tell(broker, .refusing(nil))
        publisher.sends(.pingReq)
        publisher.receives(
            .pubAck(id: 1), .pubAck(id: 2), .pubAck(id: 3), .pubAck(id: 4), .pubAck(id: 5), .pingResp)
        #expect(durable.takesMessages().map(\.text) == ["1", "2", "3", "4", "5"])
    }

    @Test("a version 3 publisher without room for 30 s is closed, unacknowledged [311:MQTT-4.8.0-2]")
    func version3Closed() {
        let (broker, durable, _) = Self.site()
        let publisher = broker.connects("a", .v3_1_1)
        Self.tell(broker, .refusing(.full))
        publisher.sends(.publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1))
        broker.advance(.seconds(30))
        #expect(publisher.isClosed)
        publisher.receivesNothing()
        Self.tell(broker, .refusing(nil))
        durable.receivesNothing()
    }

    @Test("one full receiver refuses its own topics only")
    func receiver() throws {
        let (broker, durable, _) = Self.site()
        let publisher = broker.connects("a")
        let id = try #require(durable.connection.session?.receiver)
        Self.tell(broker, .full(id, true))
        publisher.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1, reason: .quotaExceeded))
        publisher.sends(.publish(topic: "u", payload: "x", qos: .atLeastOnce, id: 2))
        publisher.receives(.pubAck(id: 2))
        Self.tell(broker, .full(id, false))
        publisher.sends(.publish(topic: "t", payload: "y", qos: .atLeastOnce, id: 3))
        publisher.receives(.pubAck(id: 3))
        #expect(durable.takesMessages().map(\.text) == ["y"])
        #expect(broker.shard.counters.refused == 1)
        #expect(broker.shard.refusals[id]?.refused == 1 && broker.shard.refusals[id]?.heldBack == 0)
    }

    @Test("the log hears of drops when they begin, then once a minute of all that came since")
    func dropNotices() throws {
        let (broker, durable, _) = Self.site()
        let id = try #require(durable.connection.session?.receiver)
        var told: [String] = []
        func drops(_ messages: Int) {
            broker.perform { shard, now in
                shard.spoolReported([.dropped(id, messages: messages)], now: now)
                told += shard.outbox.notices.filter { $0.text == "messages dropped" }.compactMap(\.detail)
            }
        }
        for _ in 0..<5 { drops(2) }
        broker.advance(.seconds(59))
        drops(3)
        #expect(told.map { $0.prefix(2) } == ["2 "])
        broker.advance(.seconds(1))
        drops(4)
        #expect(told.map { $0.prefix(3) } == ["2 s", "15 "])
    }

    @Test("a message of version 3 that finds no room again and again is held back once")
    func heldBackOnce() throws {
        let (broker, durable, _) = Self.site()
        let publisher = broker.connects("a", .v3_1_1)
        let id = try #require(durable.connection.session?.receiver)
        Self.tell(broker, .refusing(.full))
        publisher.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        Self.tell(broker, .full(id, true))
        Self.tell(broker, .refusing(nil))
        publisher.receivesNothing()
        Self.tell(broker, .full(id, false))
        publisher.receives(.pubAck(id: 1))
        #expect(broker.shard.counters.heldBack == 1)
    }

    @Test(
        "a message that its receiver answers with a failure is given up, and says so",
        arguments: [
            QoS.atLeastOnce, .exactlyOnce,
        ])
    func rejected(_ qos: QoS) {
        let (broker, durable, clean) = Self.site()
        let publisher = broker.connects("a")
        publisher.sends(.publish(topic: "t", payload: "1", qos: qos, id: 1))
        let id = durable.receivesMessage("t", "1", qos)
        _ = clean.takes()
        let failure = ReasonCode.implementationSpecificError
        durable.sends(qos == .atLeastOnce ? .pubAck(id: id, reason: failure) : .pubRec(id: id, reason: failure))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.givenUp == [.rejected])
    }

    @Test("a bridge's own full queue does not hold what it sends, which never goes back to it")
    func ownQueue() throws {
        let broker = ShardHarness()
        let bridge = broker.connectsDurably("bridge")
        let options = SubscriptionOptions(maximumQoS: .atLeastOnce, noLocal: true)
        bridge.sends(.subscribe(id: 1, filters: "#", options: options))
        _ = bridge.takes()
        Self.tell(broker, .full(try #require(bridge.connection.session?.receiver), true))
        bridge.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        bridge.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        let other = broker.connects("other")
        other.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        other.receives(.pubAck(id: 1, reason: .quotaExceeded))
    }

    @Test("its own messages need no room by subscriptions that do not want them")
    func ownQueueBesideAnotherFilter() throws {
        let broker = ShardHarness()
        let client = broker.connectsDurably("c")
        let options = SubscriptionOptions(maximumQoS: .atLeastOnce, noLocal: true)
        client.sends(.subscribe(id: 1, filters: "#", options: options))
        client.sends(.subscribe(id: 2, filters: "t", qos: .atMostOnce))
        _ = client.takes()
        Self.tell(broker, .full(try #require(client.connection.session?.receiver), true))
        client.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        #expect(client.takesMessages().map(\.text) == ["x"])
        let other = broker.connects("other")
        other.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        other.receives(.pubAck(id: 1, reason: .quotaExceeded))
    }

    @Test("a refusal does not overtake one that waits behind somebody else's commit [5:MQTT-4.6.0-2]")
    func refusalsInOrder() throws {
        let (broker, durable, _) = Self.site()
        let id = try #require(durable.connection.session?.receiver)
        broker.commitsAtOnce = false
        let publisher = broker.connects("a")
        let other = broker.connects("b")
        publisher.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        other.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 1))
        Self.tell(broker, .full(id, true))
        publisher.sends(.publish(topic: "t", payload: "3", qos: .atLeastOnce, id: 2))
        broker.commit(batches: 1)
        publisher.receives(.pubAck(id: 1))
        // Its ticket is on disk; the refusal before it stands behind the other's message, which is not.
        publisher.sends(.publish(topic: "t", payload: "4", qos: .atLeastOnce, id: 3))
        publisher.receivesNothing()
        broker.commit()
        publisher.receives(.pubAck(id: 2, reason: .quotaExceeded), .pubAck(id: 3, reason: .quotaExceeded))
        other.receives(.pubAck(id: 1))
    }

    @Test("who waits for the room of a receiver waits no longer when its session ends")
    func receiverEnds() throws {
        let (broker, durable, clean) = Self.site()
        let id = try #require(durable.connection.session?.receiver)
        Self.tell(broker, .full(id, true))
        let publisher = broker.connects("a", .v3_1_1)
        publisher.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        publisher.receivesNothing()
        _ = broker.connects("durable")
        // The spool says it of every receiver that goes.
        Self.tell(broker, .full(id, false))
        publisher.receives(.pubAck(id: 1))
        #expect(clean.takesMessages().map(\.text) == ["1"])
    }

    @Test("the gateway is told before it publishes")
    func gateway() {
        let (broker, _, clean) = Self.site()
        func refusal(_ qos: QoS, _ topic: MQTTString) -> ReasonCode? {
            var answer: ReasonCode?
            broker.perform { shard, now in
                let request = GatewayPublish(topic: topic, payload: ByteBuffer(), qos: qos, isRetained: false)
                answer = shard.refusal(of: request, now: now)
            }
            return answer
        }
        Self.tell(broker, .refusing(.full))
        #expect(refusal(.atLeastOnce, "t") == .quotaExceeded)
        #expect(broker.shard.counters.refused == 1)
        #expect(refusal(.atMostOnce, "t") == nil)
        #expect(refusal(.atLeastOnce, "u") == nil)
        clean.receivesNothing()
    }

    @Test("mode off waits for no commit; a rule that says sync does")
    func modes() throws {
        var settings = BrokerSettings()
        settings.durability = .off
        settings.durabilityRules = [DurabilityRule(filter: try TopicFilter(validating: "t"), mode: .sync)]
        let (broker, durable, _) = Self.site(settings)
        durable.sends(.subscribe(id: 2, filters: "u", qos: .atLeastOnce))
        _ = durable.takes()
        broker.commitsAtOnce = false
        let publisher = broker.connects("a")
        publisher.sends(.publish(topic: "u", payload: "1", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1))
        publisher.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2))
        // A later turn, which nothing demands, does not make it look committed.
        publisher.sends(.publish(topic: "u", payload: "3", qos: .atLeastOnce, id: 3))
        publisher.receivesNothing()
        broker.commit()
        publisher.receives(.pubAck(id: 2), .pubAck(id: 3))
        #expect(durable.takesMessages().map(\.text) == ["1", "2", "3"])
    }

    @Test("mode sync with a rule that says off: those topics are acknowledged at once")
    func ruleOff() throws {
        var settings = BrokerSettings()
        settings.durabilityRules = [DurabilityRule(filter: try TopicFilter(validating: "t"), mode: .off)]
        let (broker, _, _) = Self.site(settings)
        broker.commitsAtOnce = false
        let publisher = broker.connects("a")
        publisher.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1))
        broker.settle()
        #expect(broker.spool.rows == 1)
    }
}
