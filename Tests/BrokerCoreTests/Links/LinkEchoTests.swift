import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Upstreams of version 3 that send back what they get, with `loop = { echo_table = true }`.
@Suite("Echoes of version 3")
struct LinkEchoTests {
    private static func settings() throws -> BrokerSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        let rule = LinkRule(filter: try #require(TopicFilter("a/#")))
        link.outRules = [rule, LinkRule(filter: try #require(TopicFilter("up/#")))]
        link.inRules = [rule]
        link.versions = [.v3_1_1]
        link.usesEchoTable = true
        link.probe = LinkProbeSettings(.auto)
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

    /// Answers what came; probes come back if they are to.
    ///
    /// - Returns: the messages that are no probes.
    private static func turn(_ upstream: ScriptedPeer, returnsProbes: Bool) -> [Publish] {
        var messages: [Publish] = []
        for _ in 0..<4 {
            for packet in upstream.takes() {
                switch packet {
                case .subscribe(let subscribe):
                    upstream.sends(.subAck(id: subscribe.packetID, reasons: .grantedQoS1))
                case .pingReq: upstream.sends(.pingResp)
                case .publish(let message) where message.topic.string.hasPrefix("$"):
                    if returnsProbes { upstream.sends(packet) }
                case .publish(let message):
                    messages.append(message)
                    if message.qos == .atLeastOnce { upstream.sends(.pubAck(id: message.packetID)) }
                default: break
                }
            }
        }
        return messages
    }

    private static func publish(_ broker: ShardHarness, _ topic: MQTTString, _ payload: String, id: UInt16 = 1) {
        broker.connects("speaker").sends(.publish(topic: topic, payload: payload, qos: .atLeastOnce, id: id))
        broker.settle()
    }

    private static func reader(_ broker: ShardHarness) -> ScriptedPeer {
        let reader = broker.connects("reader")
        reader.sends(.subscribe(id: 1, filters: "#", options: SubscriptionOptions(maximumQoS: .atMostOnce)))
        _ = reader.takes()
        return reader
    }

    private static func echoes(_ broker: ShardHarness) -> UInt64 {
        broker.shard.dropsOfReceivers.reduce(0) { $0 + $1.counts[.echo] }
    }

    @Test("a copy is swallowed once, and counted; the same from somebody else arrives")
    func swallowed() throws {
        let broker = ShardHarness(try Self.settings())
        let reader = Self.reader(broker)
        let upstream = try Self.connect(broker)
        _ = Self.turn(upstream, returnsProbes: true)
        Self.publish(broker, "a/1", "hello")
        #expect(Self.turn(upstream, returnsProbes: true).map(\.text) == ["hello"])
        #expect(reader.takesMessages().count == 1)
        upstream.sends(.publish(topic: "a/1", payload: "hello", qos: .atLeastOnce, id: 1))
        #expect(reader.takesMessages().isEmpty)
        #expect(upstream.takes().contains(.pubAck(id: 1)))
        #expect(Self.echoes(broker) == 1)
        upstream.sends(.publish(topic: "a/1", payload: "hello", qos: .atLeastOnce, id: 2))
        upstream.sends(.publish(topic: "a/2", payload: "hello", qos: .exactlyOnce, id: 3))
        #expect(reader.takesMessages().map(\.topic) == ["a/1", "a/2"])
        #expect(Self.turn(upstream, returnsProbes: true).isEmpty, "what came over the link does not leave by it")
        #expect(Self.echoes(broker) == 1)
    }

    @Test("before a probe has returned nothing goes out and nothing is swallowed")
    func unproven() throws {
        let broker = ShardHarness(try Self.settings())
        let reader = Self.reader(broker)
        let upstream = try Self.connect(broker)
        Self.publish(broker, "a/1", "hello")
        #expect(Self.turn(upstream, returnsProbes: false).isEmpty)
        upstream.sends(.publish(topic: "a/1", payload: "hello", qos: .atLeastOnce, id: 1))
        #expect(reader.takesMessages().count == 2)
    }

    @Test("only what comes back by a rule is remembered, and not for ever")
    func remembered() throws {
        let broker = ShardHarness(try Self.settings())
        let reader = Self.reader(broker)
        let upstream = try Self.connect(broker)
        _ = Self.turn(upstream, returnsProbes: true)
        Self.publish(broker, "a/1", "hello")
        Self.publish(broker, "up/1", "up", id: 2)
        #expect(Self.turn(upstream, returnsProbes: true).count == 2)
        for _ in 0..<70 {
            broker.advance(.seconds(10))
            _ = Self.turn(upstream, returnsProbes: true)
        }
        _ = reader.takes()
        upstream.sends(.publish(topic: "a/1", payload: "hello", qos: .atLeastOnce, id: 1))
        #expect(reader.takesMessages().count == 1)
        #expect(Self.echoes(broker) == 0)
    }
}
