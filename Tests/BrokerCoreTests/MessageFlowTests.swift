import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// §3.3 to §3.7, §4.3 and §4.9 statement by statement: a message from its publisher to a subscriber, each step.
@Suite("Messages on their way")
struct MessageFlowTests {
    private static func subscriber(
        _ broker: ShardHarness,
        _ version: ProtocolVersion = .v5,
        receiveMaximum: UInt16? = nil,
        _ qos: QoS = .exactlyOnce
    ) -> ScriptedPeer {
        let client = broker.connects("subscriber", version, receiveMaximum: receiveMaximum)
        client.sends(.subscribe(id: 1, filters: "t/#", qos: qos))
        _ = client.takes()
        return client
    }

    // MARK: - From the publisher

    @Test(
        """
        PUBLISH is answered as its QoS asks, with its own identifier [5:MQTT-3.3.4-1] [311:MQTT-3.3.4-1] \
        [5:MQTT-2.2.1-5] [311:MQTT-2.3.1-6] [5:MQTT-4.3.2-4] [5:MQTT-4.3.3-8] [5:MQTT-4.3.3-11]
        """, arguments: ProtocolVersion.allCases)
    func answers(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        _ = Self.subscriber(broker, version)
        let client = broker.connects("p", version)
        client.sends(.publish(topic: "t/1", payload: "x"))
        client.receivesNothing()
        for id in [1, 255, 256, 65_535] as [UInt16] {
            client.sends(.publish(topic: "t/1", payload: "x", qos: .atLeastOnce, id: id))
            client.receives(.pubAck(id: id))
            client.sends(.publish(topic: "t/1", payload: "x", qos: .exactlyOnce, id: id))
            client.receives(.pubRec(id: id))
            client.sends(.pubRel(id: id))
            client.receives(.pubComp(id: id))
        }
    }

    @Test(
        "behind PUBACK the same identifier is a new message, whatever DUP says [5:MQTT-4.3.2-5] [311:MQTT-4.3.2-2]",
        arguments: bothVersions)
    func identifierOfQoS1(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (subscriber, client) = (Self.subscriber(broker, version), broker.connects("p", version))
        for (text, isDuplicate) in [("1", false), ("2", false), ("3", true)] {
            client.sends(
                .publish(topic: "t/1", payload: text, qos: .atLeastOnce, id: 7, isDuplicate: isDuplicate))
            client.receives(.pubAck(id: 7))
        }
        #expect(subscriber.takesMessages().map(\.text) == ["1", "2", "3"])
    }

    @Test(
        """
        until PUBREL the same identifier is the same message, and behind PUBCOMP a new one \
        [5:MQTT-4.3.3-10] [5:MQTT-4.3.3-12] [311:MQTT-4.3.3-2]
        """, arguments: bothVersions)
    func identifierOfQoS2(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (subscriber, client) = (Self.subscriber(broker, version), broker.connects("p", version))
        for isDuplicate in [false, true, true] {
            client.sends(
                .publish(topic: "t/1", payload: "one", qos: .exactlyOnce, id: 7, isDuplicate: isDuplicate))
            client.receives(.pubRec(id: 7))
        }
        client.sends(.pubRel(id: 7), .pubRel(id: 7))
        client.receives(
            .pubComp(id: 7), .pubComp(id: 7, reason: version == .v5 ? .packetIdentifierNotFound : .success))
        // DUP or not.
        client.sends(.publish(topic: "t/1", payload: "two", qos: .exactlyOnce, id: 7, isDuplicate: true))
        client.receives(.pubRec(id: 7))
        #expect(subscriber.takesMessages().map(\.text) == ["one", "two"])
    }

    @Test("behind a failing PUBREC the same identifier is a new message [5:MQTT-4.3.3-9]")
    func refusedQoS2() {
        var settings = BrokerSettings()
        settings.checksPayloadFormat = true
        let broker = ShardHarness(settings)
        let (subscriber, client) = (Self.subscriber(broker), broker.connects("p"))
        client.sends(Self.text([0xFF], .exactlyOnce))
        client.receives(.pubRec(id: 1, reason: .payloadFormatInvalid))
        client.sends(.publish(topic: "t/1", payload: "fine", qos: .exactlyOnce, id: 1))
        client.receives(.pubRec(id: 1))
        #expect(subscriber.takesMessages().map(\.text) == ["fine"])
    }

    @Test("answers of version 5 say that nobody listens, or that an identifier is not known [5:§3.4.2.1] [5:§3.7.2.1]")
    func reasons() {
        let client = ShardHarness().connects("p")
        client.sends(.publish(topic: "t/1", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        client.sends(.publish(topic: "t/1", qos: .exactlyOnce, id: 2))
        client.receives(.pubRec(id: 2, reason: .noMatchingSubscribers))
        client.sends(.pubRel(id: 2), .pubRel(id: 3))
        client.receives(.pubComp(id: 2), .pubComp(id: 3, reason: .packetIdentifierNotFound))
        // [5:§3.6.2.1] a PUBREC of what was never sent; one that is a refusal ends nothing that there is.
        client.sends(.pubRec(id: 4), .pubRec(id: 5, reason: .unspecifiedError))
        client.receives(.pubRel(id: 4, reason: .packetIdentifierNotFound))
    }

    private static func text(_ bytes: [UInt8], _ qos: QoS) -> Packet {
        var publish = Publish(
            topic: "t/1", payload: ByteBuffer(bytes: bytes), qos: qos, packetID: qos == .atMostOnce ? 0 : 1)
        publish.properties.payloadFormatIndicator = 1
        return .publish(publish)
    }

    @Test("a payload that is said to be text and is not is refused by 0x99, if that is looked at [5:§3.3.2.3.2]")
    func payloadFormat() {
        var settings = BrokerSettings()
        settings.checksPayloadFormat = true
        let broker = ShardHarness(settings)
        let (subscriber, client) = (Self.subscriber(broker), broker.connects("p"))
        for bytes in [[0x68, 0x69], [0xC3, 0xBC], [], [0x00], [0xEF, 0xBB, 0xBF]] as [[UInt8]] {
            client.sends(Self.text(bytes, .atLeastOnce))
            client.receives(.pubAck(id: 1))
        }
        #expect(subscriber.takesMessages().count == 5)
        for bytes in [[0xC3], [0xFF], [0xED, 0xA0, 0x80], [0xC0, 0x80]] as [[UInt8]] {
            client.sends(Self.text(bytes, .atLeastOnce))
            client.receives(.pubAck(id: 1, reason: .payloadFormatInvalid))
        }
        client.sends(Self.text([0xFF], .atMostOnce))
        client.receives(.disconnect(reason: .payloadFormatInvalid))
        subscriber.receivesNothing()
        // Without the option the receiver may look itself.
        let lenient = ShardHarness()
        let other = Self.subscriber(lenient)
        lenient.connects("p").sends(Self.text([0xFF], .atMostOnce))
        #expect(other.takesMessages().count == 1)
    }

    @Test(
        """
        refusals say in words what was wrong, unless the client does not want that or it does not fit \
        [5:MQTT-3.1.2-29] [5:MQTT-3.4.2-2] [5:MQTT-3.5.2-2] [5:MQTT-3.9.2-1] [5:MQTT-3.4.2-3] [5:MQTT-3.5.2-3] \
        [5:MQTT-3.9.2-2]
        """)
    func reasonStrings() {
        var settings = BrokerSettings()
        settings.subscriptionsMax = 0
        let broker = ShardHarness(settings)
        for (wants, max, hasText) in [
            (nil, nil, true), (true, nil, true), (false, nil, false), (nil, 20, false), (true, 300, true),
        ] as [(Bool?, UInt32?, Bool)] {
            let client = broker.opens()
            client.sends(
                ConnAckTests.connect {
                    $0.requestProblemInformation = wants
                    $0.maximumPacketSize = max
                }
            )
            _ = client.takes()
            client.sends(
                .publish(topic: "$x", qos: .atLeastOnce, id: 1), .publish(topic: "$x", qos: .exactlyOnce, id: 2),
                .subscribe(id: 3, filters: "a")
            )
            let packets = client.takes()
            #expect(packets.count == 3)
            for packet in packets {
                let properties: Properties
                switch packet {
                case .pubAck(let ack), .pubRec(let ack):
                    #expect(ack.reason == .notAuthorized)
                    properties = ack.properties
                case .subAck(let ack):
                    #expect(ack.reasons == [.quotaExceeded])
                    properties = ack.properties
                default:
                    Issue.record("\(packet)")
                    continue
                }
                #expect((properties.reasonString != nil) == hasText)
                #expect(properties.userProperties.isEmpty)
            }
            // DISCONNECT says it all the same.
            client.sends(.pingResp)
            guard case .disconnect(let disconnect)? = client.takes().last else {
                Issue.record("no DISCONNECT")
                continue
            }
            #expect((disconnect.properties.reasonString != nil) == (max ?? .max > 30))
        }
    }

    @Test(
        """
        PUBREL, PUBCOMP and UNSUBACK are of the shortest form, without properties that could be too much \
        [5:MQTT-3.6.2-2] [5:MQTT-3.6.2-3] [5:MQTT-3.7.2-2] [5:MQTT-3.7.2-3] [5:MQTT-3.11.2-1] [5:MQTT-3.11.2-2]
        """)
    func shortForms() {
        let client = ShardHarness().connects("c")
        client.sends(.pubRec(id: 1), .pubRel(id: 2), .unsubscribe(id: 3, filters: "a"))
        for packet in client.takes() {
            switch packet {
            case .pubRel(let ack), .pubComp(let ack):
                #expect(ack.reason == .packetIdentifierNotFound)
                #expect(ack.properties.isEmpty)
            case .unsubAck(let ack): #expect(ack.properties.isEmpty)
            default: Issue.record("\(packet)")
            }
        }
    }

    // MARK: - To the subscriber

    @Test(
        """
        the delivered QoS is the lower of the two, for each of the nine pairs [5:MQTT-3.8.4-8] [311:MQTT-3.8.4-6] \
        [5:MQTT-3.8.4-7]
        """, arguments: QoS.allCases, QoS.allCases)
    func minimum(_ published: QoS, _ granted: QoS) {
        for version in ProtocolVersion.allCases {
            for isDurable in [false, true] {
                let broker = ShardHarness()
                let client = isDurable ? broker.connectsDurably("c", version) : broker.connects("c", version)
                client.sends(.subscribe(id: 1, filters: "t/#", qos: granted))
                let codes: [ReasonCode] = [.success, .grantedQoS1, .grantedQoS2]
                #expect(client.takes().last == .subAck(id: 1, reasons: codes[Int(granted.rawValue)]))
                let publisher = broker.connects("p", version)
                publisher.sends(
                    .publish(topic: "t/1", payload: "x", qos: published, id: published == .atMostOnce ? 0 : 1))
                let messages = client.takesMessages()
                #expect(messages.map(\.qos) == [min(published, granted)])
                // [5:MQTT-4.3.1-1] [311:MQTT-4.3.1-1] [5:MQTT-4.3.2-2] [5:MQTT-4.3.3-2] never a duplicate at first.
                #expect(messages.map(\.isDuplicate) == [false])
                // [5:MQTT-4.3.2-1] [5:MQTT-4.3.3-1] [5:MQTT-2.2.1-2] an identifier for those that need one.
                #expect((messages.first?.packetID == 0) == (min(published, granted) == .atMostOnce))
            }
        }
    }

    @Test(
        "DUP of a publisher is not passed on [5:MQTT-3.3.1-3] [311:MQTT-3.3.1-3]",
        arguments: [QoS.atLeastOnce, .exactlyOnce])
    func duplicateFlag(_ qos: QoS) {
        let broker = ShardHarness()
        let (subscriber, client) = (Self.subscriber(broker), broker.connects("p"))
        client.sends(.publish(topic: "t/1", payload: "x", qos: qos, id: 1, isDuplicate: true))
        #expect(subscriber.takesMessages().map(\.isDuplicate) == [false])
    }

    @Test(
        """
        QoS 1 to a subscriber: open until PUBACK, and then its identifier is free [5:MQTT-4.3.2-3] [5:MQTT-4.3.2-1] \
        [311:MQTT-4.3.2-1]
        """, arguments: bothVersions)
    func toSubscriberQoS1(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (subscriber, client) = (Self.subscriber(broker, version), broker.connects("p", version))
        client.sends(.publish(topic: "t/1", payload: "1", qos: .atLeastOnce, id: 1))
        client.sends(.publish(topic: "t/1", payload: "2", qos: .atLeastOnce, id: 1))
        let ids = subscriber.takesMessages().map(\.packetID)
        #expect(Set(ids).count == 2)
        #expect(subscriber.connection.session?.window.count == 2)
        // Of nothing it settles nothing.
        subscriber.sends(.pubComp(id: 64_999), .pubAck(id: 65_000))
        #expect(subscriber.connection.session?.window.count == 2)
        for id in ids { subscriber.sends(.pubAck(id: id)) }
        #expect(subscriber.connection.session?.window.count == 0)
        subscriber.receivesNothing()
    }

    @Test(
        """
        QoS 2 to a subscriber: PUBLISH until PUBREC, PUBREL until PUBCOMP, all under one identifier \
        [5:MQTT-4.3.3-1] [5:MQTT-4.3.3-3] [5:MQTT-4.3.3-4] [5:MQTT-4.3.3-5] [311:MQTT-4.3.3-1]
        """, arguments: bothVersions)
    func toSubscriberQoS2(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (subscriber, client) = (Self.subscriber(broker, version), broker.connects("p", version))
        client.sends(.publish(topic: "t/1", payload: "1", qos: .exactlyOnce, id: 1))
        let id = subscriber.receivesMessage("t/1", "1", .exactlyOnce)
        subscriber.sends(.pubRec(id: id), .pubRec(id: id))
        subscriber.receives(.pubRel(id: id), .pubRel(id: id))
        #expect(subscriber.connection.session?.window.count == 1)
        subscriber.sends(.pubComp(id: id))
        #expect(subscriber.connection.session?.window.count == 0)
    }

    @Test(
        """
        an acknowledgement of another kind than the exchange waits for ends the connection by 0x82, and the message is \
        sent again [5:§4.13.1] [311:MQTT-4.8.0-1]
        """, arguments: bothVersions)
    func outOfStep(_ version: ProtocolVersion) throws {
        let broker = ShardHarness()
        let first = broker.connectsDurably("subscriber", version)
        first.sends(.subscribe(id: 1, filters: "t/#", qos: .exactlyOnce))
        first.vanishes()
        broker.connects("p").sends(.publish(topic: "t/1", payload: "1", qos: .atLeastOnce, id: 1))
        broker.connects("p").sends(.publish(topic: "t/2", payload: "2", qos: .exactlyOnce, id: 1))
        let wrong: [(QoS, (UInt16) -> Packet)] = [
            (.atLeastOnce, { .pubRec(id: $0) }), (.atLeastOnce, { .pubRec(id: $0, reason: .unspecifiedError) }),
            (.atLeastOnce, { .pubComp(id: $0) }), (.exactlyOnce, { .pubAck(id: $0) }),
            (.exactlyOnce, { .pubComp(id: $0) }),
        ]
        for (qos, packet) in wrong {
            let client = broker.connectsDurably("subscriber", version)
            let messages = client.takesMessages()
            #expect(messages.map(\.text) == ["1", "2"])
            let id = try #require(messages.first { $0.qos == qos }?.packetID)
            client.sends(packet(id))
            if version == .v5 { client.receives(.disconnect(reason: .protocolError)) }
            #expect(client.isClosed)
        }
        let client = broker.connectsDurably("subscriber", version)
        for message in client.takesMessages() {
            if message.qos == .atLeastOnce {
                client.sends(.pubAck(id: message.packetID))
            } else {
                client.sends(.pubRec(id: message.packetID))
                // PUBREL is out: another PUBREC is answered again, and a PUBACK is out of step here too.
                client.sends(.pubRec(id: message.packetID))
                client.receives(.pubRel(id: message.packetID), .pubRel(id: message.packetID))
                client.sends(.pubComp(id: message.packetID))
            }
        }
        #expect(!client.isClosed && broker.spool.rows == 0)
    }

    @Test(
        "with a window of one each message waits for the end of the one before, whatever comes between [5:MQTT-4.6.0-5]"
    )
    func windowOfOne() {
        var settings = BrokerSettings()
        settings.inflightMax = 1
        let broker = ShardHarness(settings)
        var client = broker.connectsDurably("subscriber")
        client.sends(.subscribe(id: 1, filters: "t/#", qos: .exactlyOnce))
        _ = client.takes()
        let publisher = broker.connects("p")
        let kinds: [QoS] = [.atLeastOnce, .exactlyOnce]
        for number in 0..<30 {
            let topic = MQTTString("t/\(number % 3)")
            publisher.sends(
                .publish(topic: topic, payload: "\(number)", qos: kinds[number % 2], id: UInt16(number + 1)))
        }
        var arrived: [String] = []
        for step in 0..<200 where arrived.count < 30 || broker.spool.rows > 0 {
            // The line is cut at any moment of an exchange.
            if step % 7 == 6 {
                client.vanishes()
                client = broker.connectsDurably("subscriber")
            }
            let packets = client.takes()
            let messages = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
            #expect(messages.count <= 1, "never two at a time")
            for message in messages {
                if !message.isDuplicate || arrived.last != message.text { arrived.append(message.text) }
                client.sends(
                    message.qos == .atLeastOnce ? .pubAck(id: message.packetID) : .pubRec(id: message.packetID))
            }
            for case .pubRel(let release) in packets { client.sends(.pubComp(id: release.packetID)) }
        }
        #expect(arrived == (0..<30).map(String.init))
    }

    @Test("PUBREC with 0x80 or more ends the exchange: no PUBREL, and nothing is sent again [5:MQTT-4.4.0-2]")
    func refusedBySubscriber() {
        let broker = ShardHarness()
        let subscriber = broker.connectsDurably("subscriber")
        subscriber.sends(.subscribe(id: 1, filters: "t/#", qos: .exactlyOnce))
        _ = subscriber.takes()
        let client = broker.connects("p")
        for (qos, id) in [(.atLeastOnce, 1), (.exactlyOnce, 2)] as [(QoS, UInt16)] {
            client.sends(.publish(topic: "t/1", payload: "x", qos: qos, id: id))
        }
        for message in subscriber.takesMessages() {
            if message.qos == .atLeastOnce {
                subscriber.sends(.pubAck(id: message.packetID, reason: .unspecifiedError))
            } else {
                subscriber.sends(.pubRec(id: message.packetID, reason: .implementationSpecificError))
            }
        }
        subscriber.receivesNothing()
        #expect(broker.spool.rows == 0)
        subscriber.vanishes()
        #expect(broker.connectsDurably("subscriber").takesMessages().isEmpty)
    }

    @Test(
        """
        never more than the subscriber's Receive Maximum; PUBACK, PUBCOMP and a failing PUBREC free one, PUBREC does not, \
        and all else goes on meanwhile [5:MQTT-3.3.4-9] [5:MQTT-3.3.4-10] [5:MQTT-4.9.0-1] [5:MQTT-4.9.0-2] \
        [5:MQTT-4.9.0-3]
        """)
    func receiveMaximum() {
        let broker = ShardHarness()
        let subscriber = Self.subscriber(broker, receiveMaximum: 2)
        let client = broker.connects("p")
        for id in 1...6 as ClosedRange<UInt16> {
            client.sends(
                .publish(topic: "t/1", payload: "\(id)", qos: id % 2 == 1 ? .exactlyOnce : .atLeastOnce, id: id))
        }
        let first = subscriber.takesMessages()
        #expect(first.map(\.text) == ["1", "2"])
        // Quota 0: QoS 0 and every answer still go out.
        client.sends(.publish(topic: "t/0", payload: "zero"))
        subscriber.receives(.publish(topic: "t/0", payload: "zero"))
        subscriber.sends(.pingReq, .subscribe(id: 5, filters: "u"), .publish(topic: "v", qos: .atLeastOnce, id: 9))
        subscriber.receives(
            .pingResp, .subAck(id: 5, reasons: .success), .pubAck(id: 9, reason: .noMatchingSubscribers))
        subscriber.sends(.pubRec(id: first[0].packetID))
        subscriber.receives(.pubRel(id: first[0].packetID))
        subscriber.sends(.pubComp(id: first[0].packetID))
        let third = subscriber.receivesMessage("t/1", "3", .exactlyOnce)
        subscriber.sends(.pubRec(id: third, reason: .quotaExceeded))
        _ = subscriber.receivesMessage("t/1", "4", .atLeastOnce)
        subscriber.sends(.pubAck(id: first[1].packetID))
        _ = subscriber.receivesMessage("t/1", "5", .exactlyOnce)
    }

    @Test(
        """
        the receiver of a message gets its properties as they are and in their order [5:MQTT-3.3.2-4] [5:MQTT-3.3.2-15] \
        [5:MQTT-3.3.2-16] [5:MQTT-3.3.2-17] [5:MQTT-3.3.2-18] [5:MQTT-3.3.2-20]
        """, arguments: [false, true], QoS.allCases)
    func properties(_ isDurable: Bool, _ qos: QoS) {
        let broker = ShardHarness()
        let client = isDurable ? broker.connectsDurably("c") : broker.connects("c")
        client.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        let old = broker.connects("old", .v3_1_1)
        old.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        _ = (client.takes(), old.takes())
        var publish = Publish(
            topic: "t", payload: ByteBuffer(string: "x"), qos: qos, packetID: qos == .atMostOnce ? 0 : 1)
        publish.properties.values.payloadFormatIndicator = 0
        publish.properties.values.contentType = "text/plain"
        publish.properties.values.responseTopic = "answers"
        publish.properties.values.correlationData = ByteBuffer(bytes: [0, 255, 0])
        publish.properties.values.userProperties = [.init("b", "1"), .init("a", "2"), .init("b", "3"), .init("", "")]
        broker.connects("p").sends(.publish(publish))
        #expect(client.takesMessages().map(\.properties) == [publish.properties])
        // Nothing of it leaks to a client of version 3, whose packets have no place for it.
        #expect(old.takesMessages().map(\.text) == ["x"])
        #expect(old.failure == nil)
        // What is retained keeps them too.
        publish.isRetained = true
        publish.packetID = qos == .atMostOnce ? 0 : 2
        broker.connects("q").sends(.publish(publish))
        _ = client.takes()
        client.sends(.subscribe(id: 2, filters: "t"))
        #expect(client.takesMessages().map(\.properties) == [publish.properties])
    }

    @Test("subscribers get the topics that match their filters and no others [5:MQTT-3.3.2-3] [311:MQTT-3.3.2-3]")
    func topics() {
        let broker = ShardHarness()
        let (subscriber, client) = (Self.subscriber(broker), broker.connects("p"))
        for topic in ["t", "t/1", "t/1/2", "t/", "T/1", "tt/1", "/t/1", "u"] as [MQTTString] {
            client.sends(.publish(topic: topic, payload: "x"))
        }
        #expect(subscriber.takesMessages().map(\.topic) == ["t", "t/1", "t/1/2", "t/"])
    }

    @Test(
        "messages keep the order in which they came, for each QoS [5:MQTT-4.6.0-5] [5:MQTT-4.6.0-6] [311:MQTT-4.6.0-5] [311:MQTT-4.6.0-6]",
        arguments: QoS.allCases, [false, true])
    func order(_ qos: QoS, _ isDurable: Bool) {
        let broker = ShardHarness()
        var subscriber = AutomaticClient(
            isDurable ? broker.connectsDurably("s", receiveMaximum: 3) : broker.connects("s", receiveMaximum: 3))
        subscriber.peer.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        subscriber.acts(atMost: 5)
        let client = broker.connects("p", .v3_1_1)
        for id in 1...50 as ClosedRange<UInt16> {
            client.sends(.publish(topic: "t", payload: "\(id)", qos: qos, id: qos == .atMostOnce ? 0 : id))
            if qos == .exactlyOnce { client.sends(.pubRel(id: id)) }
            if id % 5 == 0 { subscriber.acts(atMost: 2) }
        }
        for _ in 0..<100 { subscriber.acts(atMost: 2) }
        #expect(subscriber.seen == (1...50).map(String.init))
    }

    // MARK: - Expiry

    @Test("a message without expiry waits for ever, one of 0 s is gone at once [5:§3.3.2.3.3] [5:MQTT-3.3.2-5]")
    func expiry() {
        let broker = ShardHarness()
        let first = broker.connectsDurably("c")
        first.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce), .disconnect(reason: .success, expiry: .max))
        let client = broker.connects("p")
        client.sends(
            .publish(topic: "t", payload: "for ever", qos: .atLeastOnce, id: 1),
            .publish(topic: "t", payload: "gone", qos: .atLeastOnce, id: 2, expiry: 0),
            .publish(topic: "t", payload: "longest", qos: .atLeastOnce, id: 3, expiry: .max)
        )
        broker.advance(.seconds(600_000))
        let messages = broker.connectsDurably("c").takesMessages()
        #expect(messages.map(\.text) == ["for ever", "longest"])
        #expect(messages.map(\.properties.messageExpiryInterval) == [nil, .max - 600_000])
    }

    @Test(
        """
        expiry no longer counts once PUBLISH of QoS 2 is out: the exchange goes on to its end, also over a new connection \
        [5:MQTT-4.3.3-7] [5:MQTT-4.3.3-13] [5:MQTT-4.3.3-6]
        """)
    func expiryOfQoS2() {
        let broker = ShardHarness()
        let subscriber = broker.connectsDurably("s")
        subscriber.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = subscriber.takes()
        broker.connects("p").sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1, expiry: 5))
        let id = subscriber.takesMessages().first?.packetID ?? 0
        broker.advance(.seconds(60))
        subscriber.vanishes()
        let back = broker.connectsDurably("s")
        let again = back.takesMessages()
        #expect(again.map(\.packetID) == [id])
        #expect(again.map(\.isDuplicate) == [true])
        back.sends(.pubRec(id: id))
        back.receives(.pubRel(id: id))
        back.vanishes()
        // PUBREL is out: no PUBLISH any more.
        let last = broker.connectsDurably("s")
        #expect(last.takes().dropFirst() == [.pubRel(id: id)])
        last.sends(.pubComp(id: id))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("an acknowledgement of QoS 2 comes to its end on the publisher's side, expired or not [5:MQTT-4.3.3-13]")
    func expiryAtPublisher() {
        let broker = ShardHarness()
        let client = broker.connectsDurably("p")
        _ = client.takes()
        client.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1, expiry: 1))
        client.receives(.pubRec(id: 1, reason: .noMatchingSubscribers))
        broker.advance(.seconds(60))
        client.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1, isDuplicate: true, expiry: 1))
        client.receives(.pubRec(id: 1))
        client.sends(.pubRel(id: 1))
        client.receives(.pubComp(id: 1))
    }
}
