import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Topic aliases")
struct TopicAliasTests {
    private static func publish(_ topic: MQTTString, alias: UInt16?, _ text: String, _ qos: QoS = .atMostOnce) -> Packet
    {
        var publish = Publish(
            topic: topic, payload: ByteBuffer(string: text), qos: qos, packetID: qos == .atMostOnce ? 0 : 1)
        if let alias { publish.properties.topicAlias = alias }
        return .publish(publish)
    }

    private static func taking(_ max: UInt16?, _ broker: ShardHarness, _ id: MQTTString = "b") -> ScriptedPeer {
        let client = broker.opens()
        client.sends(ConnAckTests.connect(id) { $0.topicAliasMaximum = max })
        client.sends(.subscribe(id: 1, filters: "#", qos: .atLeastOnce))
        _ = client.takes()
        return client
    }

    // MARK: - From clients

    @Test("all aliases from 1 to the maximum of CONNACK are taken, and no other [5:MQTT-3.3.2-12] [5:§3.2.2.3.8]")
    func announced() throws {
        let broker = ShardHarness()
        let listener = Self.taking(nil, broker)
        let client = broker.opens()
        client.sends(.connect(clientID: "a"))
        let max = try #require(client.receivesConnAck()?.properties.topicAliasMaximum)
        #expect(max == 16)
        for alias in 1...max { client.sends(Self.publish(MQTTString("topic/\(alias)"), alias: alias, "first")) }
        for alias in (1...max).reversed() { client.sends(Self.publish("", alias: alias, "again")) }
        let messages = listener.takesMessages()
        let expected = (Array(1...max) + (1...max).reversed()).map { MQTTString("topic/\($0)") }
        #expect(messages.map(\.topic) == expected)
        // The alias is the publisher's business, and its listener hears of none [5:MQTT-3.1.2-27].
        #expect(messages.allSatisfy { $0.properties.topicAlias == nil })
        client.sends(Self.publish("t", alias: max + 1, "x"))
        client.receives(.disconnect(reason: .topicAliasInvalid))
        #expect(client.isClosed)
    }

    @Test("a topic with an alias gives it another meaning [5:§3.3.2.3.4]")
    func remapped() {
        let broker = ShardHarness()
        let (listener, client) = (Self.taking(nil, broker), broker.connects("a"))
        client.sends(
            Self.publish("one", alias: 1, "1"), Self.publish("two", alias: 1, "2"), Self.publish("", alias: 1, "3"),
            Self.publish("one", alias: nil, "4"), Self.publish("", alias: 1, "5")
        )
        #expect(listener.takesMessages().map(\.topic) == ["one", "two", "two", "one", "two"])
    }

    @Test("an alias that stands for nothing ends the connection by 0x94 [5:§3.3.2.3.4]", arguments: QoS.allCases)
    func unknown(_ qos: QoS) {
        let client = ShardHarness().connects("a")
        client.sends(Self.publish("topic", alias: 2, "x"), Self.publish("", alias: 1, "x", qos))
        client.receives(.disconnect(reason: .topicAliasInvalid))
        #expect(client.isClosed)
    }

    @Test("aliases die with their connection, also of a session that goes on [5:MQTT-3.3.2-7]")
    func connectionsEnd() {
        let broker = ShardHarness()
        let client = broker.connectsDurably("a")
        client.sends(Self.publish("topic", alias: 1, "x"))
        client.vanishes()
        let back = broker.connectsDurably("a")
        back.receivesConnAck(isSessionPresent: true)
        back.sends(Self.publish("", alias: 1, "x"))
        back.receives(.disconnect(reason: .topicAliasInvalid))
    }

    @Test("aliases are each connection's own [5:MQTT-3.3.2-7]")
    func perConnection() {
        let broker = ShardHarness()
        let listener = Self.taking(nil, broker)
        let (a, c) = (broker.connects("a"), broker.connects("c"))
        a.sends(Self.publish("of/a", alias: 1, "x"))
        c.sends(Self.publish("of/c", alias: 1, "x"))
        a.sends(Self.publish("", alias: 1, "x"))
        c.sends(Self.publish("", alias: 1, "x"))
        #expect(listener.takesMessages().map(\.topic) == ["of/a", "of/c", "of/a", "of/c"])
    }

    @Test("rules and reserved topics are asked about the topic and not about its alias")
    func reserved() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        client.sends(Self.publish("$SYS/x", alias: 1, "x", .atLeastOnce))
        client.receives(.pubAck(id: 1, reason: .notAuthorized))
        client.sends(Self.publish("", alias: 1, "x", .atLeastOnce))
        client.receives(.pubAck(id: 1, reason: .notAuthorized))
    }

    // MARK: - To clients

    @Test(
        """
        a client that takes aliases gets them, none above its maximum; the first packet brings topic and alias, others the \
        alias alone [5:MQTT-3.1.2-26] [5:MQTT-3.3.2-11] [5:MQTT-3.3.2-8]
        """, arguments: [false, true])
    func toClient(_ isDurable: Bool) {
        let broker = ShardHarness()
        let publisher = broker.connects("p")
        let client = broker.opens()
        client.sends(
            ConnAckTests.connect("b", cleanStart: !isDurable) {
                $0.topicAliasMaximum = 2
                $0.sessionExpiryInterval = isDurable ? 60 : 0
            }
        )
        client.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        _ = client.takes()
        for qos in QoS.allCases {
            for topic in ["topic/one", "topic/two", "topic/three"] as [MQTTString] {
                publisher.sends(.publish(topic: topic, payload: "x", qos: qos, id: qos == .atMostOnce ? 0 : 1))
                if qos == .exactlyOnce { publisher.sends(.pubRel(id: 1)) }
            }
        }
        let messages = client.takesMessages()
        #expect(messages.map(\.properties.topicAlias) == [1, 2, nil, 1, 2, nil, 1, 2, nil])
        #expect(
            messages.map(\.topic) == [
                "topic/one", "topic/two", "topic/three", "", "", "topic/three", "", "", "topic/three",
            ])
    }

    @Test("a client that takes none gets none [5:MQTT-3.1.2-27]", arguments: [nil, 0] as [UInt16?])
    func toOthers(_ max: UInt16?) {
        let broker = ShardHarness()
        let (client, publisher) = (Self.taking(max, broker), broker.connects("p"))
        for _ in 0..<3 { publisher.sends(.publish(topic: "topic", payload: "x")) }
        let messages = client.takesMessages()
        #expect(messages.map(\.topic) == ["topic", "topic", "topic"])
        #expect(messages.allSatisfy { $0.properties.isEmpty })
    }

    @Test("what is sent again after a return brings its topic along: aliases of the time before mean nothing")
    func resent() {
        let broker = ShardHarness()
        let publisher = broker.connects("p")
        func connect() -> ScriptedPeer {
            let client = broker.opens()
            client.sends(
                ConnAckTests.connect("b", cleanStart: false) {
                    $0.topicAliasMaximum = 5
                    $0.sessionExpiryInterval = 60
                }
            )
            return client
        }
        let client = connect()
        client.sends(.subscribe(id: 1, filters: "#", qos: .atLeastOnce))
        for id in 1...2 as ClosedRange<UInt16> {
            publisher.sends(.publish(topic: "topic", payload: "\(id)", qos: .atLeastOnce, id: id))
        }
        #expect(client.takesMessages().map(\.topic) == ["topic", ""])
        client.vanishes()
        let messages = connect().takesMessages()
        #expect(messages.map(\.topic) == ["topic", ""])
        #expect(messages.map(\.isDuplicate) == [true, true])
        #expect(messages.map(\.properties.topicAlias) == [1, 1])
    }

    @Test("an alias does not make a packet too large for its receiver, and the properties of the message stay")
    func sizes() {
        let broker = ShardHarness()
        let publisher = broker.connects("p")
        let client = broker.opens()
        // 2 + 2 + 5 + 1 + 20 bytes without an alias, 3 more with one.
        client.sends(
            ConnAckTests.connect("b") {
                $0.topicAliasMaximum = 5
                $0.maximumPacketSize = 30
            }
        )
        client.sends(.subscribe(id: 1, filters: "#"))
        _ = client.takes()
        publisher.sends(.publish(topic: "topic", payload: String(repeating: "x", count: 20)))
        #expect(client.takesMessages().map(\.properties.topicAlias) == [nil])
        publisher.sends(
            .publish(topic: "topic", payload: "x", expiry: 10), .publish(topic: "topic", payload: "y", expiry: 9))
        let messages = client.takesMessages()
        #expect(messages.map(\.properties.topicAlias) == [1, 1])
        #expect(messages.map(\.properties.messageExpiryInterval) == [10, 9])
    }
}
