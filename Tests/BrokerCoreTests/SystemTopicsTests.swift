import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("What the broker says of itself")
struct SystemTopicsTests {
    private func report(_ broker: ShardHarness, _ figures: NodeFigures = NodeFigures(version: "test version 1")) {
        broker.perform { shard, now in shard.report(figures, now: now) }
    }

    private func values(_ messages: [Publish]) -> [MQTTString: String] {
        Dictionary(messages.map { ($0.topic, $0.text) }) { _, last in last }
    }

    // MARK: Values

    @Test("counts what clients sent and got, under mosquitto's names")
    func mosquitto() {
        let broker = ShardHarness()
        let alice = broker.connects("alice")
        let bob = broker.connects("bob", expiry: 60)
        let carol = broker.connects("carol", .v3_1_1)
        alice.sends(.subscribe(id: 1, filters: "a/#", "$share/g/b"))
        bob.sends(.publish(topic: "a/b", payload: "four"), .publish(topic: "a/c", payload: "!", isRetained: true))
        bob.vanishes()
        carol.sends(.pingReq)
        var drops = DropCounts()
        drops[.oldest] = 2
        drops[.tooLarge] = 7
        report(broker, NodeFigures(version: "test version 1", storedMessages: 3, storedBytes: 99, drops: drops))
        _ = alice.takes()
        alice.sends(.subscribe(id: 2, filters: "$SYS/broker/#"))
        let said = values(alice.takesMessages())
        let expected: [MQTTString: String] = [
            "version": "test version 1", "uptime": "0 seconds", "clients/total": "3", "clients/connected": "2",
            "clients/active": "2", "clients/disconnected": "1", "clients/inactive": "1", "clients/maximum": "3",
            "clients/expired": "0", "messages/received": "7", "messages/sent": "7", "messages/stored": "3",
            "store/messages/count": "3", "store/messages/bytes": "99", "retained messages/count": "1",
            "subscriptions/count": "2", "shared_subscriptions/count": "1", "publish/messages/received": "2",
            "publish/messages/sent": "2", "publish/messages/dropped": "2", "publish/bytes/received": "5",
            "publish/bytes/sent": "5",
        ]
        for (name, value) in expected { #expect(said[MQTTString("$SYS/broker/\(name)")] == value, "\(name)") }
    }

    @Test("and under emqttd's, with the name of the node")
    func emqttd() {
        let broker = ShardHarness { $0.nodeName = "edge-1" }
        let alice = broker.connects("alice")
        broker.advance(.seconds(90_061))
        report(broker)
        alice.sends(.subscribe(id: 1, filters: "$SYS/brokers/#"))
        let said = values(alice.takesMessages())
        #expect(said["$SYS/brokers"] == "edge-1")
        #expect(said["$SYS/brokers/edge-1/version"] == "test version 1")
        #expect(said["$SYS/brokers/edge-1/uptime"] == "1 days, 1 hours, 1 minutes, 1 seconds")
        // The harness begins at 1,800,000,000 seconds after 1970.
        #expect(said["$SYS/brokers/edge-1/datetime"] == "2027-01-16 09:01:01")
        #expect(said["$SYS/brokers/edge-1/stats/clients/count"] == "1")
        #expect(said["$SYS/brokers/edge-1/metrics/packets/connect"] == "1")
    }

    @Test("says only what has changed to those who listened before")
    func changes() {
        let broker = ShardHarness()
        let alice = broker.connects("alice")
        alice.sends(.subscribe(id: 1, filters: "$SYS/broker/+", "$SYS/broker/clients/+"))
        _ = alice.takes()
        report(broker)
        #expect(values(alice.takesMessages())["$SYS/broker/clients/connected"] == "1")
        _ = broker.connects("bob")
        broker.advance(.seconds(10))
        report(broker)
        #expect(
            Set(alice.takesMessages().map(\.topic)) == [
                "$SYS/broker/uptime", "$SYS/broker/clients/total", "$SYS/broker/clients/connected",
                "$SYS/broker/clients/active", "$SYS/broker/clients/maximum",
            ]
        )
    }

    @Test("averages of a minute follow what happens, and fade")
    func load() {
        let broker = ShardHarness()
        let alice = broker.connects("alice")
        alice.sends(.subscribe(id: 1, filters: "$SYS/broker/load/publish/received/+"))
        func perMinute() -> [String] {
            broker.advance(.seconds(60))
            report(broker)
            return alice.takesMessages().map(\.text)
        }
        for _ in 0..<100 { alice.sends(.publish(topic: "a")) }
        _ = alice.takes()
        // 1 - 1/e of them, and 1 - e to the -1/5 and -1/15.
        #expect(perMinute() == ["63.21", "18.13", "6.45"])
        #expect(perMinute() == ["23.26", "14.84", "6.03"])
    }

    @Test("has only the names that are configured")
    func names() {
        let broker = ShardHarness { $0.systemNames = [.mosquitto] }
        let alice = broker.connects("alice")
        alice.sends(.subscribe(id: 1, filters: "$SYS/brokers/#"))
        _ = alice.takes()
        report(broker)
        _ = broker.connects("bob")
        alice.receivesNothing()
        broker.reconfigures { $0.systemNames = [] }
        alice.sends(.subscribe(id: 2, filters: "$SYS/#"))
        report(broker)
        #expect(values(alice.takesMessages())["$SYS/broker/clients/connected"] == "1")
        _ = broker.connects("carol")
        report(broker)
        alice.receivesNothing()
    }

    // MARK: Whose they are

    @Test(
        "wildcards at the first level do not match, and nobody publishes there [5:MQTT-4.7.2-1] [311:MQTT-4.7.2-1]",
        arguments: bothVersions
    )
    func reserved(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let alice = broker.connects("alice", version)
        alice.sends(.subscribe(id: 1, filters: "#", "+/broker/uptime"))
        _ = alice.takes()
        report(broker)
        _ = broker.connects("bob")
        alice.receivesNothing()
        alice.sends(.publish(topic: "$SYS/broker/uptime", payload: "0", isRetained: true))
        #expect(broker.shard.retained[topic: "$SYS/broker/uptime"]?.payload == ByteBuffer(string: "0 seconds"))
    }

    @Test("access rules count")
    func access() {
        let broker = ShardHarness(rules: [
            rule(.allow, .subscribe, who: .user("ops"), topics: "$SYS/#"), rule(.allow, .both, "#"),
        ])
        let ops = broker.lets("ops")
        let alice = broker.lets("alice")
        alice.sends(.subscribe(id: 1, filters: "$SYS/#"))
        alice.receives(.subAck(id: 1, reasons: .notAuthorized))
        ops.sends(.subscribe(id: 1, filters: "$SYS/#"))
        ops.receives(.subAck(id: 1, reasons: .success))
        report(broker)
        alice.receivesNothing()
        #expect(ops.takesMessages().count > 50)
    }

    @Test("takes no room of clients' retained messages, and nothing on disk")
    func room() {
        let broker = ShardHarness { $0.retainedMessagesMax = 1 }
        let alice = broker.connects("alice", expiry: 60)
        alice.sends(.subscribe(id: 1, filters: "$SYS/#", qos: .exactlyOnce))
        report(broker)
        #expect(alice.takesMessages().allSatisfy { $0.qos == .atMostOnce })
        alice.sends(.publish(topic: "a", payload: "x", qos: .atLeastOnce, id: 1, isRetained: true))
        alice.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        #expect(broker.shard.retained.count == 1)
        #expect(broker.shard.brokenBound(of: broker.settings) == nil)
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.retained == 1)
    }

    @Test("what brokers retain of their links to us takes room like everything of clients")
    func connectionStates() {
        let broker = ShardHarness { $0.retainedMessagesMax = 1 }
        let bridge = broker.connects("bridge")
        for (id, name) in [(UInt16(1), "a"), (2, "b")] {
            let topic = MQTTString("$SYS/broker/connection/\(name)/state")
            bridge.sends(.publish(topic: topic, payload: "1", qos: .atLeastOnce, id: id, isRetained: true))
            bridge.receives(.pubAck(id: id, reason: id == 1 ? .noMatchingSubscribers : .quotaExceeded))
        }
        #expect(broker.shard.retained.count == 1)
    }

    // MARK: Presence

    @Test("says who came, how and from where")
    func connected() {
        let broker = ShardHarness { $0.nodeName = "edge-1" }
        let ops = broker.connects("ops")
        ops.sends(.subscribe(id: 1, filters: "$SYS/brokers/+/clients/#"))
        _ = ops.takes()
        let alice = broker.opens(.v3_1_1, address: "10.0.0.7")
        alice.sends(.connect(clientID: "a\"1", version: .v3_1_1, cleanStart: false, username: "alice"))
        _ = ops.receivesMessage(
            "$SYS/brokers/edge-1/clients/a\"1/connected",
            #"{"clientid":"a\"1","username":"alice","ipaddress":"10.0.0.7","session":true,"protocol":4,"connack":0,"#
                + #""ts":1800000000}"#
        )
        _ = broker.connects("x/+#%")
        _ = ops.receivesMessage(
            "$SYS/brokers/edge-1/clients/x%2F%2B%23%25/connected",
            #"{"clientid":"x/+#%","username":null,"ipaddress":null,"session":false,"protocol":5,"connack":0,"#
                + #""ts":1800000000}"#
        )
    }

    @Test("and who went, and why")
    func disconnected() {
        let broker = ShardHarness()
        let ops = broker.connects("ops")
        ops.sends(.subscribe(id: 1, filters: "$SYS/brokers/+/clients/+/disconnected"))
        _ = ops.takes()
        func says(_ id: String, _ reason: String, _ at: Int = 1_800_000_000) {
            _ = ops.receivesMessage(
                MQTTString("$SYS/brokers/drawbridge/clients/\(id)/disconnected"),
                #"{"clientid":"\#(id)","reason":"\#(reason)","ts":\#(at)}"#
            )
        }
        broker.connects("a").sends(.disconnect(reason: .success))
        says("a", "normal")
        broker.connects("b").sends(.disconnect(reason: .disconnectWithWill))
        says("b", "disconnect_with_will_message")
        broker.connects("c").vanishes()
        says("c", "closed")
        _ = broker.connects("d")
        _ = broker.connects("d")
        says("d", "conflict")
        broker.connects("e").sends(.connect(clientID: "e"))
        says("e", "protocol_error")
        _ = broker.connects("f", keepAlive: 10)
        broker.advance(.seconds(16))
        says("f", "keepalive_timeout", 1_800_000_015)
        // Whoever was never let in never went.
        broker.opens().vanishes()
        ops.receivesNothing()
        #expect(broker.shard.clientsConnected == 2)
    }

    @Test("a durable watcher misses nobody who came and went while it was away")
    func watcherAway() {
        let broker = ShardHarness()
        let ops = broker.connectsDurably("ops")
        ops.sends(.subscribe(id: 1, filters: "$SYS/brokers/+/clients/+/+", qos: .atLeastOnce))
        _ = ops.takes()
        ops.vanishes()
        broker.connects("a").vanishes()
        let back = broker.connectsDurably("ops")
        #expect(
            back.takesMessages().map { $0.topic.string.split(separator: "/").suffix(2) } == [
                ["ops", "disconnected"], ["a", "connected"], ["a", "disconnected"], ["ops", "connected"],
            ]
        )
    }

    @Test("a client whose CONNACK waits for the disk is not there yet")
    func waits() {
        let broker = ShardHarness(BrokerSettings(), commitsAtOnce: false)
        let ops = broker.connects("ops")
        ops.sends(.subscribe(id: 1, filters: "$SYS/brokers/+/clients/#"))
        _ = ops.takes()
        let alice = broker.opens()
        alice.sends(.connect(clientID: "alice", cleanStart: false, expiry: 60))
        ops.receivesNothing()
        broker.settle()
        #expect(ops.takesMessages().count == 1)
    }
}

extension ShardHarness {
    fileprivate convenience init(_ change: (inout BrokerSettings) -> Void) {
        var settings = BrokerSettings()
        change(&settings)
        self.init(settings)
    }
}
