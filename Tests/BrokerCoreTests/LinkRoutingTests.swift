import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("What the rules of a link keep, send and count")
struct LinkRoutingTests {
    private static func settings(_ out: LinkRule..., in incoming: [LinkRule] = []) -> BrokerSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = out
        link.inRules = incoming
        var settings = BrokerSettings()
        settings.links = [link]
        settings.keepsLedger = true
        return settings
    }

    private static func rule(_ filter: String, _ change: (inout LinkRule) -> Void = { _ in }) throws -> LinkRule {
        var rule = LinkRule(filter: try #require(TopicFilter(filter)))
        change(&rule)
        return rule
    }

    private static func connect(_ broker: ShardHarness) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
        if !dial.link.settings.inRules.isEmpty {
            upstream.sends(.subAck(id: upstream.takes().subscribeID, reasons: .grantedQoS2))
        }
        return upstream
    }

    @Test("what is excluded is not queued, and a full link does not refuse its publisher")
    func excluded() throws {
        let debug = try #require(TopicFilter("sensors/debug/#"))
        let broker = ShardHarness(Self.settings(try Self.rule("sensors/#") { $0.exclude = [debug] }))
        let client = broker.connects("a")
        client.sends(.publish(topic: "sensors/debug/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        #expect(broker.spool.rows == 0)
        let link = try #require(broker.shard.links.first)
        broker.perform { shard, now in shard.spoolReported([.full(link.receiver, true)], now: now) }
        client.sends(.publish(topic: "sensors/debug/1", payload: "x", qos: .atLeastOnce, id: 2))
        client.receives(.pubAck(id: 2, reason: .noMatchingSubscribers))
        client.sends(.publish(topic: "sensors/1", payload: "x", qos: .atLeastOnce, id: 3))
        client.receives(.pubAck(id: 3, reason: .quotaExceeded))
        #expect(broker.shard.dropsOfReceivers.isEmpty)
    }

    @Test("the first rule that has a name decides, with its QoS and its flag")
    func order() throws {
        let broker = ShardHarness(
            Self.settings(
                try Self.rule("+/x") {
                    $0.exclude = [TopicFilter("b/x") ?? $0.filter]
                    $0.template = TopicTemplate([.text("first/"), .level(1)])
                    $0.qosCap = .atLeastOnce
                },
                try Self.rule("#") {
                    $0.template = TopicTemplate(prefix: "second/")
                    $0.retain = .set
                }
            )
        )
        let upstream = try Self.connect(broker)
        let client = broker.connects("a")
        client.sends(.publish(topic: "a/x", payload: "1", qos: .exactlyOnce, id: 1))
        _ = upstream.receivesMessage("first/a", "1", .atLeastOnce)
        client.sends(.publish(topic: "b/x", payload: "2", qos: .exactlyOnce, id: 2))
        _ = upstream.receivesMessage("second/b/x", "2", .exactlyOnce, isRetained: true)
        client.sends(.publish(topic: "b/y", payload: "3"))
        _ = upstream.receivesMessage("second/b/y", "3", isRetained: true)
    }

    @Test("a message that waits keeps its publisher's name over a restart; who has none is tried by the next rule")
    func clientIDs() throws {
        let broker = ShardHarness(
            Self.settings(
                try Self.rule("t/#") { $0.template = TopicTemplate([.text("by/"), .clientID, .text("/"), .topic]) },
                try Self.rule("t/1") { $0.template = TopicTemplate(prefix: "nobody/") }
            )
        )
        for (id, name) in ["a", "b", "c/d"].enumerated() {
            let client = broker.connects(MQTTString(name))
            client.sends(.publish(topic: "t/1", payload: name, qos: .atLeastOnce, id: UInt16(id + 1)))
            client.sends(.publish(topic: "t/2", payload: name, qos: .atLeastOnce, id: UInt16(id + 11)))
        }
        #expect(broker.shard.dropsOfReceivers.map { $0.counts[.unnamed] } == [1], "t/2 of c/d")
        broker.restarts()
        let upstream = try Self.connect(broker)
        #expect(
            upstream.takesMessages().map(\.topic) == [
                "by/a/t/1", "by/a/t/2", "by/b/t/1", "by/b/t/2", "nobody/t/1",
            ]
        )
    }

    @Test("a client that takes the place of another is not taken for it")
    func slots() throws {
        let broker = ShardHarness(
            Self.settings(try Self.rule("t") { $0.template = TopicTemplate([.clientID, .text("/"), .topic]) })
        )
        let upstream = try Self.connect(broker)
        for name in ["a", "b/c", "d"] {
            let client = broker.connects(MQTTString(name))
            client.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
            client.sends(.publish(topic: "t", payload: "x"))
            client.vanishes()
        }
        #expect(upstream.takesMessages().map(\.topic) == ["a/t", "a/t", "d/t", "d/t"])
        #expect(broker.shard.dropsOfReceivers.map { $0.counts[.unnamed] } == [2])
    }

    @Test("expiry is counted from when the message came, and a shorter one of its own stays")
    func expiry() throws {
        let broker = ShardHarness(Self.settings(try Self.rule("t") { $0.expiry = 60 }))
        let client = broker.connects("a")
        for (id, expiry) in [nil, 30, 90, 5].enumerated() as EnumeratedSequence<[UInt32?]> {
            client.sends(
                .publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: UInt16(id + 1), expiry: expiry)
            )
        }
        broker.advance(.seconds(10))
        let upstream = try Self.connect(broker)
        let messages = upstream.takesMessages()
        #expect(messages.map(\.text) == ["0", "1", "2"])
        #expect(messages.map(\.properties.messageExpiryInterval) == [50, 20, 50])
        upstream.vanishes()
        broker.advance(.seconds(60))
        client.sends(.publish(topic: "t", payload: "now", qos: .atMostOnce, id: 0))
        #expect(broker.shard.counters.expired == 1, "what was sent once is sent again")
    }

    @Test("user properties are put behind those of the message, both ways")
    func userProperties() throws {
        let added = [Properties.UserProperty("site", "7")]
        let broker = ShardHarness(
            Self.settings(
                try Self.rule("t") { $0.userProperties = added },
                in: [
                    try Self.rule("from") {
                        $0.userProperties = added
                        $0.expiry = 9
                    }
                ]
            )
        )
        let upstream = try Self.connect(broker)
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "from", qos: .atLeastOnce))
        _ = client.takes()
        let own = Properties.UserProperty("own", "1")
        for (peer, topic) in [(client, "t"), (upstream, "from")] as [(ScriptedPeer, MQTTString)] {
            var properties = Properties()
            properties.userProperties = [own]
            let message = Publish(
                topic: topic, payload: ByteBuffer(string: "x"), qos: .atLeastOnce, packetID: 9, properties: properties)
            peer.sends(.publish(message))
        }
        #expect(upstream.takesMessages().map(\.properties.userProperties) == [[own] + added])
        let received = client.takesMessages()
        #expect(received.map(\.properties.userProperties) == [[own] + added])
        #expect(received.map(\.properties.messageExpiryInterval) == [9])
    }

    @Test("what comes in is taken by the first rule that names it, and counted when it has no name")
    func incoming() throws {
        let broker = ShardHarness(
            Self.settings(
                in: [
                    try Self.rule("up/#") {
                        $0.exclude = [TopicFilter("up/not/#") ?? $0.filter]
                        $0.template = TopicTemplate([.tail])
                    }
                ]
            )
        )
        let upstream = try Self.connect(broker)
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "#"))
        _ = client.takes()
        for topic in ["up/a", "up", "up/not/b", "up/$SYS"] as [MQTTString] {
            upstream.sends(.publish(topic: topic, payload: "x"))
        }
        #expect(client.takesMessages().map(\.topic) == ["a"])
        #expect(broker.shard.dropsOfReceivers.map { $0.counts[.unnamed] } == [2])
    }

    @Test("a Response Topic gets the name under which the answer comes back, out and in")
    func replies() throws {
        let broker = ShardHarness(
            Self.settings(
                try Self.rule("#") { $0.template = TopicTemplate(prefix: "site/7/") },
                in: [try Self.rule("site/7/for/#") { $0.template = TopicTemplate([.tail]) }]
            )
        )
        let upstream = try Self.connect(broker)
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "#"))
        _ = client.takes()
        func request(_ topic: MQTTString, _ reply: MQTTString) -> Packet {
            var properties = Properties()
            properties.responseTopic = reply
            properties.correlationData = ByteBuffer(string: "c")
            return .publish(Publish(topic: topic, payload: ByteBuffer(), properties: properties))
        }
        client.sends(request("ask", "answers/1"))
        _ = client.takes()
        upstream.sends(request("site/7/for/ask", "site/7/answers/2"), request("site/7/for/ask", "elsewhere"))
        let out = upstream.takesMessages()
        #expect(out.map(\.topic) == ["site/7/ask"])
        #expect(out.map(\.properties.responseTopic) == ["site/7/for/answers/1"])
        #expect(out.map(\.properties.correlationData) == [ByteBuffer(string: "c")])
        let incoming = client.takesMessages()
        #expect(incoming.map(\.topic) == ["ask", "ask"])
        #expect(incoming.map(\.properties.responseTopic) == ["answers/2", "elsewhere"])
        #expect(incoming.allSatisfy { $0.properties.correlationData == ByteBuffer(string: "c") })
    }
}
