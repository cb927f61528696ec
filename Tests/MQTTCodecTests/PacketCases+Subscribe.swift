import MQTTCodec
import NIOCore

extension PacketCases {
    /// SUBSCRIBE and UNSUBSCRIBE (§3.8, §3.10).
    static let subscribe: [PacketCase] = {
        var table = PacketTable(role: .server)
        addSubscribe(&table)
        addUnsubscribe(&table)
        return table.cases
    }()

    static func filter(_ text: String) -> TopicFilter {
        guard let filter = TopicFilter(text) else { preconditionFailure("\(text) is not a filter") }
        return filter
    }

    private static let wrongFilters: [(String, String)] = [
        ("<>", "[5:MQTT-4.7.3-1]"), ("<a/#/b>", "[5:MQTT-4.7.1-1]"), ("<a#>", "[5:MQTT-4.7.1-1]"),
        ("<##>", "[5:MQTT-4.7.1-1]"), ("<#/a>", "[5:MQTT-4.7.1-1]"), ("<a+>", "[5:MQTT-4.7.1-2]"),
        ("<+a>", "[5:MQTT-4.7.1-2]"), ("<a/b+/c>", "[5:MQTT-4.7.1-2]"), ("<++>", "[5:MQTT-4.7.1-2]"),
        ("<$share//a>", "[5:MQTT-4.8.2-1]"), ("<$share/>", "[5:MQTT-4.8.2-1]"), ("<$share/g>", "[5:MQTT-4.8.2-2]"),
        ("<$share/g/>", "[5:MQTT-4.8.2-2]"), ("<$share/g+/a>", "[5:MQTT-4.8.2-2]"),
        ("<$share/#/a>", "[5:MQTT-4.8.2-2]"), ("<$share/g/a#>", "[5:MQTT-4.7.1-1]"),
        ("<\(String(repeating: "/", count: 128))>", "[5:§4.7.1.1]"),
    ]

    private static func addSubscribe(_ table: inout PacketTable) {
        let all = PacketTable.all
        let five = PacketTable.five
        func subscribe(_ entries: (String, SubscriptionOptions)..., id: UInt16 = 1) -> Packet {
            let entries = entries.map { Subscribe.Entry(filter: filter($0.0), options: $0.1) }
            return .subscribe(Subscribe(packetID: id, subscriptions: entries))
        }
        let plain = SubscriptionOptions()
        for text in [
            "a", "#", "+", "a/#", "+/+", "/", "/#", "+/a/+", "$SYS/#", "$share/g/a/#", "$share", "$shares/x",
            "a//b", " ", "ü/+", String(repeating: "/", count: 127),
        ] {
            table.valid("filter \(text)", all, 0x82, "0001 ~ <\(text)> 00", subscribe((text, plain)))
        }
        for qos in QoS.allCases {
            table.valid(
                "asks for QoS \(qos.rawValue)", all, 0x82, "FFFF ~ <a> 0\(qos.rawValue)",
                subscribe(("a", SubscriptionOptions(maximumQoS: qos)), id: 65_535))
        }
        table.valid(
            "several filters, one twice", all, 0x82, "0001 ~ <a> 00 <b/+> 01 <a> 02",
            subscribe(
                ("a", plain), ("b/+", SubscriptionOptions(maximumQoS: .atLeastOnce)),
                ("a", SubscriptionOptions(maximumQoS: .exactlyOnce))))
        for raw: UInt8 in 3...0x2F where raw & 3 != 3 {
            guard let options = SubscriptionOptions(rawValue: raw) else { continue }
            let byte = (raw < 16 ? "0" : "") + String(raw, radix: 16)
            table.valid("options \(byte)", five, 0x82, "0001 [] <a> \(byte)", subscribe(("a", options)))
        }
        table.valid("again", [.v3_1], 0x8A, "0001 <a> 00", isCanonical: false, subscribe(("a", plain)))
        table.valid(
            "subscription identifier", five, 0x82, "0001 [26 <k> <v> 0B FFFFFF7F] <a> 00",
            .subscribe(
                Subscribe(
                    packetID: 1,
                    subscriptions: [.init(filter: filter("a"))],
                    properties: MQTTCodecTests.properties {
                        $0.subscriptionIdentifiers = [268_435_455]
                        $0.userProperties = [.init("k", "v")]
                    })))
        for code in ["40", "43", "70", "80", "C0", "FF"] {
            table.invalid("options \(code)", five, 0x82, "0001 [] <a> \(code)", .malformedPacket, "[5:MQTT-3.8.3-5]")
        }
        for code in ["03", "07", "0B", "30", "31", "33", "3F"] {
            table.invalid("options \(code)", five, 0x82, "0001 [] <a> \(code)", .protocolError, "[5:§3.8.3.1]")
        }
        for code in ["03", "04", "08", "10", "80"] {
            table.invalid(
                "QoS byte \(code)", PacketTable.three, 0x82, "0001 <a> \(code)", .malformedPacket, "[311:MQTT-3.8.3-4]")
        }
        table.invalid(
            "no filter", all, 0x82, "0001 ~", .protocolError, "[5:MQTT-3.8.3-2]", three: "[311:MQTT-3.8.3-3]")
        table.invalid(
            "packet identifier 0", all, 0x82, "0000 ~ <a> 00", .protocolError, "[5:MQTT-2.2.1-3]",
            three: "[311:MQTT-2.3.1-1]")
        table.invalid(
            "no options", all, 0x82, "0001 ~ <a>", .malformedPacket, "[5:§4.13.1]", three: "[311:MQTT-4.8.0-1]")
        table.invalid(
            "a byte behind the last filter", all, 0x82, "0001 ~ <a> 00 00", .malformedPacket, "[5:§4.13.1]",
            three: "[311:MQTT-4.8.0-1]")
        table.invalid("No Local on a share", five, 0x82, "0001 [] <$share/g/a> 04", .protocolError, "[5:MQTT-3.8.3-4]")
        table.invalid("subscription identifier 0", five, 0x82, "0001 [0B 00] <a> 00", .protocolError, "[5:§3.8.2.1.2]")
        table.invalid(
            "subscription identifier of five bytes", five, 0x82, "0001 [0B 8080808001] <a> 00", .malformedPacket,
            "[5:§1.5.5]")
        table.invalid(
            "two subscription identifiers", five, 0x82, "0001 [0B 01 0B 02] <a> 00", .protocolError, "[5:§2.2.2.2]")
        for (text, statement) in wrongFilters {
            table.invalid("filter \(text)", all, 0x82, "0001 ~ \(text) 00", .topicFilterInvalid, statement)
        }
        table.invalid(
            "NUL in a filter", all, 0x82, "0001 ~ 0003 610062 00", .malformedPacket, "[5:MQTT-1.5.4-2]",
            three: "[311:MQTT-1.5.3-2]")
        table.invalid(
            "filter that is not UTF-8", all, 0x82, "0001 ~ 0001 FF 00", .malformedPacket, "[5:MQTT-1.5.4-1]",
            three: "[311:MQTT-1.5.3-1]")
        table.invalid(
            "1,001 filters", all, 0x82, "0001 ~" + String(repeating: "<a>00", count: 1_001), .quotaExceeded,
            "[5:§5.4.10]")
    }

    private static func addUnsubscribe(_ table: inout PacketTable) {
        let all = PacketTable.all
        table.valid(
            "UNSUBSCRIBE", all, 0xA2, "0001 ~ <a> <$share/g/b/#>",
            .unsubscribe(Unsubscribe(packetID: 1, filters: [filter("a"), filter("$share/g/b/#")])))
        table.valid(
            "UNSUBSCRIBE again", [.v3_1], 0xAA, "0001 <a>", isCanonical: false,
            .unsubscribe(Unsubscribe(packetID: 1, filters: [filter("a")])))
        table.valid(
            "UNSUBSCRIBE with a user property", PacketTable.five, 0xA2, "0001 [26 <k> <v>] <a>",
            .unsubscribe(
                Unsubscribe(
                    packetID: 1,
                    filters: [filter("a")],
                    properties: MQTTCodecTests.properties { $0.userProperties = [.init("k", "v")] })))
        table.invalid(
            "UNSUBSCRIBE from nothing", all, 0xA2, "0001 ~", .protocolError, "[5:MQTT-3.10.3-2]",
            three: "[311:MQTT-3.10.3-2]")
        table.invalid(
            "UNSUBSCRIBE 0", all, 0xA2, "0000 ~ <a>", .protocolError, "[5:MQTT-2.2.1-3]", three: "[311:MQTT-2.3.1-1]")
        table.invalid(
            "UNSUBSCRIBE with a gap", all, 0xA2, "0001 ~ <a> 00", .malformedPacket, "[5:§4.13.1]",
            three: "[311:MQTT-4.8.0-1]")
        for (text, statement) in wrongFilters {
            table.invalid("UNSUBSCRIBE from \(text)", all, 0xA2, "0001 ~ \(text)", .topicFilterInvalid, statement)
        }
    }
}
