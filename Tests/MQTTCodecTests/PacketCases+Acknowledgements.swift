import MQTTCodec
import NIOCore

extension PacketCases {
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH from a client.
    static let acknowledgements: [PacketCase] = {
        var table = PacketTable(role: .server)
        addPublishAcks(&table)
        addDisconnect(&table)
        addAuth(&table)
        return table.cases
    }()

    private static func addPublishAcks(_ table: inout PacketTable) {
        let five = PacketTable.five
        let types: [(UInt8, (PublishAck) -> Packet, String, ReasonCode, [String])] = [
            (0x40, Packet.pubAck, "[5:MQTT-3.4.2-1]", .quotaExceeded, ["01", "04", "10", "81", "92", "95", "FF"]),
            (0x50, Packet.pubRec, "[5:MQTT-3.5.2-1]", .packetIdentifierInUse, ["02", "10", "18", "82", "92", "7F"]),
            (0x62, Packet.pubRel, "[5:MQTT-3.6.2-1]", .packetIdentifierNotFound, ["10", "80", "91", "03"]),
            (0x70, Packet.pubComp, "[5:MQTT-3.7.2-1]", .packetIdentifierNotFound, ["10", "80", "91", "A3"]),
        ]
        for (first, packet, statement, reason, refused) in types {
            let code = (reason.rawValue < 16 ? "0" : "") + String(reason.rawValue, radix: 16)
            table.valid("ack", PacketTable.all, first, "0102", packet(PublishAck(packetID: 0x0102)))
            table.valid("ack with reason", five, first, "0001" + code, packet(PublishAck(packetID: 1, reason: reason)))
            table.valid(
                "ack with success spelled out", five, first, "0001 00", isCanonical: false,
                packet(PublishAck(packetID: 1)))
            table.valid(
                "ack with reason and no properties", five, first, "0001 \(code) []", isCanonical: false,
                packet(PublishAck(packetID: 1, reason: reason)))
            table.valid(
                "ack with properties", five, first, "0001 \(code) [1F <why> 26 <k> <v>]",
                packet(
                    PublishAck(
                        packetID: 1,
                        reason: reason,
                        properties: MQTTCodecTests.properties {
                            $0.reasonString = "why"
                            $0.userProperties = [.init("k", "v")]
                        })))
            for code in refused {
                table.invalid("ack with reason \(code)", five, first, "0001" + code, .protocolError, statement)
            }
            table.invalid(
                "ack of 0", PacketTable.all, first, "0000", .protocolError, "[5:MQTT-2.2.1-3]",
                three: "[311:MQTT-2.3.1-1]")
            table.invalid("ack without identifier", five, first, "", .malformedPacket, "[5:§4.13.1]")
            table.invalid("ack with half an identifier", five, first, "00", .malformedPacket, "[5:§4.13.1]")
            table.invalid("ack with bytes behind", five, first, "0001 00 [] 00", .malformedPacket, "[5:§4.13.1]")
            table.invalid(
                "ack with a foreign property", five, first, "0001 00 [01 00]", .malformedPacket, "[5:§2.2.2.2]")
            table.invalid(
                "ack with two reasons", five, first, "0001 00 [1F <a> 1F <b>]", .protocolError, "[5:§2.2.2.2]")
            table.invalid("ack without identifier", PacketTable.three, first, "", .malformedPacket, "[311:§2.2.3]")
        }
        table.valid("PUBREL again", [.v3_1], 0x6A, "0001", isCanonical: false, .pubRel(PublishAck(packetID: 1)))
    }

    private static func addDisconnect(_ table: inout PacketTable) {
        let five = PacketTable.five
        table.valid("DISCONNECT", PacketTable.all, 0xE0, "", .disconnect(Disconnect()))
        table.valid("DISCONNECT with will", five, 0xE0, "04", .disconnect(Disconnect(reason: .disconnectWithWill)))
        table.valid("DISCONNECT 0 spelled out", five, 0xE0, "00", isCanonical: false, .disconnect(Disconnect()))
        table.valid(
            "DISCONNECT 0 and no properties", five, 0xE0, "00 []", isCanonical: false, .disconnect(Disconnect()))
        table.valid(
            "DISCONNECT that changes the expiry", five, 0xE0, "00 [11 0000003C]",
            .disconnect(Disconnect(properties: MQTTCodecTests.properties { $0.sessionExpiryInterval = 60 })))
        for code in ["01", "02", "10", "18", "84", "85", "86", "88", "8A", "91", "92", "FF"] {
            table.invalid("DISCONNECT \(code)", five, 0xE0, code, .protocolError, "[5:MQTT-3.14.2-1]")
        }
        table.invalid("bytes behind DISCONNECT", five, 0xE0, "00 [] 00", .malformedPacket, "[5:§4.13.1]")
    }

    private static func addAuth(_ table: inout PacketTable) {
        let five = PacketTable.five
        let method = MQTTCodecTests.properties { $0.authenticationMethod = "m" }
        table.valid(
            "AUTH goes on", five, 0xF0, "18 [15 <m> 16 0002 00FF]",
            .auth(
                Auth(
                    reason: .continueAuthentication,
                    properties: MQTTCodecTests.properties {
                        $0.authenticationMethod = "m"
                        $0.authenticationData = ByteBuffer(bytes: [0, 255])
                    })))
        table.valid("AUTH again", five, 0xF0, "19 [15 <m>]", .auth(Auth(reason: .reAuthenticate, properties: method)))
        table.invalid("AUTH success from a client", five, 0xF0, "", .protocolError, "[5:MQTT-3.15.2-1]")
        table.invalid("AUTH success with method", five, 0xF0, "00 [15 <m>]", .protocolError, "[5:MQTT-3.15.2-1]")
        table.invalid("AUTH 0x80", five, 0xF0, "80 [15 <m>]", .protocolError, "[5:MQTT-3.15.2-1]")
        table.invalid("AUTH without method", five, 0xF0, "18 []", .protocolError, "[5:§3.15.2.2.2]")
        table.invalid("AUTH with data only", five, 0xF0, "18 [16 0001 00]", .protocolError, "[5:§3.1.2.11.10]")
        table.invalid("AUTH without property length", five, 0xF0, "18", .malformedPacket, "[5:§4.13.1]")
        table.invalid("bytes behind AUTH", five, 0xF0, "18 [15 <m>] 00", .malformedPacket, "[5:§4.13.1]")
    }
}
