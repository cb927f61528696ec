import BrokerCore
import MQTTCodec
import TestSupport
import Testing

@Suite("Retained messages over links")
struct LinkRetainedTests {
    private static func link(_ rules: String..., both: Bool = false) -> LinkSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = rules.compactMap { TopicFilter($0).map { LinkRule(filter: $0) } }
        if both { link.inRules = link.outRules }
        return link
    }

    private static func settings(_ link: LinkSettings) -> BrokerSettings {
        var settings = BrokerSettings()
        settings.links = [link]
        return settings
    }

    private static func connect(_ broker: ShardHarness) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
        return upstream
    }

    private static func retain(_ broker: ShardHarness, _ topics: MQTTString...) {
        let client = broker.connects("retainer")
        for (index, topic) in topics.enumerated() {
            let qos = QoS(rawValue: UInt8(index % 3)) ?? .atMostOnce
            client.sends(
                .publish(topic: topic, payload: "of \(topic)", qos: qos, id: UInt16(index + 1), isRetained: true)
            )
        }
    }

    /// Takes all that comes, and answers it.
    private static func messages(_ upstream: ScriptedPeer) -> [Publish] {
        let messages = upstream.takesMessages()
        for message in messages where message.qos == .atLeastOnce { upstream.sends(.pubAck(id: message.packetID)) }
        for message in messages where message.qos == .exactlyOnce {
            upstream.sends(.pubRec(id: message.packetID))
            upstream.sends(.pubComp(id: message.packetID))
        }
        return messages
    }

    @Test("a new link gets what is retained once, then changes and deletions, over reconnects and restarts")
    func once() throws {
        let broker = ShardHarness(BrokerSettings())
        Self.retain(broker, "a/1", "a/2", "a/3", "b/1")
        broker.reconfigures { $0.links = [Self.link("a/#", "a/1")] }
        let upstream = try Self.connect(broker)
        let first = Self.messages(upstream)
        #expect(first.map(\.topic).sorted() == ["a/1", "a/2", "a/3"])
        #expect(first.allSatisfy { $0.isRetained && $0.text == "of \($0.topic)" })
        #expect(first.filter { $0.qos == .exactlyOnce }.map(\.topic) == ["a/3"])
        broker.settle()
        upstream.vanishes()
        Self.retain(broker, "a/2")
        broker.connects("b").sends(.publish(topic: "a/1", qos: .atLeastOnce, id: 1, isRetained: true))
        broker.advance(.seconds(10))
        let again = Self.messages(try Self.connect(broker))
        #expect(again.map(\.topic) == ["a/1"], "a/2 had QoS 0, and the link was down")
        #expect(again.allSatisfy { $0.isRetained && $0.text.isEmpty })
        broker.restarts()
        #expect(Self.messages(try Self.connect(broker)).isEmpty)
    }

    @Test("a rule that is new gets what is retained for it, and the others nothing again")
    func newRule() throws {
        let broker = ShardHarness(Self.settings(Self.link("a/#")))
        Self.retain(broker, "a/1", "a/2", "b/1", "b/2")
        let first = Self.messages(try Self.connect(broker))
        #expect(first.map(\.topic).contains("a/2"))
        broker.settle()
        broker.reconfigures { $0.links = [Self.link("a/#", "b/#")] }
        #expect(Self.messages(try Self.connect(broker)).map(\.topic).sorted() == ["b/1", "b/2"])
        broker.settle()
        broker.reconfigures { $0.links = [] }
        Self.retain(broker, "a/9", "b/2")
        broker.reconfigures { $0.links = [Self.link("b/#")] }
        let back = Self.messages(try Self.connect(broker))
        #expect(back.map(\.topic).sorted() == ["b/1", "b/2"], "while it was not configured, nothing was kept for it")
    }

    @Test("what may have come from the upstream is not sent back to it")
    func origin() throws {
        let broker = ShardHarness(Self.settings(Self.link("a/#", both: true)))
        let upstream = try Self.connect(broker)
        upstream.sends(.subAck(id: upstream.takes().subscribeID, reasons: .grantedQoS2))
        upstream.sends(.publish(topic: "a/1", payload: "theirs", qos: .atLeastOnce, id: 1, isRetained: true))
        broker.settle()
        Self.retain(broker, "b/1")
        broker.reconfigures {
            $0.links = [Self.link("a/#", "+/1", both: true)]
            $0.links[0].inRules.removeLast()
        }
        #expect(Self.messages(try Self.connect(broker)).map(\.topic) == ["b/1"])
    }
}
