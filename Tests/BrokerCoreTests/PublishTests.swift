import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("PUBLISH from clients")
struct PublishTests {
    @Test("QoS 0 is delivered and not answered", arguments: bothVersions)
    func atMostOnce(_ version: ProtocolVersion) {
        let broker = ShardHarness(commitsAtOnce: false)
        let (a, b) = (broker.connects("a", version), broker.connects("b", version))
        b.sends(.subscribe(id: 1, filters: "t/+"))
        b.receives(.subAck(id: 1, reasons: .success))
        a.sends(.publish(topic: "t/1", payload: "x"))
        a.receivesNothing()
        b.receives(.publish(topic: "t/1", payload: "x"))
    }

    @Test("QoS 1 for nobody durable is answered at once", arguments: bothVersions)
    func atLeastOnce(_ version: ProtocolVersion) {
        let broker = ShardHarness(commitsAtOnce: false)
        let (a, b) = (broker.connects("a", version), broker.connects("b", version))
        a.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 7))
        a.receives(.pubAck(id: 7, reason: version == .v5 ? .noMatchingSubscribers : .success))
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        b.receives(.subAck(id: 1, reasons: .grantedQoS2))
        a.sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 8))
        a.receives(.pubAck(id: 8))
        let id = b.receivesMessage("t", "x", .atLeastOnce)
        b.sends(.pubAck(id: id))
        b.receivesNothing()
    }

    @Test("QoS 2 between clean sessions, each step [5:MQTT-4.3.3-9]", arguments: bothVersions)
    func exactlyOnce(_ version: ProtocolVersion) {
        let broker = ShardHarness(commitsAtOnce: false)
        let (a, b) = (broker.connects("a", version), broker.connects("b", version))
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        b.receives(.subAck(id: 1, reasons: .grantedQoS2))
        a.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 9))
        a.receives(.pubRec(id: 9))
        let id = b.receivesMessage("t", "x", .exactlyOnce)
        // [5:MQTT-4.3.3-10] a repeated PUBLISH is answered and not delivered.
        a.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 9, isDuplicate: true))
        a.receives(.pubRec(id: 9))
        b.receivesNothing()
        a.sends(.pubRel(id: 9))
        a.receives(.pubComp(id: 9))
        b.sends(.pubRec(id: id))
        b.receives(.pubRel(id: id))
        b.sends(.pubComp(id: id))
        b.receivesNothing()
        // The identifier is free for a new message.
        a.sends(.publish(topic: "t", payload: "y", qos: .exactlyOnce, id: 9))
        a.receives(.pubRec(id: 9))
        _ = b.receivesMessage("t", "y", .exactlyOnce)
    }

    @Test("PUBREL and PUBREC of an unknown identifier are answered all the same", arguments: bothVersions)
    func unknown(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connects("a", version)
        let reason: ReasonCode = version == .v5 ? .packetIdentifierNotFound : .success
        client.sends(.pubRel(id: 3))
        client.receives(.pubComp(id: 3, reason: reason))
        client.sends(.pubRec(id: 3))
        client.receives(.pubRel(id: 3, reason: reason))
        client.sends(.pubAck(id: 3), .pubComp(id: 3))
        client.receivesNothing()
    }

    @Test("more unanswered messages than Receive Maximum end the connection with 0x93 [5:MQTT-3.3.4-7]")
    func receiveMaximum() {
        let broker = ShardHarness(commitsAtOnce: false)
        let a = broker.connects("a")
        broker.connectsDurably("b").sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        broker.settle()
        for id in 1...256 { a.sends(.publish(topic: "t", qos: .atLeastOnce, id: UInt16(id))) }
        #expect(!a.isClosed)
        a.receivesNothing()
        broker.settle()
        #expect(a.takes().count == 256)
        for id in 1...257 { a.sends(.publish(topic: "t", qos: .atLeastOnce, id: UInt16(id))) }
        a.receives(.disconnect(reason: .receiveMaximumExceeded))
    }

    @Test("a client may send 100,000 messages of QoS 2: its quota does not drift")
    func quota() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        for number in 0..<100_000 {
            let id = UInt16(number % 300 + 1)
            client.sends(.publish(topic: number % 7 == 0 ? "$x" : "t", qos: .exactlyOnce, id: id))
            if number % 7 != 0 { client.sends(.pubRel(id: id)) }
            if number % 1000 == 0 { _ = client.takes() }
        }
        #expect(!client.isClosed)
    }

    @Test("unreleased QoS 2 messages of a version 3 client are bounded")
    func awaitingRelease() {
        let broker = ShardHarness()
        let client = broker.connects("a", .v3_1_1)
        for id in 1...1000 { client.sends(.publish(topic: "t", qos: .exactlyOnce, id: UInt16(id))) }
        #expect(!client.isClosed)
        client.sends(.publish(topic: "t", qos: .exactlyOnce, id: 1001))
        #expect(client.isClosed)
    }

    @Test("answers leave in the order of what they answer, PINGRESP does not queue [5:MQTT-4.6.0-2]")
    func order() {
        let broker = ShardHarness(commitsAtOnce: false)
        let a = broker.connects("a")
        broker.connectsDurably("b").sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        broker.settle()
        a.sends(
            .publish(topic: "t", qos: .atLeastOnce, id: 1),
            .publish(topic: "nobody", qos: .atLeastOnce, id: 2),
            .publish(topic: "t", qos: .exactlyOnce, id: 3),
            .subscribe(id: 4, filters: "x"),
            .pingReq
        )
        a.receives(.pingResp)
        broker.commit()
        a.receives(
            .pubAck(id: 1),
            .pubAck(id: 2, reason: .noMatchingSubscribers),
            .pubRec(id: 3),
            .subAck(id: 4, reasons: .success)
        )
    }

    @Test("topics that begin with $ belong to the server", arguments: bothVersions)
    func reserved(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connects("a", version)
        client.sends(.subscribe(id: 1, filters: "#", "$x"))
        _ = client.takes()
        let reason: ReasonCode = version == .v5 ? .notAuthorized : .success
        client.sends(.publish(topic: "$x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1, reason: reason))
        client.sends(.publish(topic: "$x", qos: .exactlyOnce, id: 2))
        client.receives(.pubRec(id: 2, reason: reason))
    }

    @Test("where no topic alias is announced none is taken [5:MQTT-3.2.2-18]")
    func alias() throws {
        var settings = BrokerSettings()
        settings.topicAliasMax = 0
        let broker = ShardHarness(settings)
        let client = broker.opens()
        client.sends(.connect(clientID: "a"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.topicAliasMaximum == nil)
        var publish = Publish(topic: "t", payload: ByteBuffer())
        publish.properties.topicAlias = 1
        client.sends(.publish(publish))
        client.receives(.disconnect(reason: .topicAliasInvalid))
    }

    @Test("too many answers that wait for the disk pause reading, a commit resumes it")
    func held() {
        var settings = BrokerSettings()
        settings.heldAnswersMax = 10
        let broker = ShardHarness(settings, commitsAtOnce: false)
        let a = broker.connects("a", .v3_1_1)
        broker.connectsDurably("b").sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        broker.settle()
        for id in 1...100 { a.sends(.publish(topic: "t", qos: .atLeastOnce, id: UInt16(id))) }
        #expect(a.connection.isHeld)
        broker.settle()
        #expect(!a.connection.isHeld)
        #expect(a.takes() == (1...100).map { .pubAck(id: UInt16($0)) })
    }

    @Test("the gateway's receipt says what became of the message, after the commit")
    func gateway() {
        let broker = ShardHarness(commitsAtOnce: false)
        let b = broker.connectsDurably("b")
        b.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        broker.settle()
        func publish(_ topic: MQTTString, _ qos: QoS, _ token: UInt64) {
            let request = GatewayPublish(topic: topic, payload: ByteBuffer(string: "x"), qos: qos, isRetained: false)
            broker.perform { shard, now in shard.publish(request, token: token, now: now) }
        }
        publish("t", .atLeastOnce, 1)
        #expect(broker.receipts.isEmpty)
        broker.commit()
        #expect(broker.receipts.map(\.token) == [1])
        #expect(broker.receipts.first?.receipt.isDurable == true)
        #expect(broker.receipts.first?.receipt.matched == 1)
        publish("nobody", .atLeastOnce, 2)
        publish("t", .atMostOnce, 3)
        #expect(broker.receipts.map(\.token) == [1, 2, 3])
        #expect(broker.receipts.last?.receipt.isDurable == false)
        publish("t", .exactlyOnce, 4)
        #expect(broker.receipts.count == 3)
        broker.commit()
        #expect(broker.receipts.count == 4)
    }
}
