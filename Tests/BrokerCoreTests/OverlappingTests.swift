import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// A copy for each subscription that matches, as an option (§3.3.4); what is usual is in `SubscriptionRulesTests`.
@Suite("Overlapping subscriptions that bring a copy each")
struct OverlappingTests {
    private static var settings: BrokerSettings {
        var settings = BrokerSettings()
        settings.overlapping = .each
        settings.keepsLedger = true
        return settings
    }

    /// Three filters that match `a/b`, each with an identifier and a QoS of its own.
    private static func subscribe(_ client: ScriptedPeer) {
        for (id, filter, qos) in [(1, "a/#", 0), (2, "a/+", 2), (3, "a/b", 1), (4, "b", 2)] as [(UInt16, String, UInt8)]
        {
            let options = SubscriptionOptions(
                maximumQoS: QoS(rawValue: qos) ?? .atMostOnce, retainAsPublished: qos == 1)
            client.sends(.subscribe(id: id, filters: filter, options: options, identifier: UInt32(id)))
        }
        _ = client.takes()
    }

    private static func settles(_ messages: [Publish], _ client: ScriptedPeer) {
        for message in messages {
            switch message.qos {
            case .atMostOnce: break
            case .atLeastOnce: client.sends(.pubAck(id: message.packetID))
            case .exactlyOnce: client.sends(.pubRec(id: message.packetID), .pubComp(id: message.packetID))
            }
        }
    }

    @Test(
        """
        each copy has the QoS, the RETAIN flag and the identifier of its subscription, one of them the highest QoS \
        [5:MQTT-3.3.4-5] [5:MQTT-3.3.4-2] [311:MQTT-3.3.5-1] [5:MQTT-3.3.4-3]
        """, arguments: [false, true])
    func copies(_ isDurable: Bool) {
        let broker = ShardHarness(Self.settings)
        let client = isDurable ? broker.connectsDurably("c") : broker.connects("c")
        Self.subscribe(client)
        let publisher = broker.connects("p")
        publisher.sends(.publish(topic: "a/b", payload: "x", qos: .exactlyOnce, id: 1, isRetained: true))
        publisher.receives(.pubRec(id: 1))
        let messages = client.takesMessages().sorted { $0.qos.rawValue < $1.qos.rawValue }
        #expect(messages.map(\.qos) == [.atMostOnce, .atLeastOnce, .exactlyOnce])
        #expect(messages.map(\.properties.subscriptionIdentifiers) == [[1], [3], [2]])
        #expect(messages.map(\.isRetained) == [false, true, false])
        #expect(Set(messages.map(\.text)) == ["x"])
        Self.settles(messages, client)
        #expect(broker.spool.rows == 0)
        #expect(client.connection.session?.window.count == 0)
        publisher.sends(.publish(topic: "b", payload: "one only"))
        #expect(client.takesMessages().map(\.text) == ["one only"])
    }

    @Test("copies of QoS 1 and 2 wait for a client that is away, over a crash too, and each is settled by itself")
    func away() {
        let broker = ShardHarness(Self.settings)
        let client = broker.connectsDurably("c")
        Self.subscribe(client)
        client.vanishes()
        let publisher = broker.connects("p")
        publisher.sends(.publish(topic: "a/b", payload: "x", qos: .exactlyOnce, id: 1))
        publisher.receives(.pubRec(id: 1))
        broker.restarts()
        let back = broker.connectsDurably("c")
        let messages = back.takesMessages()
        #expect(messages.map(\.qos.rawValue).sorted() == [1, 2])
        #expect(messages.map(\.properties.subscriptionIdentifiers).sorted { $0[0] < $1[0] } == [[2], [3]])
        guard let first = messages.first, let second = messages.last else { return }
        Self.settles([first], back)
        back.vanishes()
        let again = broker.connectsDurably("c")
        let resent = again.takesMessages()
        #expect(resent.map(\.packetID) == [second.packetID] && resent.map(\.isDuplicate) == [true])
        Self.settles(resent, again)
        #expect(broker.spool.rows == 0)
    }

    @Test("a crash at any step keeps all copies of a message or none, and all of one that was answered")
    func crashes() {
        for step in 1...40 {
            let broker = ShardHarness(Self.settings)
            let client = broker.connectsDurably("c")
            Self.subscribe(client)
            client.vanishes()
            let publisher = broker.connectsDurably("p")
            _ = publisher.takes()
            broker.commitsAtOnce = false
            broker.crashesAfter = broker.steps + step
            publisher.sends(.publish(topic: "a/b", payload: "x", qos: .exactlyOnce, id: 1))
            broker.settle()
            let isAnswered = publisher.takes().contains(.pubRec(id: 1))
            let isOver = !broker.hasCrashed
            broker.restarts()
            let back = broker.connectsDurably("c")
            broker.settle()
            let identifiers = back.takesMessages().flatMap(\.properties.subscriptionIdentifiers).sorted()
            #expect(identifiers == [2, 3] || !isAnswered && identifiers.isEmpty, "crash after step \(step)")
            if isOver { return #expect(step > 2 && isAnswered) }
        }
        Issue.record("the conversation has more steps than were tried")
    }

    @Test("No Local keeps away the copy of its own subscription only [5:MQTT-3.8.3-3]")
    func noLocal() {
        let broker = ShardHarness(Self.settings)
        let client = broker.connects("c")
        client.sends(.subscribe(id: 1, filters: "a/#", options: .init(noLocal: true), identifier: 1))
        client.sends(.subscribe(id: 2, filters: "a/b", options: .init(), identifier: 2))
        client.sends(.publish(topic: "a/b", payload: "mine"))
        #expect(client.takesMessages().map(\.properties.subscriptionIdentifiers) == [[2]])
        broker.connects("p").sends(.publish(topic: "a/b", payload: "another's"))
        #expect(client.takesMessages().map(\.properties.subscriptionIdentifiers).count == 2)
    }

    @Test("a link gets one copy, and the members of two groups get theirs as ever")
    func linksAndGroups() throws {
        var settings = Self.settings
        var link = LinkSettings(name: "hub", clientID: "site")
        link.outRules = ["a/#", "a/b", "+/b"].compactMap { TopicFilter($0).map { LinkRule(filter: $0) } }
        settings.links = [link]
        let broker = ShardHarness(settings)
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        upstream.sends(.connAck(ConnAck(reason: .success)))
        _ = upstream.takes()
        let member = broker.connects("m")
        member.sends(.subscribe(id: 1, filters: "$share/g/a/#", "$share/g/a/b", "a/+", "+/+"))
        _ = member.takes()
        let publisher = broker.connects("p")
        publisher.sends(.publish(topic: "a/b", payload: "x", qos: .atLeastOnce, id: 1))
        publisher.receives(.pubAck(id: 1))
        let sent = upstream.takesMessages()
        #expect(sent.map(\.topic) == ["a/b"])
        #expect(member.takesMessages().count == 4)
        if let id = sent.first?.packetID { upstream.sends(.pubAck(id: id)) }
        #expect(broker.spool.rows == 0)
    }

    @Test("the option is taken while the node runs")
    func reconfigured() {
        let broker = ShardHarness()
        let client = broker.connects("c")
        client.sends(.subscribe(id: 1, filters: "a/#", "a/b"))
        _ = client.takes()
        let publisher = broker.connects("p")
        for (overlapping, copies) in [(Overlapping.one, 1), (.each, 2), (.one, 1)] {
            broker.reconfigures { $0.overlapping = overlapping }
            publisher.sends(.publish(topic: "a/b", payload: "x"))
            #expect(client.takesMessages().count == copies)
        }
    }
}
