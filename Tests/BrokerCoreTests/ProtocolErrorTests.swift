import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Bytes that break a rule, as a conversation with the whole shard: what does the client hear, and does its connection
/// end? The table of the codec judges the same bytes alone.
@Suite("Malformed packets and protocol errors")
struct ProtocolErrorTests {
    struct Breach: Sendable, CustomTestStringConvertible {
        var name: String
        var first: UInt8
        var body: String
        var reason: ReasonCode

        init(_ name: String, _ first: UInt8, _ body: String, _ reason: ReasonCode) {
            self.name = name
            self.first = first
            self.body = body
            self.reason = reason
        }

        var testDescription: String { name }
        func bytes(_ version: ProtocolVersion = .v5) -> [UInt8] {
            WireNotation.packet(first: first, body: body, version: version)
        }
    }

    // MARK: - Behind CONNACK

    static let breaches: [Breach] = [
        // Packets and their headers
        Breach("a second CONNECT [5:MQTT-3.1.0-2]", 0x10, "<MQTT> 05 02 0000 [] <c>", .protocolError),
        Breach("reserved packet type 0 [5:§2.1.2]", 0x00, "", .malformedPacket),
        Breach("CONNACK from a client [5:§2.1.2]", 0x20, "00 00 []", .protocolError),
        Breach("SUBACK from a client", 0x90, "0001 [] 00", .protocolError),
        Breach("UNSUBACK from a client", 0xB0, "0001 [] 00", .protocolError),
        Breach("PINGRESP from a client", 0xD0, "", .protocolError),
        Breach("PINGREQ with flags [5:MQTT-2.1.3-1]", 0xC1, "", .malformedPacket),
        Breach("PINGREQ with a body [5:§2.1.4]", 0xC0, "00", .malformedPacket),
        Breach("PUBREL without its flags [5:MQTT-3.6.1-1]", 0x60, "0001", .malformedPacket),
        Breach("SUBSCRIBE without its flags [5:MQTT-3.8.1-1]", 0x80, "0001 [] <a> 00", .malformedPacket),
        Breach("UNSUBSCRIBE without its flags [5:MQTT-3.10.1-1]", 0xA0, "0001 [] <a>", .malformedPacket),
        Breach("DISCONNECT with flags [5:MQTT-3.14.1-1]", 0xE1, "", .malformedPacket),
        Breach("AUTH with flags [5:MQTT-3.15.1-1]", 0xF1, "18 [15 <m>]", .malformedPacket),
        // PUBLISH
        Breach("QoS 3 [5:MQTT-3.3.1-4]", 0x36, "<t> 0001 []", .malformedPacket),
        Breach("DUP with QoS 0 [5:MQTT-3.3.1-2]", 0x38, "<t> []", .malformedPacket),
        Breach("packet identifier 0 [5:MQTT-2.2.1-3]", 0x32, "<t> 0000 []", .protocolError),
        Breach("wildcard # in a topic [5:MQTT-3.3.2-2]", 0x30, "<a/#> []", .topicNameInvalid),
        Breach("wildcard + in a topic [5:MQTT-4.7.0-1]", 0x30, "<a/+/b> []", .topicNameInvalid),
        Breach("neither topic nor alias [5:§3.3.2.1]", 0x30, "<> []", .protocolError),
        Breach("a topic that is not UTF-8 [5:MQTT-1.5.4-1]", 0x30, "0002 C328 []", .malformedPacket),
        Breach("a surrogate in a topic [5:MQTT-1.5.4-1]", 0x30, "0003 EDA080 []", .malformedPacket),
        Breach("U+0000 in a topic [5:MQTT-1.5.4-2]", 0x30, "0003 610062 []", .malformedPacket),
        Breach("topic alias 0 [5:MQTT-3.3.2-8]", 0x30, "<t> [23 0000]", .topicAliasInvalid),
        Breach("topic alias above the maximum [5:MQTT-3.3.2-9]", 0x30, "<t> [23 0011]", .topicAliasInvalid),
        Breach("a topic alias that stands for nothing [5:§3.3.2.3.4]", 0x30, "<> [23 0001]", .topicAliasInvalid),
        Breach("two topic aliases [5:§3.3.2.3.4]", 0x30, "<t> [23 0001 23 0002]", .protocolError),
        Breach("payload format 2 [5:§3.3.2.3.2]", 0x30, "<t> [01 02]", .protocolError),
        Breach("two payload formats [5:§3.3.2.3.2]", 0x30, "<t> [01 01 01 01]", .protocolError),
        Breach("two message expiries [5:§3.3.2.3.3]", 0x30, "<t> [02 00000001 02 00000001]", .protocolError),
        Breach("two content types [5:§3.3.2.3.9]", 0x30, "<t> [03 <a> 03 <a>]", .protocolError),
        Breach("two response topics [5:§3.3.2.3.5]", 0x30, "<t> [08 <a> 08 <a>]", .protocolError),
        Breach("two correlation data [5:§3.3.2.3.6]", 0x30, "<t> [09 <a> 09 <a>]", .protocolError),
        Breach("wildcard in a response topic [5:MQTT-3.3.2-14]", 0x30, "<t> [08 <a/+>]", .protocolError),
        Breach("a response topic that is not UTF-8 [5:MQTT-3.3.2-13]", 0x30, "<t> [08 0001 FF]", .malformedPacket),
        Breach("a content type that is not UTF-8 [5:MQTT-3.3.2-19]", 0x30, "<t> [03 0001 FF]", .malformedPacket),
        Breach("a subscription identifier from a client [5:MQTT-3.3.4-6]", 0x30, "<t> [0B 01]", .protocolError),
        Breach("a property that PUBLISH has not [5:§2.2.2.2]", 0x30, "<t> [11 00000001]", .malformedPacket),
        Breach("a property that does not exist [5:§2.2.2.2]", 0x30, "<t> [7F]", .malformedPacket),
        Breach("a property length beyond the packet", 0x30, "<t> 20", .malformedPacket),
        Breach("a length that is not the shortest [5:MQTT-1.5.5-1]", 0x30, "<t> 8000", .malformedPacket),
        Breach("a length of five bytes [5:§1.5.5]", 0x30, "<t> 8080808001", .malformedPacket),
        Breach("user property without value [5:MQTT-1.5.7-1]", 0x30, "<t> [26 <k>]", .malformedPacket),
        // Acknowledgements
        Breach("PUBACK with a code it has not [5:MQTT-3.4.2-1]", 0x40, "0001 04", .protocolError),
        Breach("PUBREC with a code it has not [5:MQTT-3.5.2-1]", 0x50, "0001 92", .protocolError),
        Breach("PUBREL with a code it has not [5:MQTT-3.6.2-1]", 0x62, "0001 10", .protocolError),
        Breach("PUBCOMP with a code it has not [5:MQTT-3.7.2-1]", 0x70, "0001 97", .protocolError),
        Breach("a code that does not exist [5:§2.4]", 0x40, "0001 FF", .protocolError),
        Breach("two reasons in PUBACK [5:§3.4.2.2.2]", 0x40, "0001 00 [1F <a> 1F <b>]", .protocolError),
        Breach("two reasons in PUBREC [5:§3.5.2.2.2]", 0x50, "0001 00 [1F <a> 1F <b>]", .protocolError),
        Breach("two reasons in PUBREL [5:§3.6.2.2.2]", 0x62, "0001 00 [1F <a> 1F <b>]", .protocolError),
        Breach("two reasons in PUBCOMP [5:§3.7.2.2.2]", 0x70, "0001 00 [1F <a> 1F <b>]", .protocolError),
        // SUBSCRIBE and UNSUBSCRIBE
        Breach("SUBSCRIBE without a filter [5:MQTT-3.8.3-2]", 0x82, "0001 []", .protocolError),
        Breach("SUBSCRIBE 0 [5:MQTT-2.2.1-3]", 0x82, "0000 [] <a> 00", .protocolError),
        Breach("reserved subscription options [5:MQTT-3.8.3-5]", 0x82, "0001 [] <a> 40", .malformedPacket),
        Breach("maximum QoS 3 [5:§3.8.3.1]", 0x82, "0001 [] <a> 03", .protocolError),
        Breach("retain handling 3 [5:§3.8.3.1]", 0x82, "0001 [] <a> 30", .protocolError),
        Breach("No Local on a share [5:MQTT-3.8.3-4]", 0x82, "0001 [] <$share/g/a> 04", .protocolError),
        Breach("subscription identifier 0 [5:§3.8.2.1.2]", 0x82, "0001 [0B 00] <a> 00", .protocolError),
        Breach("two subscription identifiers [5:§3.8.2.1.2]", 0x82, "0001 [0B 01 0B 02] <a> 00", .protocolError),
        Breach("an empty filter [5:MQTT-4.7.3-1]", 0x82, "0001 [] <> 00", .topicFilterInvalid),
        Breach("# before the end [5:MQTT-4.7.1-1]", 0x82, "0001 [] <a/#/b> 00", .topicFilterInvalid),
        Breach("# within a level [5:MQTT-4.7.1-1]", 0x82, "0001 [] <a#> 00", .topicFilterInvalid),
        Breach("+ within a level [5:MQTT-4.7.1-2]", 0x82, "0001 [] <a+/b> 00", .topicFilterInvalid),
        Breach("a share without a name [5:MQTT-4.8.2-1]", 0x82, "0001 [] <$share//a> 00", .topicFilterInvalid),
        Breach("a share without a filter [5:MQTT-4.8.2-2]", 0x82, "0001 [] <$share/g> 00", .topicFilterInvalid),
        Breach("a filter that is not UTF-8 [5:MQTT-3.8.3-1]", 0x82, "0001 [] 0001 FF 00", .malformedPacket),
        Breach("a filter without options", 0x82, "0001 [] <a>", .malformedPacket),
        Breach("UNSUBSCRIBE without a filter [5:MQTT-3.10.3-2]", 0xA2, "0001 []", .protocolError),
        Breach("UNSUBSCRIBE 0", 0xA2, "0000 [] <a>", .protocolError),
        Breach("UNSUBSCRIBE, not UTF-8 [5:MQTT-3.10.3-1]", 0xA2, "0001 [] 0001 FF", .malformedPacket),
        // DISCONNECT and AUTH
        Breach("DISCONNECT with a code it has not [5:MQTT-3.14.2-1]", 0xE0, "01", .protocolError),
        Breach("session expiry raised from 0 [5:§3.14.2.2.2]", 0xE0, "00 [11 0000000A]", .protocolError),
        Breach("two session expiries", 0xE0, "00 [11 00000000 11 00000000]", .protocolError),
        Breach("two reasons in DISCONNECT [5:§3.14.2.2.3]", 0xE0, "00 [1F <a> 1F <b>]", .protocolError),
        Breach("two servers in DISCONNECT [5:§3.14.2.2.5]", 0xE0, "00 [1C <a> 1C <b>]", .protocolError),
        Breach("AUTH where CONNECT named no method [5:MQTT-4.12.0-7]", 0xF0, "18 [15 <m>]", .protocolError),
        Breach("AUTH without method [5:§3.15.2.2.2]", 0xF0, "18 []", .protocolError),
        Breach("AUTH with two methods", 0xF0, "18 [15 <m> 15 <m>]", .protocolError),
        Breach("AUTH with data twice [5:§3.15.2.2.3]", 0xF0, "18 [15 <m> 16 <a> 16 <a>]", .protocolError),
        Breach("AUTH with two reasons [5:§3.15.2.2.4]", 0xF0, "18 [15 <m> 1F <a> 1F <b>]", .protocolError),
        Breach("AUTH with a code it has not [5:MQTT-3.15.2-1]", 0xF0, "87 [15 <m>]", .protocolError),
    ]

    @Test(
        """
        what is malformed or a protocol error ends the connection by DISCONNECT with its reason, publishes the will and \
        troubles nobody else [5:MQTT-4.13.1-1] [5:MQTT-4.13.2-1] [5:§4.13.1] [5:MQTT-3.14.4-2]
        """)
    func behindConnAck() {
        let broker = ShardHarness()
        let neighbour = broker.connects("neighbour")
        neighbour.sends(.subscribe(id: 1, filters: "will"))
        _ = neighbour.takes()
        for breach in Self.breaches {
            let client = broker.connects("c", will: Connect.Will(topic: "will", payload: ByteBuffer(string: "x")))
            client.startsBehindConnect()
            client.sends(bytes: breach.bytes() + [0xC0, 0])
            let heard = client.takes()
            #expect(heard.count == 1, "\(breach.name): \(heard)")
            guard case .disconnect(let disconnect)? = heard.first else {
                Issue.record("\(breach.name): \(heard)")
                continue
            }
            #expect(disconnect.reason == breach.reason, "\(breach.name): \(disconnect)")
            // For people; nothing of what they sent.
            #expect(disconnect.properties.reasonString?.isEmpty == false, "\(breach.name)")
            // [5:MQTT-3.14.2-2] [5:MQTT-3.14.2-4]
            #expect(disconnect.properties.sessionExpiryInterval == nil)
            #expect(disconnect.properties.userProperties.isEmpty)
            #expect(client.isClosed, "\(breach.name)")
            #expect(neighbour.takesMessages().count == 1, "\(breach.name)")
        }
        #expect(!neighbour.isClosed)
        #expect(broker.shard.connectionCount == 1)
    }

    @Test("the same from version 3 closes the connection without a word [311:MQTT-4.8.0-1]", arguments: threes)
    func behindConnAckOfVersion3(_ version: ProtocolVersion) {
        let breaches = [
            Breach("a second CONNECT [311:MQTT-3.1.0-2]", 0x10, "<MQTT> 04 02 0000 <c>", .protocolError),
            Breach("AUTH [311:§2.2.1]", 0xF0, "", .protocolError),
            Breach("PINGREQ with flags [311:MQTT-2.2.2-2]", 0xC1, "", .malformedPacket),
            Breach("PUBREL without its flags [311:MQTT-3.6.1-1]", 0x60, "0001", .malformedPacket),
            Breach("SUBSCRIBE without its flags [311:MQTT-3.8.1-1]", 0x80, "0001 <a> 00", .malformedPacket),
            Breach("UNSUBSCRIBE without its flags [311:MQTT-3.10.1-1]", 0xA0, "0001 <a>", .malformedPacket),
            Breach("DISCONNECT with flags [311:MQTT-3.14.1-1]", 0xE1, "", .malformedPacket),
            Breach("QoS 3 [311:MQTT-3.3.1-4]", 0x36, "<t> 0001", .malformedPacket),
            Breach("DUP with QoS 0 [311:MQTT-3.3.1-2]", 0x38, "<t>", .malformedPacket),
            Breach("packet identifier 0 [311:MQTT-2.3.1-1]", 0x32, "<t> 0000", .protocolError),
            Breach("a wildcard in a topic [311:MQTT-3.3.2-2]", 0x30, "<a/#>", .topicNameInvalid),
            Breach("an empty topic [311:MQTT-4.7.3-1]", 0x30, "<>", .topicNameInvalid),
            Breach("a topic that is not UTF-8 [311:MQTT-1.5.3-1]", 0x30, "0001 FF", .malformedPacket),
            Breach("U+0000 in a topic [311:MQTT-1.5.3-2]", 0x30, "0001 00", .malformedPacket),
            Breach("SUBSCRIBE without a filter [311:MQTT-3.8.3-3]", 0x82, "0001", .protocolError),
            Breach("a QoS of 3 in SUBSCRIBE [311:MQTT-3.8.3-4]", 0x82, "0001 <a> 03", .malformedPacket),
            Breach("reserved bits in SUBSCRIBE [311:MQTT-3.8.3-4]", 0x82, "0001 <a> 04", .malformedPacket),
            Breach("UNSUBSCRIBE without a filter [311:MQTT-3.10.3-2]", 0xA2, "0001", .protocolError),
            Breach("a wrong filter [311:MQTT-4.7.1-2]", 0x82, "0001 <a/#/b> 00", .topicFilterInvalid),
            Breach("PUBACK that is too long [311:§2.2.3]", 0x40, "0001 00", .malformedPacket),
        ]
        let broker = ShardHarness()
        let neighbour = broker.connects("neighbour")
        neighbour.sends(.subscribe(id: 1, filters: "will"))
        _ = neighbour.takes()
        for breach in breaches {
            let will = Connect.Will(topic: "will", payload: ByteBuffer(string: "x"))
            let client = broker.connects("c", version, will: will)
            client.startsBehindConnect()
            client.sends(bytes: breach.bytes(version) + [0xC0, 0])
            client.receivesNothing()
            #expect(client.isClosed, "\(breach.name)")
            #expect(neighbour.takesMessages().count == 1, "\(breach.name)")
        }
    }

    @Test("a packet above the Maximum Packet Size of CONNACK ends by 0x95 before it is whole [5:§3.2.2.3.6]")
    func tooLarge() {
        let broker = ShardHarness()
        let client = broker.connects("c")
        client.startsBehindConnect()
        client.sends(bytes: [0x30, 0xFF, 0xFF, 0x7F])
        client.receives(.disconnect(reason: .packetTooLarge))
        #expect(client.isClosed)
    }

    @Test("more unanswered PUBLISH than Receive Maximum end by 0x93 [5:§3.3.4] [5:§3.2.2.3.3]")
    func receiveMaximum() throws {
        var settings = BrokerSettings()
        settings.receiveMaximum = 3
        let broker = ShardHarness(settings)
        let client = broker.opens()
        client.sends(.connect(clientID: "c"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.receiveMaximum == 3)
        for id: UInt16 in 1...3 {
            client.sends(.publish(topic: "t", qos: .exactlyOnce, id: id))
            client.receives(.pubRec(id: id, reason: .noMatchingSubscribers))
        }
        // QoS 0 costs nothing, and a release gives one back.
        client.sends(.publish(topic: "t"), .pubRel(id: 2))
        client.receives(.pubComp(id: 2))
        client.sends(.publish(topic: "t", qos: .atLeastOnce, id: 4))
        client.receives(.pubAck(id: 4, reason: .noMatchingSubscribers))
        client.sends(.publish(topic: "t", qos: .exactlyOnce, id: 5))
        client.receives(.pubRec(id: 5, reason: .noMatchingSubscribers))
        client.sends(.publish(topic: "t", qos: .exactlyOnce, id: 6))
        client.receives(.disconnect(reason: .receiveMaximumExceeded))
        #expect(client.isClosed)
    }

    // MARK: - CONNECT

    private static let start = "<MQTT> 05 02 0000"

    static let wrongConnects: [Breach] = [
        Breach("reserved flag [5:MQTT-3.1.2-3]", 0x10, "<MQTT> 05 03 0000 [] <c>", .malformedPacket),
        Breach("will QoS 3 [5:MQTT-3.1.2-12]", 0x10, "<MQTT> 05 1E 0000 [] <c> [] <w> <>", .malformedPacket),
        Breach("will QoS without will [5:MQTT-3.1.2-11]", 0x10, "<MQTT> 05 0A 0000 [] <c>", .malformedPacket),
        Breach("will retain without will [5:MQTT-3.1.2-13]", 0x10, "<MQTT> 05 22 0000 [] <c>", .malformedPacket),
        Breach("will without topic [5:MQTT-3.1.2-9]", 0x10, "<MQTT> 05 06 0000 [] <c>", .malformedPacket),
        Breach("user name not flagged [5:MQTT-3.1.2-16]", 0x10, start + "[] <c> <u>", .malformedPacket),
        Breach("user name flagged, not there [5:MQTT-3.1.2-17]", 0x10, "<MQTT> 05 82 0000 [] <c>", .malformedPacket),
        Breach("password not flagged [5:MQTT-3.1.2-18]", 0x10, "<MQTT> 05 82 0000 [] <c> <u> <p>", .malformedPacket),
        Breach("password flagged, not there [5:MQTT-3.1.2-19]", 0x10, "<MQTT> 05 C2 0000 [] <c> <u>", .malformedPacket),
        Breach("no client id [5:MQTT-3.1.3-3]", 0x10, start + "[]", .malformedPacket),
        Breach("client id that is not UTF-8 [5:MQTT-3.1.3-4]", 0x10, start + "[] 0001 FF", .malformedPacket),
        Breach(
            "will topic, not UTF-8 [5:MQTT-3.1.3-11]", 0x10, "<MQTT> 05 06 0000 [] <c> [] 0001 FF <>", .malformedPacket),
        Breach("user name, not UTF-8 [5:MQTT-3.1.3-12]", 0x10, "<MQTT> 05 82 0000 [] <c> 0001 FF", .malformedPacket),
        Breach("wildcard in the will topic", 0x10, "<MQTT> 05 06 0000 [] <c> [] <a/#> <>", .topicNameInvalid),
        Breach("two session expiries [5:§3.1.2.11.2]", 0x10, start + "[11 00000001 11 00000001] <c>", .protocolError),
        Breach("two receive maximums [5:§3.1.2.11.3]", 0x10, start + "[21 0001 21 0001] <c>", .protocolError),
        Breach("receive maximum 0 [5:§3.1.2.11.3]", 0x10, start + "[21 0000] <c>", .protocolError),
        Breach("two packet sizes [5:§3.1.2.11.4]", 0x10, start + "[27 000000FF 27 000000FF] <c>", .protocolError),
        Breach("packet size 0 [5:§3.1.2.11.4]", 0x10, start + "[27 00000000] <c>", .protocolError),
        Breach("two alias maximums [5:§3.1.2.11.5]", 0x10, start + "[22 0001 22 0001] <c>", .protocolError),
        Breach("response information 2 [5:§3.1.2.11.6]", 0x10, start + "[19 02] <c>", .protocolError),
        Breach("response information twice [5:§3.1.2.11.6]", 0x10, start + "[19 01 19 01] <c>", .protocolError),
        Breach("problem information 2 [5:§3.1.2.11.7]", 0x10, start + "[17 02] <c>", .protocolError),
        Breach("problem information twice [5:§3.1.2.11.7]", 0x10, start + "[17 01 17 01] <c>", .protocolError),
        Breach("two methods [5:§3.1.2.11.9]", 0x10, start + "[15 <a> 15 <a>] <c>", .protocolError),
        Breach("data without method [5:§3.1.2.11.10]", 0x10, start + "[16 <a>] <c>", .protocolError),
        Breach("data twice [5:§3.1.2.11.10]", 0x10, start + "[15 <m> 16 <a> 16 <a>] <c>", .protocolError),
        Breach("a property that CONNECT has not", 0x10, start + "[23 0001] <c>", .malformedPacket),
        Breach("two will delays [5:§3.1.3.2.2]", 0x10, will("18 00000001 18 00000001"), .protocolError),
        Breach("will of payload format 2 [5:§3.1.3.2.3]", 0x10, will("01 02"), .protocolError),
        Breach("two payload formats of a will [5:§3.1.3.2.3]", 0x10, will("01 01 01 01"), .protocolError),
        Breach("two expiries of a will [5:§3.1.3.2.4]", 0x10, will("02 00000001 02 00000001"), .protocolError),
        Breach("two content types of a will [5:§3.1.3.2.5]", 0x10, will("03 <a> 03 <a>"), .protocolError),
        Breach("two response topics of a will [5:§3.1.3.2.6]", 0x10, will("08 <a> 08 <a>"), .protocolError),
        Breach("wildcard in the response topic of a will", 0x10, will("08 <#>"), .protocolError),
        Breach("two correlation data of a will [5:§3.1.3.2.7]", 0x10, will("09 <a> 09 <a>"), .protocolError),
        Breach("an alias of a will", 0x10, will("23 0001"), .malformedPacket),
        Breach("a CONNECT that ends early", 0x10, "<MQTT> 05", .malformedPacket),
        Breach("bytes behind the last field", 0x10, start + "[] <c> 00", .malformedPacket),
    ]

    private static func will(_ properties: String) -> String { "<MQTT> 05 06 0000 [] <c> [\(properties)] <w> <>" }

    @Test(
        """
        a CONNECT that does not fit its layout is answered by CONNACK with the reason and the connection closed \
        [5:MQTT-3.1.4-1] [5:MQTT-3.2.2-7] [5:MQTT-3.2.2-6] [5:MQTT-3.14.0-1] [5:§4.13.1]
        """)
    func connects() {
        let broker = ShardHarness()
        for breach in Self.wrongConnects {
            let client = broker.opens()
            client.sends(bytes: breach.bytes() + [0xC0, 0])
            let heard = client.takes()
            guard case .connAck(let ack)? = heard.first, heard.count == 1 else {
                Issue.record("\(breach.name): \(heard)")
                continue
            }
            #expect(ack.reason == breach.reason, "\(breach.name)")
            #expect(!ack.isSessionPresent)
            #expect(client.isClosed, "\(breach.name)")
        }
        #expect(broker.shard.connectionCount == 0)
        #expect(broker.spool.receivers == 0)
    }

    @Test("the same from version 3 is closed without CONNACK [311:MQTT-3.1.4-1] [311:MQTT-3.2.2-6]")
    func connectsOfVersion3() {
        let broker = ShardHarness()
        for (name, body) in [
            ("reserved flag [311:MQTT-3.1.2-3]", "<MQTT> 04 03 0000 <c>"),
            ("will QoS 3 [311:MQTT-3.1.2-14]", "<MQTT> 04 1E 0000 <c> <w> <>"),
            ("will QoS without will [311:MQTT-3.1.2-11] [311:MQTT-3.1.2-13]", "<MQTT> 04 0A 0000 <c>"),
            ("will retain without will [311:MQTT-3.1.2-15]", "<MQTT> 04 22 0000 <c>"),
            ("will without topic [311:MQTT-3.1.2-9]", "<MQTT> 04 06 0000 <c>"),
            ("password without user name [311:MQTT-3.1.2-22]", "<MQTT> 04 42 0000 <c> <p>"),
            ("user name not flagged [311:MQTT-3.1.2-18]", "<MQTT> 04 02 0000 <c> <u>"),
            ("user name not there [311:MQTT-3.1.2-19]", "<MQTT> 04 82 0000 <c>"),
            ("password not flagged [311:MQTT-3.1.2-20]", "<MQTT> 04 82 0000 <c> <u> <p>"),
            ("password not there [311:MQTT-3.1.2-21]", "<MQTT> 04 C2 0000 <c> <u>"),
            ("no client id [311:MQTT-3.1.3-3]", "<MQTT> 04 02 0000"),
            ("client id, not UTF-8 [311:MQTT-3.1.3-4]", "<MQTT> 04 02 0000 0001 FF"),
            ("will topic, not UTF-8 [311:MQTT-3.1.3-10]", "<MQTT> 04 06 0000 <c> 0001 FF <>"),
            ("user name, not UTF-8 [311:MQTT-3.1.3-11]", "<MQTT> 04 82 0000 <c> 0001 FF"),
        ] {
            let client = broker.opens(.v3_1_1)
            client.sends(bytes: WireNotation.packet(first: 0x10, body: body, version: .v3_1_1))
            client.receivesNothing()
            #expect(client.isClosed, "\(name)")
        }
    }

    @Test(
        """
        a protocol level that is not served is answered by 0x01 in the words of version 3, and closed \
        [311:MQTT-3.1.2-2] [311:MQTT-3.1.2-1] [5:MQTT-3.1.2-2] [5:MQTT-3.1.2-1]
        """,
        arguments: ["<MQTT> 06 02 0000 <c>", "<MQTT> 00 02 0000 <c>", "<MQTX> 04 02 0000 <c>", "<> 04 02 0000 <c>"])
    func levels(_ body: String) {
        let broker = ShardHarness()
        let client = broker.opens(.v3_1_1)
        client.sends(bytes: WireNotation.packet(first: 0x10, body: body, version: .v3_1_1) + [0xC0, 0])
        client.receivesConnAck(.unsupportedProtocolVersion)
        #expect(client.isClosed)
    }

    @Test("what comes before CONNECT closes the connection in silence [5:MQTT-3.1.0-1] [311:MQTT-3.1.0-1]")
    func beforeConnect() {
        let broker = ShardHarness()
        for type: UInt8 in 0...15 where type != 1 {
            let client = broker.opens()
            client.sends(bytes: [type << 4, 0])
            client.receivesNothing()
            #expect(client.isClosed, "\(type)")
        }
        for text in ["GET / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}"] {
            let client = broker.opens()
            client.sends(bytes: Array(text.utf8))
            client.receivesNothing()
            #expect(client.isClosed)
        }
    }

    @Test("after a CONNECT that was refused nothing more is processed [5:MQTT-3.1.4-6] [311:MQTT-3.1.4-5]")
    func afterRefusal() {
        for version in bothVersions {
            let broker = ShardHarness()
            let listener = broker.connects("listener")
            listener.sends(.subscribe(id: 1, filters: "t"))
            _ = listener.takes()
            let client = broker.opens(version)
            let id = MQTTString(String(repeating: "x", count: 257))
            client.sends(
                .connect(clientID: id, version: version), .publish(topic: "t"), .pingReq,
                .connect(clientID: "fine", version: version)
            )
            client.receivesConnAck(.clientIdentifierNotValid)
            #expect(client.isClosed)
            listener.receivesNothing()
        }
    }
}

/// The versions that have no DISCONNECT from the server.
let threes: [ProtocolVersion] = [.v3_1, .v3_1_1]
