import MQTTCodec
import NIOCore

extension PacketCases {
    /// The fixed header (§2.1) behind CONNECT.
    static let fixedHeader: [PacketCase] = {
        var table = PacketTable(role: .server)
        table.raw("PINGREQ", PacketTable.all, "C000", isCanonical: true, .packet(.pingReq))
        table.raw("half a PINGREQ", PacketTable.all, "C0", .incomplete)
        func error(_ name: String, _ versions: [ProtocolVersion], _ bytes: String, _ five: String, _ three: String) {
            for version in versions {
                table.raw(
                    name, [version], bytes, .error(.malformedPacket, statement: version == .v5 ? five : three))
            }
        }
        error("PINGREQ with a body", PacketTable.all, "C001", "[5:§2.1.4]", "[311:§2.2.3]")
        error("PINGREQ with flags", PacketTable.all, "C1", "[5:MQTT-2.1.3-1]", "[311:MQTT-2.2.2-2]")
        error("PUBACK with flags", PacketTable.all, "42", "[5:MQTT-2.1.3-1]", "[311:MQTT-2.2.2-2]")
        error("PUBREC with flags", PacketTable.all, "52", "[5:MQTT-2.1.3-1]", "[311:MQTT-2.2.2-2]")
        error("PUBREL without flags", PacketTable.all, "60", "[5:MQTT-3.6.1-1]", "[311:MQTT-3.6.1-1]")
        error("PUBREL with other flags", PacketTable.all, "63", "[5:MQTT-3.6.1-1]", "[311:MQTT-3.6.1-1]")
        error("PUBCOMP with flags", PacketTable.all, "71", "[5:MQTT-2.1.3-1]", "[311:MQTT-2.2.2-2]")
        error("SUBSCRIBE without flags", PacketTable.all, "80", "[5:MQTT-3.8.1-1]", "[311:MQTT-3.8.1-1]")
        error("UNSUBSCRIBE without flags", PacketTable.all, "A0", "[5:MQTT-3.10.1-1]", "[311:MQTT-3.10.1-1]")
        error("DISCONNECT with flags", PacketTable.all, "E1", "[5:MQTT-3.14.1-1]", "[311:MQTT-3.14.1-1]")
        error("AUTH with flags", PacketTable.five, "F8", "[5:MQTT-3.15.1-1]", "")
        error("DUP of SUBSCRIBE", [.v3_1_1, .v5], "8A", "[5:MQTT-3.8.1-1]", "[311:MQTT-3.8.1-1]")
        error("reserved type 0", PacketTable.all, "00", "[5:§2.1.2]", "[311:§2.2.1]")
        error("PUBACK longer than 3.1.1 has it", PacketTable.three, "4003", "", "[311:§2.2.3]")
        error("DISCONNECT longer than 3.1.1 has it", PacketTable.three, "E001", "", "[311:§2.2.3]")
        error("remaining length of five bytes", PacketTable.all, "3080808080", "[5:§1.5.5]", "[5:§1.5.5]")
        error("long way to say 0", PacketTable.five, "C08000", "[5:MQTT-1.5.5-1]", "")
        table.raw("long way to say 0", PacketTable.three, "C08000", .packet(.pingReq))
        for type in ["20", "90", "B0", "D0"] {
            for version in PacketTable.all {
                table.raw(
                    "\(type), which servers send", [version], type,
                    .error(.protocolError, statement: version == .v5 ? "[5:§2.1.2]" : "[311:§2.2.1]"))
            }
        }
        table.raw("AUTH", PacketTable.three, "F0", .error(.protocolError, statement: "[311:§2.2.1]"))
        for version in PacketTable.all {
            table.raw(
                "second CONNECT", [version], "10",
                .error(
                    .protocolError, statement: version == .v5 ? "[5:MQTT-3.1.0-2]" : "[311:MQTT-3.1.0-2]"))
            table.raw(
                "a byte above 1 MiB", [version], "30 FDFF3F",
                .error(.packetTooLarge, statement: version == .v5 ? "[5:MQTT-3.2.2-15]" : "[311:§2.2.3]"))
        }
        table.raw("1 MiB", PacketTable.all, "30 FCFF3F", .incomplete)
        return table.cases
    }()

    /// PUBLISH (§3.3) from a client.
    static let publish: [PacketCase] = {
        var table = PacketTable(role: .server)
        addValid(&table)
        addInvalid(&table)
        return table.cases
    }()

    private static func addValid(_ table: inout PacketTable) {
        let hi = ByteBuffer(string: "hi")
        func publish(_ topic: MQTTString, _ set: (inout Publish) -> Void = { _ in }) -> Packet {
            var publish = Publish(topic: topic, payload: hi)
            set(&publish)
            return .publish(publish)
        }
        func identified(_ qos: QoS, _ id: UInt16, _ set: (inout Publish) -> Void = { _ in }) -> Packet {
            publish("t") {
                $0.qos = qos
                $0.packetID = id
                set(&$0)
            }
        }
        let all = PacketTable.all
        // [5:MQTT-2.2.1-2] [311:MQTT-2.3.1-5] no identifier, [5:MQTT-2.2.2-1] no properties is a length of 0.
        table.valid("QoS 0", all, 0x30, "<a/b> ~ 'hi'", publish("a/b"))
        table.valid("retained", all, 0x31, "<a/b> ~ 'hi'", publish("a/b") { $0.isRetained = true })
        table.valid("empty payload", all, 0x30, "<t> ~", publish("t") { $0.payload = ByteBuffer() })
        table.valid(
            "payload of zeros", all, 0x30, "<t> ~ 0000", publish("t") { $0.payload = ByteBuffer(bytes: [0, 0]) })
        table.valid("QoS 1", all, 0x32, "<t> 000A ~ 'hi'", identified(.atLeastOnce, 10))
        table.valid("QoS 2", all, 0x34, "<t> FFFF ~ 'hi'", identified(.exactlyOnce, 65_535))
        table.valid("QoS 1 again", all, 0x3A, "<t> 0001 ~ 'hi'", identified(.atLeastOnce, 1) { $0.isDuplicate = true })
        table.valid(
            "QoS 2 again, retained", all, 0x3D, "<t> 0001 ~ 'hi'",
            identified(.exactlyOnce, 1) {
                $0.isDuplicate = true
                $0.isRetained = true
            })
        for topic in [
            "/", "//", "a/", "/a", "a//b", " ", "$SYS/x", "$share/g/t", "ü/ö", "🐢", "123456789012345",
            "1234567890123456", "a b/c d",
        ] {
            table.valid("topic \(topic)", all, 0x30, "<\(topic)> ~ 'hi'", publish(MQTTString(topic)))
        }
        let deep = String(repeating: "/", count: 127)
        table.valid("128 levels", all, 0x30, "<\(deep)> ~ 'hi'", publish(MQTTString(deep)))
        table.valid(
            "body of 127 bytes", all, 0x30, "<t> ~ x*100",
            publish("t") {
                $0.payload = ByteBuffer(repeating: 0x78, count: 100)
            })
        table.valid(
            "two bytes of remaining length", all, 0x30, "<t> ~ x*200",
            publish("t") {
                $0.payload = ByteBuffer(repeating: 0x78, count: 200)
            })
        table.valid(
            "a payload of 16,384 bytes", all, 0x30, "<t> ~ x*16384",
            publish("t") {
                $0.payload = ByteBuffer(repeating: 0x78, count: 16_384)
            })
        table.valid(
            "alias with topic", PacketTable.five, 0x30, "<t> [23 0001] 'hi'",
            publish("t") {
                $0.properties.topicAlias = 1
            })
        table.valid(
            "alias instead of topic", PacketTable.five, 0x30, "<> [23 FFFF] 'hi'",
            publish("") {
                $0.properties.topicAlias = 65_535
            })
        table.valid(
            // [5:MQTT-3.3.2-18] user properties keep their order.
            "all properties of a message", PacketTable.five, 0x30,
            "<t> [01 01 02 0000000A 03 <text> 08 <r/1> 09 0002 00FF 26 <k> <v> 26 <k> <w>] 'hi'",
            publish("t") {
                $0.properties = MQTTCodecTests.properties {
                    $0.payloadFormatIndicator = 1
                    $0.messageExpiryInterval = 10
                    $0.contentType = "text"
                    $0.responseTopic = "r/1"
                    $0.correlationData = ByteBuffer(bytes: [0, 255])
                    $0.userProperties = [.init("k", "v"), .init("k", "w")]
                }
            })
        table.valid(
            "properties in another order", PacketTable.five, 0x30, "<t> [26 <> <> 02 FFFFFFFF 01 00] 'hi'",
            isCanonical: false,
            publish("t") {
                $0.properties = MQTTCodecTests.properties {
                    $0.payloadFormatIndicator = 0
                    $0.messageExpiryInterval = .max
                    $0.userProperties = [.init("", "")]
                }
            })
    }

    private static func addInvalid(_ table: inout PacketTable) {
        let all = PacketTable.all
        let five = PacketTable.five
        for first: UInt8 in [0x36, 0x37, 0x3E, 0x3F] {
            table.invalid(
                "QoS 3", all, first, "<t> 0001 ~", .malformedPacket, "[5:MQTT-3.3.1-4]", three: "[311:MQTT-3.3.1-4]")
        }
        for first: UInt8 in [0x38, 0x39] {
            table.invalid(
                "DUP with QoS 0", all, first, "<t> ~", .malformedPacket, "[5:MQTT-3.3.1-2]",
                three: "[311:MQTT-3.3.1-2]")
        }
        for first: UInt8 in [0x32, 0x34] {
            table.invalid(
                "packet identifier 0", all, first, "<t> 0000 ~", .protocolError, "[5:MQTT-2.2.1-3]",
                three: "[311:MQTT-2.3.1-1]")
        }
        func cut(_ name: String, _ versions: [ProtocolVersion], _ first: UInt8, _ body: String) {
            table.invalid(name, versions, first, body, .malformedPacket, "[5:§4.13.1]", three: "[311:MQTT-4.8.0-1]")
        }
        cut("empty PUBLISH", all, 0x30, "")
        cut("half a topic length", all, 0x30, "00")
        cut("topic longer than the packet", all, 0x30, "0003 7474")
        cut("longest topic length", all, 0x30, "FFFF 74")
        cut("no packet identifier", all, 0x32, "<t>")
        cut("half a packet identifier", all, 0x32, "<t> 00")
        cut("no property length", five, 0x30, "<t>")
        cut("property length beyond the packet", five, 0x30, "<t> 05 01 01")
        cut("property cut short", five, 0x30, "<t> [02 000000] 'hi'")
        cut("property without value", five, 0x30, "<t> [01]")
        cut("string in a property cut short", five, 0x30, "<t> [03 0005 'abc'] 'abcdef'")
        // [5:MQTT-4.7.0-1] [311:MQTT-4.7.1-1] [311:MQTT-3.3.2-2]
        for text in ["a/+", "+", "#", "a/#", "a+b", "a#", "+/+"] {
            table.invalid("topic \(text)", all, 0x30, "<\(text)> ~", .topicNameInvalid, "[5:MQTT-3.3.2-2]")
        }
        table.invalid("empty topic", PacketTable.three, 0x30, "<> 'hi'", .topicNameInvalid, "[5:MQTT-4.7.3-1]")
        table.invalid("neither topic nor alias", five, 0x30, "<> [] 'hi'", .protocolError, "[5:§3.3.2.1]")
        table.invalid("neither topic nor alias, QoS 1", five, 0x32, "<> 0001 [] 'hi'", .protocolError, "[5:§3.3.2.1]")
        table.invalid(
            "129 levels", all, 0x30, "<\(String(repeating: "/", count: 128))> ~", .topicNameInvalid, "[5:§4.7.1.1]")
        table.invalid(
            "NUL in the topic", all, 0x30, "0003 610062 ~", .malformedPacket, "[5:MQTT-1.5.4-2]",
            three: "[311:MQTT-1.5.3-2]")
        table.invalid(
            "surrogate in the topic", all, 0x30, "0003 EDA080 ~", .malformedPacket, "[5:MQTT-1.5.4-1]",
            three: "[311:MQTT-1.5.3-1]")
        table.invalid(
            "overlong slash in the topic", all, 0x30, "0002 C0AF ~", .malformedPacket, "[5:MQTT-1.5.4-1]",
            three: "[311:MQTT-1.5.3-1]")
        table.invalid("topic alias 0", five, 0x30, "<t> [23 0000]", .topicAliasInvalid, "[5:MQTT-3.3.2-8]")
        table.invalid("topic alias twice", five, 0x30, "<t> [23 0001 23 0001]", .protocolError, "[5:§2.2.2.2]")
        table.invalid("payload format 2", five, 0x30, "<t> [01 02]", .protocolError, "[5:§3.3.2.3.2]")
        table.invalid(
            "wildcard in the response topic", five, 0x30, "<t> [08 <r/#>]", .protocolError, "[5:MQTT-3.3.2-14]")
        table.invalid("empty response topic", five, 0x30, "<t> [08 <>]", .protocolError, "[5:MQTT-3.3.2-14]")
        table.invalid(
            // [5:MQTT-3.3.2-13]
            "response topic that is not UTF-8", five, 0x30, "<t> [08 0001 FF]", .malformedPacket, "[5:MQTT-1.5.4-1]")
        table.invalid(
            "subscription identifier from a client", five, 0x30, "<t> [0B 01]", .protocolError, "[5:MQTT-3.3.4-6]")
        table.invalid(
            "property length of five bytes", five, 0x30, "<t> FFFFFFFF 7F", .malformedPacket, "[5:§1.5.5]")
        table.invalid("property length not shortest", five, 0x30, "<t> 8000", .malformedPacket, "[5:MQTT-1.5.5-1]")
        table.invalid(
            "1,001 user properties", five, 0x30, "<t> [" + String(repeating: "26<><>", count: 1_001) + "]",
            .quotaExceeded, "[5:§5.4.10]")
    }
}
