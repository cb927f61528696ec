import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// §3.8 to §3.11, and what §3.3.1.3 says of retained messages, statement by statement.
@Suite("Subscriptions, rule by rule")
struct SubscriptionRulesTests {
    @Test(
        """
        SUBSCRIBE and UNSUBSCRIBE are answered with their identifier and one code a filter, in their order \
        [5:MQTT-3.8.4-1] [5:MQTT-3.8.4-2] [5:MQTT-3.8.4-5] [5:MQTT-3.8.4-6] [5:MQTT-3.9.3-1] [5:MQTT-2.2.1-6] \
        [5:MQTT-3.10.4-4] [5:MQTT-3.10.4-5] [5:MQTT-3.10.4-6] [5:MQTT-3.11.3-1] [5:MQTT-3.11.3-2] [5:§3.11.3] \
        [5:MQTT-3.9.3-2]
        """)
    func answers() {
        let client = ShardHarness().connects("c")
        client.sends(
            .subscribe(
                Subscribe(
                    packetID: 0xABCD,
                    subscriptions: [
                        .init(filter: Self.filter("a"), options: .init(maximumQoS: .exactlyOnce)),
                        .init(filter: Self.filter("b/#"), options: .init(maximumQoS: .atMostOnce)),
                        .init(filter: Self.filter("+/c"), options: .init(maximumQoS: .atLeastOnce)),
                    ]
                )
            )
        )
        client.receives(.subAck(id: 0xABCD, reasons: .grantedQoS2, .success, .grantedQoS1))
        client.sends(.unsubscribe(id: 0xABCE, filters: "+/c", "nothing", "a", "a"))
        client.receives(
            .unsubAck(id: 0xABCE, reasons: .success, .noSubscriptionExisted, .success, .noSubscriptionExisted))
        // Though nothing is deleted.
        client.sends(.unsubscribe(id: 1, filters: "nothing"))
        client.receives(.unsubAck(id: 1, reasons: .noSubscriptionExisted))
    }

    @Test(
        """
        version 3 hears 0, 1, 2 and 0x80, and an UNSUBACK without codes [311:MQTT-3.8.4-1] [311:MQTT-3.8.4-2] \
        [311:MQTT-3.8.4-4] [311:MQTT-3.8.4-5] [311:MQTT-3.9.3-1] [311:MQTT-3.9.3-2] [311:MQTT-2.3.1-7] \
        [311:MQTT-3.10.4-4] [311:MQTT-3.10.4-5] [311:MQTT-3.10.4-6]
        """, arguments: threes)
    func answersOfVersion3(_ version: ProtocolVersion) {
        var settings = BrokerSettings()
        settings.subscriptionsMax = 3
        let client = ShardHarness(settings).connects("c", version)
        client.startsBehindConnect()
        let start = client.rawBytes.count
        client.sends(
            bytes: WireNotation.packet(
                first: 0x82, body: "ABCD <a> 02 <b/#> 00 <+/c> 01 <d> 00 <a> 01", version: version))
        #expect(Array(client.rawBytes[start...]) == [0x90, 7, 0xAB, 0xCD, 2, 0, 1, 0x80, 1])
        client.sends(bytes: WireNotation.packet(first: 0xA2, body: "ABCE <a> <nothing>", version: version))
        #expect(client.rawBytes.suffix(4) == [0xB0, 2, 0xAB, 0xCE])
    }

    private static func filter(_ text: String) -> TopicFilter {
        guard let filter = TopicFilter(text) else { preconditionFailure("\(text) is not a filter") }
        return filter
    }

    @Test("each refused filter has its own reason [5:§3.9.3]")
    func refusals() {
        var settings = BrokerSettings()
        settings.subscriptionsMax = 1
        let client = ShardHarness(settings).connects("c")
        client.sends(.subscribe(id: 1, filters: "a", "b", "a"))
        client.receives(.subAck(id: 1, reasons: .success, .quotaExceeded, .success))
    }

    @Test(
        """
        the same filter again replaces the subscription: one copy, the new QoS, retained messages once more \
        [5:MQTT-3.8.4-3] [5:MQTT-3.8.4-4] [311:MQTT-3.8.4-3]
        """, arguments: bothVersions)
    func replaced(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (client, publisher) = (broker.connects("c", version), broker.connects("p", version))
        publisher.sends(.publish(topic: "t", payload: "kept", qos: .atLeastOnce, id: 1, isRetained: true))
        for (number, qos) in QoS.allCases.enumerated() {
            client.sends(.subscribe(id: UInt16(number + 1), filters: "t", qos: qos))
            let messages = client.takesMessages()
            #expect(messages.map(\.text) == ["kept"])
            #expect(messages.map(\.isRetained) == [true])
            #expect(messages.map(\.qos) == [min(qos, .atLeastOnce)])
            publisher.sends(.publish(topic: "t", payload: "new", qos: .exactlyOnce, id: 2), .pubRel(id: 2))
            #expect(client.takesMessages().map(\.qos) == [qos])
        }
    }

    @Test("replacing a subscription loses nothing of what is on its way [5:MQTT-3.8.4-4] [311:MQTT-3.8.4-3]")
    func replacedInFlight() {
        let broker = ShardHarness()
        var client = AutomaticClient(broker.connects("c", receiveMaximum: 1))
        let publisher = broker.connects("p")
        client.peer.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        for id in 1...20 as ClosedRange<UInt16> {
            publisher.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id))
            client.peer.sends(
                .subscribe(
                    id: id + 1, filters: "t",
                    options: SubscriptionOptions(maximumQoS: .atLeastOnce, retainHandling: .doNotSend)))
        }
        for _ in 0..<40 { client.acts(atMost: 5) }
        #expect(client.seen == (1...20).map(String.init))
    }

    @Test("filters that only look alike are other subscriptions [5:MQTT-3.10.4-1] [311:MQTT-3.10.4-1]")
    func exactMatch() {
        let broker = ShardHarness()
        let client = broker.connects("c")
        client.sends(.subscribe(id: 1, filters: "a/+"))
        client.receives(.subAck(id: 1, reasons: .success))
        let none = ReasonCode.noSubscriptionExisted
        client.sends(.unsubscribe(id: 2, filters: "a/b", "a/#", "a/+/", "A/+"))
        client.receives(.unsubAck(id: 2, reasons: none, none, none, none))
        client.sends(.publish(topic: "a/b", payload: "still there"))
        #expect(client.takesMessages().map(\.text) == ["still there"])
        client.sends(.unsubscribe(id: 3, filters: "a/+"))
        client.receives(.unsubAck(id: 3, reasons: .success))
        client.sends(.publish(topic: "a/b", payload: "gone"))
        client.receivesNothing()
    }

    @Test(
        """
        behind UNSUBACK no new message is queued, and what was begun is brought to its end \
        [5:MQTT-3.10.4-2] [5:MQTT-3.10.4-3] [311:MQTT-3.10.4-2] [311:MQTT-3.10.4-3]
        """, arguments: bothVersions, [false, true])
    func unsubscribed(_ version: ProtocolVersion, _ isDurable: Bool) {
        let broker = ShardHarness()
        let client = isDurable ? broker.connectsDurably("c", version) : broker.connects("c", version)
        client.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = client.takes()
        let publisher = broker.connects("p", version)
        publisher.sends(.publish(topic: "t", payload: "begun", qos: .exactlyOnce, id: 1))
        let id = client.receivesMessage("t", "begun", .exactlyOnce)
        client.sends(.unsubscribe(id: 2, filters: "t"))
        _ = client.takes()
        publisher.sends(.publish(topic: "t", payload: "too late", qos: .exactlyOnce, id: 2))
        client.receivesNothing()
        client.sends(.pubRec(id: id))
        client.receives(.pubRel(id: id))
        client.sends(.pubComp(id: id))
        #expect(client.connection.session?.window.count == 0)
    }

    @Test(
        """
        overlapping subscriptions give one copy at the highest QoS, with the identifiers of all that match and of no other \
        [5:MQTT-3.3.4-2] [5:MQTT-3.3.4-3] [5:MQTT-3.3.4-4] [5:MQTT-3.3.4-5] [311:MQTT-3.3.5-1] [5:§3.3.2.3.8]
        """, arguments: [false, true])
    func overlapping(_ isDurable: Bool) {
        let broker = ShardHarness()
        let client = isDurable ? broker.connectsDurably("c") : broker.connects("c")
        func subscribe(_ id: UInt16, _ filter: String, _ qos: QoS, _ identifier: UInt32?) {
            client.sends(
                .subscribe(id: id, filters: filter, options: .init(maximumQoS: qos), identifier: identifier))
        }
        subscribe(1, "a/#", .atMostOnce, 1)
        subscribe(2, "a/+", .exactlyOnce, 268_435_455)
        subscribe(3, "a/b", .atLeastOnce, nil)
        subscribe(4, "a/c", .exactlyOnce, 3)
        subscribe(5, "#", .atMostOnce, 1)
        _ = client.takes()
        let publisher = broker.connects("p")
        publisher.sends(.publish(topic: "a/b", payload: "x", qos: .exactlyOnce, id: 1))
        let messages = client.takesMessages()
        #expect(messages.map(\.qos) == [.exactlyOnce])
        // Two subscriptions may have the same identifier.
        #expect(messages.map { $0.properties.subscriptionIdentifiers.sorted() } == [[1, 1, 268_435_455]])
        publisher.sends(.publish(topic: "other", payload: "x"))
        #expect(client.takesMessages().map(\.properties.subscriptionIdentifiers) == [[1]])
    }

    @Test("overlapping subscriptions of version 3 give the highest QoS [311:MQTT-3.3.5-1]", arguments: threes)
    func overlappingOfVersion3(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connects("c", version)
        client.sends(
            .subscribe(id: 1, filters: "a/#", qos: .atMostOnce), .subscribe(id: 2, filters: "a/b", qos: .exactlyOnce))
        _ = client.takes()
        broker.connects("p").sends(.publish(topic: "a/b", payload: "x", qos: .exactlyOnce, id: 1))
        #expect(client.takesMessages().map(\.qos) == [.exactlyOnce])
    }

    @Test("a new identifier of a subscription replaces the old one, and none takes it away [5:MQTT-3.3.4-3]")
    func identifierReplaced() {
        let client = ShardHarness().connects("c")
        for identifier in [7, 8, nil] as [UInt32?] {
            client.sends(.subscribe(id: 1, filters: "t", options: .init(), identifier: identifier))
            _ = client.takes()
            client.sends(.publish(topic: "t", payload: "x"))
            #expect(client.takesMessages().map(\.properties.subscriptionIdentifiers) == [identifier.map { [$0] } ?? []])
        }
    }

    @Test("No Local is of the client id and not of the connection, also over a return [5:MQTT-3.8.3-3]")
    func noLocal() {
        let broker = ShardHarness()
        let client = broker.connectsDurably("c")
        client.sends(.subscribe(id: 1, filters: "t", options: .init(maximumQoS: .atLeastOnce, noLocal: true)))
        _ = client.takes()
        client.vanishes()
        let back = broker.connectsDurably("c")
        _ = back.takes()
        back.sends(.publish(topic: "t", payload: "mine", qos: .atLeastOnce, id: 1))
        back.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        broker.connects("d").sends(.publish(topic: "t", payload: "another's"))
        #expect(back.takesMessages().map(\.text) == ["another's"])
    }

    @Test(
        """
        of overlapping subscriptions those with No Local have no part in the client's own messages: neither their QoS nor \
        their identifiers [5:MQTT-3.8.3-3] [5:MQTT-3.3.4-3]
        """, arguments: [false, true])
    func noLocalAmongOthers(_ isReversed: Bool) {
        let broker = ShardHarness()
        let client = broker.connects("c")
        let subscribes: [Packet] = [
            .subscribe(
                id: 1, filters: "a/#", options: .init(maximumQoS: .exactlyOnce, noLocal: true, retainAsPublished: true),
                identifier: 1),
            .subscribe(id: 2, filters: "a/b", options: .init(maximumQoS: .atMostOnce), identifier: 2),
        ]
        for packet in isReversed ? subscribes.reversed() : subscribes { client.sends(packet) }
        _ = client.takes()
        client.sends(.publish(topic: "a/b", payload: "mine", qos: .atLeastOnce, id: 9, isRetained: true))
        let mine = client.takesMessages()
        #expect(mine.map(\.qos) == [.atMostOnce])
        #expect(mine.map(\.isRetained) == [false])
        #expect(mine.map(\.properties.subscriptionIdentifiers) == [[2]])
        broker.connects("d").sends(.publish(topic: "a/b", payload: "another's", qos: .atLeastOnce, id: 9))
        let others = client.takesMessages()
        #expect(others.map(\.qos) == [.atLeastOnce])
        #expect(others.map { $0.properties.subscriptionIdentifiers.sorted() } == [[1, 2]])
    }

    // MARK: - Retained messages

    @Test(
        """
        RETAIN 1 keeps the message with its QoS in the place of any other, RETAIN 0 changes nothing, an empty one deletes \
        [5:MQTT-3.3.1-5] [5:MQTT-3.3.1-6] [5:MQTT-3.3.1-7] [5:MQTT-3.3.1-8] [311:MQTT-3.3.1-5] [311:MQTT-3.3.1-6] \
        [311:MQTT-3.3.1-7] [311:MQTT-3.3.1-8] [311:MQTT-3.3.1-9] [311:MQTT-3.3.1-10] [311:MQTT-3.3.1-11] \
        [311:MQTT-3.3.1-12]
        """, arguments: bothVersions)
    func retained(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (publisher, listener) = (broker.connects("p", version), broker.connects("l", version))
        listener.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = listener.takes()
        var id: UInt16 = 0
        func publish(_ text: String, _ qos: QoS, isRetained: Bool) {
            id += 1
            let packetID = qos == .atMostOnce ? 0 : id
            publisher.sends(.publish(topic: "t", payload: text, qos: qos, id: packetID, isRetained: isRetained))
            if qos == .exactlyOnce { publisher.sends(.pubRel(id: packetID)) }
            // For those who are subscribed it is a message like others: delivered, and without the flag.
            let messages = listener.takesMessages()
            #expect(messages.map(\.text) == [text])
            #expect(messages.map(\.isRetained) == [false])
        }
        func kept(sourceLocation: SourceLocation = #_sourceLocation) -> [Publish] {
            let reader = broker.connects("r", version)
            reader.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
            let messages = reader.takesMessages()
            #expect(messages.allSatisfy { $0.isRetained && !$0.isDuplicate }, sourceLocation: sourceLocation)
            return messages
        }
        publish("not kept", .atLeastOnce, isRetained: false)
        #expect(kept().isEmpty)
        publish("one", .exactlyOnce, isRetained: true)
        #expect(kept().map(\.text) == ["one"])
        #expect(kept().map(\.qos) == [.exactlyOnce])
        publish("two", .atLeastOnce, isRetained: true)
        #expect(kept().map(\.qos) == [.atLeastOnce])
        publish("passing by", .exactlyOnce, isRetained: false)
        publish("", .atLeastOnce, isRetained: false)
        #expect(kept().map(\.text) == ["two"])
        // Of QoS 0 too, which discards the one before.
        publish("three", .atMostOnce, isRetained: true)
        #expect(kept().map(\.text) == ["three"])
        #expect(kept().map(\.qos) == [.atMostOnce])
        publish("", .atMostOnce, isRetained: true)
        #expect(kept().isEmpty)
        #expect(broker.shard.retained.count == 0)
        // Deleting what is not there is as good.
        publish("", .atLeastOnce, isRetained: true)
        #expect(broker.shard.retained.count == 0)
    }

    @Test("retained messages outlive the session of their publisher [311:MQTT-3.1.2-7]", arguments: bothVersions)
    func outlivesSession(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let publisher = broker.connects("p", version)
        publisher.sends(.publish(topic: "t", payload: "x", isRetained: true), .disconnect(reason: .success))
        _ = broker.connects("p", version, cleanStart: true)
        let reader = broker.connects("r", version)
        reader.sends(.subscribe(id: 1, filters: "t"))
        #expect(reader.takesMessages().map(\.text) == ["x"])
    }

    @Test("a replay has the identifier of its subscription, and RETAIN 1 also without Retain As Published")
    func replay() {
        let broker = ShardHarness()
        let client = broker.connects("c")
        client.sends(.publish(topic: "t", payload: "x", isRetained: true))
        for isKept in [false, true] {
            client.sends(.subscribe(id: 1, filters: "t", options: .init(retainAsPublished: isKept), identifier: 9))
            let messages = client.takesMessages()
            #expect(messages.map(\.isRetained) == [true])
            #expect(messages.map(\.properties.subscriptionIdentifiers) == [[9]])
        }
    }
}
