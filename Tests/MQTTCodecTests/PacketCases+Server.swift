import MQTTCodec
import NIOCore

extension PacketCases {
    /// What servers send, as a client hears it.
    static let server: [PacketCase] = {
        var table = PacketTable(role: .client)
        addConnAck(&table)
        addSubAck(&table)
        addOthers(&table)
        return table.cases
    }()

    private static func addConnAck(_ table: inout PacketTable) {
        let all = PacketTable.all
        let five = PacketTable.five
        let three = PacketTable.three
        table.valid("CONNACK", all, 0x20, "00 00 ~", .connAck(ConnAck(reason: .success)))
        table.valid(
            "CONNACK with session", [.v3_1_1, .v5], 0x20, "01 00 ~",
            .connAck(ConnAck(reason: .success, isSessionPresent: true)))
        table.valid(
            "3.1 reserves the first byte", [.v3_1], 0x20, "FF 00", isCanonical: false,
            .connAck(ConnAck(reason: .success)))
        let codes: [ReasonCode] = [
            .unsupportedProtocolVersion, .clientIdentifierNotValid, .serverUnavailable, .badUserNameOrPassword,
            .notAuthorized,
        ]
        for (index, reason) in codes.enumerated() {
            table.valid("return code \(index + 1)", three, 0x20, "00 0\(index + 1)", .connAck(ConnAck(reason: reason)))
            table.valid(
                "\(reason)", five, 0x20, "00 \(String(reason.rawValue, radix: 16)) []",
                .connAck(ConnAck(reason: reason)))
        }
        table.valid(
            "CONNACK with all properties", five, 0x20,
            """
            00 00 [11 00000001 12 <id> 13 0002 15 <m> 16 0001 00 1A <ri> 1C <sr> 1F <rs> 21 0003 22 0004 24 01 25 00
            26 <k> <v> 27 00000005 28 00 29 01 2A 00]
            """,
            .connAck(
                ConnAck(
                    reason: .success,
                    properties: MQTTCodecTests.properties {
                        $0.sessionExpiryInterval = 1
                        $0.assignedClientIdentifier = "id"
                        $0.serverKeepAlive = 2
                        $0.authenticationMethod = "m"
                        $0.authenticationData = ByteBuffer(bytes: [0])
                        $0.responseInformation = "ri"
                        $0.serverReference = "sr"
                        $0.reasonString = "rs"
                        $0.receiveMaximum = 3
                        $0.topicAliasMaximum = 4
                        $0.maximumQoS = .atLeastOnce
                        $0.retainAvailable = false
                        $0.userProperties = [.init("k", "v")]
                        $0.maximumPacketSize = 5
                        $0.wildcardSubscriptionAvailable = false
                        $0.subscriptionIdentifiersAvailable = true
                        $0.sharedSubscriptionAvailable = false
                    })))
        for code in ["06", "80", "FF"] {
            table.invalid("return code \(code)", three, 0x20, "00 \(code)", .protocolError, "[311:§3.2.2.3]")
        }
        for code in ["01", "02", "10", "8B", "8D", "8E", "8F", "91", "94", "A2", "FF"] {
            table.invalid("CONNACK \(code)", five, 0x20, "00 \(code) []", .protocolError, "[5:MQTT-3.2.2-8]")
        }
        for flags in ["02", "80", "FE", "03"] {
            table.invalid(
                "acknowledge flags \(flags)", [.v3_1_1, .v5], 0x20, "\(flags) 00 ~", .malformedPacket,
                "[5:MQTT-3.2.2-1]", three: "[311:§3.2.2.1]")
        }
        table.invalid("session in a refusal", five, 0x20, "01 87 []", .protocolError, "[5:MQTT-3.2.2-6]")
        table.invalid("session in a refusal", [.v3_1_1], 0x20, "01 05", .protocolError, "[311:MQTT-3.2.2-4]")
        table.invalid("CONNACK of a byte", three, 0x20, "00", .malformedPacket, "[311:§2.2.3]")
        table.invalid("CONNACK without properties", five, 0x20, "00 00", .malformedPacket, "[5:§4.13.1]")
        table.invalid("bytes behind CONNACK", five, 0x20, "00 00 [] 00", .malformedPacket, "[5:§4.13.1]")
        table.invalid("receive maximum 0", five, 0x20, "00 00 [21 0000]", .protocolError, "[5:§3.1.2.11.3]")
        table.invalid("maximum packet size 0", five, 0x20, "00 00 [27 00000000]", .protocolError, "[5:§3.1.2.11.4]")
        for (id, statement) in [
            ("24", "[5:§3.2.2.3.4]"), ("25", "[5:§3.2.2.3.5]"), ("28", "[5:§3.2.2.3.11]"), ("29", "[5:§3.2.2.3.12]"),
            ("2A", "[5:§3.2.2.3.13]"),
        ] {
            table.invalid("\(id) of 2", five, 0x20, "00 00 [\(id) 02]", .protocolError, statement)
        }
    }

    private static func addSubAck(_ table: inout PacketTable) {
        let all = PacketTable.all
        let five = PacketTable.five
        let three = PacketTable.three
        table.valid(
            "SUBACK", all, 0x90, "0001 ~ 00 01 02 80",
            .subAck(SubAck(packetID: 1, reasons: [.success, .grantedQoS1, .grantedQoS2, .unspecifiedError])))
        table.valid(
            "SUBACK of version 5", five, 0x90, "0001 [1F <why>] 87 A2",
            .subAck(
                SubAck(
                    packetID: 1,
                    reasons: [.notAuthorized, .wildcardSubscriptionsNotSupported],
                    properties: MQTTCodecTests.properties { $0.reasonString = "why" })))
        for code in ["03", "11", "82"] {
            table.invalid(
                "SUBACK \(code)", all, 0x90, "0001 ~ \(code)", .protocolError, "[5:MQTT-3.9.3-2]",
                three: "[311:MQTT-3.9.3-2]")
        }
        table.invalid("SUBACK of version 5", three, 0x90, "0001 87", .protocolError, "[311:MQTT-3.9.3-2]")
        table.invalid(
            "SUBACK without codes", all, 0x90, "0001 ~", .protocolError, "[5:MQTT-3.8.4-6]", three: "[311:§3.9.3]")
        table.invalid(
            "SUBACK 0", all, 0x90, "0000 ~ 00", .protocolError, "[5:MQTT-2.2.1-3]", three: "[311:MQTT-2.3.1-1]")
        table.valid("UNSUBACK", three, 0xB0, "0001", .unsubAck(UnsubAck(packetID: 1)))
        table.valid(
            "UNSUBACK", five, 0xB0, "0001 [] 00 11 8F",
            .unsubAck(UnsubAck(packetID: 1, reasons: [.success, .noSubscriptionExisted, .topicFilterInvalid])))
        table.invalid("UNSUBACK without codes", five, 0xB0, "0001 []", .protocolError, "[5:MQTT-3.11.3-2]")
        table.invalid("UNSUBACK 01", five, 0xB0, "0001 [] 01", .protocolError, "[5:MQTT-3.11.3-2]")
        table.invalid("UNSUBACK with codes", three, 0xB0, "0001 00", .malformedPacket, "[311:§2.2.3]")
    }

    private static func addOthers(_ table: inout PacketTable) {
        let five = PacketTable.five
        table.valid("PINGRESP", PacketTable.all, 0xD0, "", .pingResp)
        table.invalid(
            "PINGRESP with a body", PacketTable.all, 0xD0, "00", .malformedPacket, "[5:§2.1.4]", three: "[311:§2.2.3]")
        for first in ["10", "82", "A2", "C0"] {
            for version in PacketTable.all {
                table.raw(
                    "\(first), which clients send", [version], first,
                    .error(.protocolError, statement: version == .v5 ? "[5:§2.1.2]" : "[311:§2.2.1]"))
            }
        }
        table.raw("DISCONNECT", PacketTable.three, "E0", .error(.protocolError, statement: "[311:§2.2.1]"))
        table.raw("AUTH", PacketTable.three, "F0", .error(.protocolError, statement: "[311:§2.2.1]"))
        table.valid("DISCONNECT", five, 0xE0, "", .disconnect(Disconnect()))
        table.valid(
            "DISCONNECT that moves clients", five, 0xE0, "9C [1C <other:1883>]",
            .disconnect(
                Disconnect(
                    reason: .useAnotherServer,
                    properties: MQTTCodecTests.properties { $0.serverReference = "other:1883" })))
        table.invalid(
            "session expiry from a server", five, 0xE0, "8B [11 00000000]", .protocolError, "[5:MQTT-3.14.2-2]")
        table.valid("AUTH success", five, 0xF0, "", .auth(Auth()))
        table.valid(
            "AUTH goes on", five, 0xF0, "18 [15 <m>]",
            .auth(
                Auth(
                    reason: .continueAuthentication,
                    properties: MQTTCodecTests.properties { $0.authenticationMethod = "m" })))
        table.invalid("AUTH again from a server", five, 0xF0, "19 [15 <m>]", .protocolError, "[5:MQTT-3.15.2-1]")
        table.valid(
            "PUBLISH with subscription identifiers", five, 0x30, "<t> [0B 01 0B 8001 0B FFFFFF7F] 'hi'",
            .publish(
                Publish(
                    topic: "t",
                    payload: ByteBuffer(string: "hi"),
                    properties: MQTTCodecTests.properties { $0.subscriptionIdentifiers = [1, 128, 268_435_455] })))
        table.invalid(
            "PUBLISH with subscription identifier 0", five, 0x30, "<t> [0B 00]", .protocolError, "[5:§3.8.2.1.2]")
        table.valid(
            "PUBLISH in version 3", PacketTable.three, 0x33, "<t> 0001 'hi'",
            .publish(
                Publish(
                    topic: "t", payload: ByteBuffer(string: "hi"), qos: .atLeastOnce, packetID: 1, isRetained: true)))
    }
}
