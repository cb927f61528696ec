import MQTTCodec
import NIOCore

extension PacketCases {
    /// CONNECT (§3.1) and what may come before it.
    static let connect: [PacketCase] = {
        var table = PacketTable(role: .server, isFirst: true)
        addValid(&table)
        addFlags(&table)
        addNames(&table)
        addPayload(&table)
        addFirst(&table)
        return table.cases
    }()

    private static func level(_ version: ProtocolVersion) -> String {
        version == .v3_1 ? "<MQIsdp> 03" : version == .v3_1_1 ? "<MQTT> 04" : "<MQTT> 05"
    }

    private static func addValid(_ table: inout PacketTable) {
        for version in ProtocolVersion.allCases {
            let start = level(version)
            func valid(_ name: String, _ rest: String, canonical: Bool = true, _ set: (inout Connect) -> Void) {
                var connect = Connect(version: version, clientID: "c")
                set(&connect)
                table.valid(name, [version], 0x10, start + rest, isCanonical: canonical, .connect(connect))
            }
            valid("least CONNECT", "02 0000 ~ <c>") { _ in }
            valid("session kept", "00 003C ~ <c>") {
                $0.cleanStart = false
                $0.keepAlive = 60
            }
            valid("longest keep-alive", "02 FFFF ~ <c>") { $0.keepAlive = 65_535 }
            valid("empty client id", "02 0000 ~ <>") { $0.clientID = "" }
            valid("client id of several scripts", "02 0000 ~ <żółw-亀-🐢>") { $0.clientID = "żółw-亀-🐢" }
            valid("byte order mark stays [5:MQTT-1.5.4-3] [311:MQTT-1.5.3-3]", "02 0000 ~ 0004 EFBBBF 63") {
                $0.clientID = "\u{FEFF}c"
            }
            valid("client id with wildcards is a string like others", "02 0000 ~ <#/+>") { $0.clientID = "#/+" }
            valid("user name", "82 0000 ~ <c> <u>") { $0.username = "u" }
            valid("empty user name", "82 0000 ~ <c> <>") { $0.username = "" }
            valid("user name and password", "C2 0000 ~ <c> <u> <pw>") {
                $0.username = "u"
                $0.password = ByteBuffer(string: "pw")
            }
            valid("password that is not text", "C2 0000 ~ <c> <u> 0003 00FFFE") {
                $0.username = "u"
                $0.password = ByteBuffer(bytes: [0, 255, 254])
            }
            valid("will", "06 0000 ~ <c> ~ <w> <gone>") {
                $0.will = Connect.Will(topic: "w", payload: ByteBuffer(string: "gone"))
            }
            valid("empty will", "06 0000 ~ <c> ~ <w> <>") { $0.will = Connect.Will(topic: "w", payload: ByteBuffer()) }
            valid("retained will of QoS 1", "2E 0000 ~ <c> ~ <w> <g>") {
                $0.will = Connect.Will(
                    topic: "w", payload: ByteBuffer(string: "g"), qos: .atLeastOnce, isRetained: true)
            }
            // [5:MQTT-3.1.2-16] [5:MQTT-3.1.2-19] [5:MQTT-3.1.3-1] [311:MQTT-3.1.3-1] what is flagged, in order.
            valid("all there is, QoS 2", "F6 000A ~ <c> ~ <w> <g> <u> <p>") {
                $0.keepAlive = 10
                $0.will = Connect.Will(
                    topic: "w", payload: ByteBuffer(string: "g"), qos: .exactlyOnce, isRetained: true)
                $0.username = "u"
                $0.password = ByteBuffer(string: "p")
            }
        }
        table.valid("password without user name", PacketTable.five, 0x10, "<MQTT> 05 42 0000 [] <c> <p>") { version in
            .connect(Connect(version: version, clientID: "c", password: ByteBuffer(string: "p")))
        }
        table.valid("bridge of 3.1", [.v3_1], 0x10, "<MQIsdp> 83 02 0000 <c>") { version in
            .connect(Connect(version: version, clientID: "c", isBridge: true))
        }
        table.valid("bridge of 3.1.1", [.v3_1_1], 0x10, "<MQTT> 84 02 0000 <c>") { version in
            .connect(Connect(version: version, clientID: "c", isBridge: true))
        }
    }

    private static func addFlags(_ table: inout PacketTable) {
        let strict: [ProtocolVersion] = [.v3_1_1, .v5]
        func invalid(_ name: String, _ flags: String, _ five: String, _ three: String) {
            for version in strict {
                table.invalid(
                    name, [version], 0x10, level(version) + flags + "0000 ~ <c>", .malformedPacket, five, three: three)
            }
        }
        invalid("reserved flag", "03", "[5:MQTT-3.1.2-3]", "[311:MQTT-3.1.2-3]")
        invalid("will QoS 1 without will", "0A", "[5:MQTT-3.1.2-11]", "[311:MQTT-3.1.2-13]")
        invalid("will QoS 2 without will", "12", "[5:MQTT-3.1.2-11]", "[311:MQTT-3.1.2-13]")
        invalid("will QoS 3 without will", "1A", "[5:MQTT-3.1.2-11]", "[311:MQTT-3.1.2-13]")
        invalid("will retain without will", "22", "[5:MQTT-3.1.2-13]", "[311:MQTT-3.1.2-15]")
        invalid("will QoS 3", "1E", "[5:MQTT-3.1.2-12]", "[311:MQTT-3.1.2-14]")
        table.invalid(
            "will QoS 3", [.v3_1], 0x10, "<MQIsdp> 03 1E 0000 <c> <w> <g>", .malformedPacket, "[311:MQTT-3.1.2-14]")
        for version in PacketTable.three {
            table.invalid(
                "password without user name", [version], 0x10, level(version) + "42 0000 <c> <p>", .malformedPacket,
                "[311:MQTT-3.1.2-22]")
        }
        // 3.1 is lenient where it says so.
        func lenient(_ name: String, _ rest: String, _ set: (inout Connect) -> Void) {
            var connect = Connect(version: .v3_1, clientID: "c")
            set(&connect)
            table.valid(name, [.v3_1], 0x10, "<MQIsdp> 03" + rest, isCanonical: false, .connect(connect))
        }
        lenient("3.1 does not use bit 0", "03 0000 <c>") { _ in }
        lenient("3.1 disregards will QoS and retain without will", "3A 0000 <c>") { _ in }
        lenient("3.1 lets a flagged user name be missing", "82 0000 <c>") { _ in }
        lenient("3.1 lets a flagged password be missing", "C2 0000 <c> <u>") { $0.username = "u" }
    }

    private static func addNames(_ table: inout PacketTable) {
        // [5:MQTT-3.1.2-1] [5:MQTT-3.1.2-2] [311:MQTT-3.1.2-1] [311:MQTT-3.1.2-2]
        func unknown(_ name: String, _ body: String, _ statement: String) {
            table.invalid(name, PacketTable.five, 0x10, body, .unsupportedProtocolVersion, statement)
        }
        unknown("level 6", "<MQTT> 06 02 0000 00 <c>", "[5:MQTT-3.1.2-2]")
        unknown("level 0", "<MQTT> 00 02 0000 <c>", "[5:MQTT-3.1.2-2]")
        unknown("level 2", "<MQIsdp> 02 02 0000 <c>", "[5:MQTT-3.1.2-1]")
        unknown("level 3 under the name of 3.1.1", "<MQTT> 03 02 0000 <c>", "[5:MQTT-3.1.2-2]")
        unknown("level 4 under the name of 3.1", "<MQIsdp> 04 02 0000 <c>", "[5:MQTT-3.1.2-1]")
        unknown("level 5 under the name of 3.1", "<MQIsdp> 05 02 0000 00 <c>", "[5:MQTT-3.1.2-1]")
        unknown("bridge bit in version 5", "<MQTT> 85 02 0000 00 <c>", "[5:MQTT-3.1.2-2]")
        unknown("name in small letters", "<mqtt> 04 02 0000 <c>", "[5:MQTT-3.1.2-1]")
        unknown("empty name", "<> 04 02 0000 <c>", "[5:MQTT-3.1.2-1]")
        unknown("name that only begins like ours", "<MQTTX> 04 02 0000 <c>", "[5:MQTT-3.1.2-1]")
        unknown("name with a combining mark", "<MQT\u{0301}T> 04 02 0000 <c>", "[5:MQTT-3.1.2-1]")
        table.invalid(
            "name that is not UTF-8", PacketTable.five, 0x10, "0004 4D51FFFF 05 02 0000 00 <c>", .malformedPacket,
            "[5:MQTT-1.5.4-1]")
        table.invalid("CONNECT without body", PacketTable.five, 0x10, "", .malformedPacket, "[5:§4.13.1]")
        table.invalid("name cut short", PacketTable.five, 0x10, "0004 4D51", .malformedPacket, "[5:§4.13.1]")
        table.invalid("no level", PacketTable.five, 0x10, "<MQTT>", .malformedPacket, "[5:§4.13.1]")
    }

    private static func addPayload(_ table: inout PacketTable) {
        func invalid(_ name: String, _ rest: String, _ reason: ReasonCode, _ five: String, _ three: String) {
            for version in [ProtocolVersion.v3_1_1, .v5] {
                table.invalid(name, [version], 0x10, level(version) + rest, reason, five, three: three)
            }
        }
        func cut(_ name: String, _ rest: String) {
            invalid(name, rest, .malformedPacket, "[5:§4.13.1]", "[311:MQTT-4.8.0-1]")
        }
        cut("no flags", "")
        cut("no keep-alive", "02")
        cut("half a keep-alive", "02 00")
        cut("no client id", "02 0000 ~")
        cut("client id longer than the packet", "02 0000 ~ 0002 63")
        cut("will without topic", "06 0000 ~ <c> ~")
        cut("will without payload", "06 0000 ~ <c> ~ <w>")
        cut("no user name", "82 0000 ~ <c>")
        cut("no password", "C2 0000 ~ <c> <u>")
        cut("password longer than the packet", "C2 0000 ~ <c> <u> 0004 707070")
        cut("bytes behind the client id", "02 0000 ~ <c> 00")
        cut("user name without its flag", "02 0000 ~ <c> <u>")
        func bad(_ name: String, _ text: String) {
            invalid(
                name, "02 0000 ~ 00" + text, .malformedPacket, "[5:MQTT-1.5.4-1]", "[311:MQTT-1.5.3-1]")
        }
        bad("overlong slash", "02 C0AF")
        bad("overlong NUL", "02 C080")
        bad("overlong in three bytes", "03 E080AF")
        bad("overlong in four bytes", "04 F08080AF")
        bad("first surrogate", "03 EDA080")
        bad("last surrogate", "03 EDBFBF")
        bad("pair of surrogates (CESU-8)", "06 EDA081EDB080")
        bad("above U+10FFFF", "04 F4908080")
        bad("byte FF", "01 FF")
        bad("byte FE", "01 FE")
        bad("byte F8", "05 F888808080")
        bad("lone continuation", "01 80")
        bad("sequence cut by the end of the string", "02 E282")
        bad("sequence cut by a letter", "03 E28261")
        invalid(
            "NUL in the client id", "02 0000 ~ 0003 610062", .malformedPacket, "[5:MQTT-1.5.4-2]",
            "[311:MQTT-1.5.3-2]")
        invalid(
            "NUL in the user name", "82 0000 ~ <c> 0001 00", .malformedPacket, "[5:MQTT-1.5.4-2]",
            "[311:MQTT-1.5.3-2]")
        invalid(
            "NUL in the will topic", "06 0000 ~ <c> ~ 0001 00 <g>", .malformedPacket, "[5:MQTT-1.5.4-2]",
            "[311:MQTT-1.5.3-2]")
        invalid(
            "wildcard in the will topic", "06 0000 ~ <c> ~ <w/+> <g>", .topicNameInvalid, "[5:MQTT-3.3.2-2]",
            "[5:MQTT-3.3.2-2]")
        invalid(
            "empty will topic", "06 0000 ~ <c> ~ <> <g>", .topicNameInvalid, "[5:MQTT-4.7.3-1]", "[5:MQTT-4.7.3-1]")
    }

    private static func addFirst(_ table: inout PacketTable) {
        // [5:MQTT-3.1.0-1] [311:MQTT-3.1.0-1]
        for type: UInt8 in 2...15 {
            table.raw(
                "packet type \(type) before CONNECT", PacketTable.five, String(type, radix: 16) + "0",
                .error(.protocolError, statement: "[5:MQTT-3.1.0-1]"))
        }
        table.raw("nothing", PacketTable.five, "", .incomplete)
        table.raw("first byte alone", PacketTable.five, "10", .incomplete)
        table.raw("header alone", PacketTable.five, "10 0D", .incomplete)
        table.raw(
            "reserved type 0", PacketTable.five, "00", .error(.malformedPacket, statement: "[5:§2.1.2]"))
        for flags in ["11", "12", "14", "18"] {
            table.raw(
                "flags of CONNECT \(flags)", PacketTable.five, flags,
                .error(.malformedPacket, statement: "[5:MQTT-2.1.3-1]"))
        }
        table.raw(
            "CONNECT of 64 KiB and a byte", PacketTable.five, "10 FDFF03",
            .error(.packetTooLarge, statement: "[5:MQTT-3.2.2-15]"))
        table.raw("CONNECT of 64 KiB", PacketTable.five, "10 FCFF03", .incomplete)
        table.raw(
            "CONNECT of 256 MiB", PacketTable.five, "10 FFFFFF7F",
            .error(.packetTooLarge, statement: "[5:MQTT-3.2.2-15]"))
        table.raw(
            "remaining length of five bytes", PacketTable.five, "10 FFFFFFFF",
            .error(.malformedPacket, statement: "[5:§1.5.5]"))
        table.raw(
            "version 5 with a long way to say 14", PacketTable.five, "10 8E00 <MQTT> 05 02 0000 00 <c>",
            .error(.malformedPacket, statement: "[5:MQTT-1.5.5-1]"))
        table.raw(
            "3.1.1 with a long way to say 13", [.v3_1_1], "10 8D8000 <MQTT> 04 02 0000 <c>",
            .packet(.connect(Connect(version: .v3_1_1, clientID: "c"))))
    }
}
