import MQTTCodec
import Testing

@Suite("Topic names and filters")
struct TopicFilterTests {
    struct Match: Sendable {
        var filter: String
        var matching: [String]
        var other: [String]
    }

    /// [311:MQTT-4.7.1-2] [311:MQTT-4.7.1-3] [311:MQTT-4.7.2-1] say the same as the statements of version 5.
    static let table: [Match] = [
        // The examples of the standard (§4.7.1.2, §4.7.1.3, §4.7.2, §4.7.3).
        Match(
            filter: "sport/tennis/player1/#",
            matching: ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"],
            other: ["sport/tennis", "sport/tennis/player2", "sport/tennis/player11", "sport/tennis/player1x/y"]),
        Match(
            filter: "sport/#", matching: ["sport", "sport/", "sport/a", "sport/a/b"],
            other: ["sports", "spor", "/sport"]),
        Match(filter: "#", matching: ["a", "/", "a/b", "", "a/$x"], other: ["$SYS", "$SYS/a", "$"]),
        Match(
            filter: "sport/tennis/+", matching: ["sport/tennis/player1", "sport/tennis/"],
            other: ["sport/tennis/player1/ranking", "sport/tennis", "sport"]),
        Match(filter: "sport/+", matching: ["sport/", "sport/a"], other: ["sport", "sport/a/b"]),
        Match(filter: "+/+", matching: ["/finance", "a/b", "/"], other: ["finance", "a/b/c", "$a/b"]),
        Match(filter: "/+", matching: ["/finance", "/"], other: ["finance", "//"]),
        Match(filter: "+", matching: ["finance", "a"], other: ["/finance", "a/b", "$SYS"]),
        Match(filter: "+/monitor/Clients", matching: ["a/monitor/Clients"], other: ["$SYS/monitor/Clients"]),
        Match(filter: "$SYS/#", matching: ["$SYS", "$SYS/", "$SYS/monitor/Clients"], other: ["SYS/a", "$SYSTEM/a"]),
        Match(filter: "$SYS/monitor/+", matching: ["$SYS/monitor/Clients"], other: ["$SYS/monitor", "a/monitor/x"]),
        Match(filter: "ACCOUNTS", matching: ["ACCOUNTS"], other: ["Accounts", "ACCOUNTS/", "/ACCOUNTS"]),
        Match(filter: "/finance", matching: ["/finance"], other: ["finance"]),
        // Beyond the examples.
        Match(
            filter: "+/tennis/#", matching: ["a/tennis", "/tennis/x/y"], other: ["tennis", "a/b/tennis", "$a/tennis"]),
        Match(filter: "sport/+/player1", matching: ["sport/a/player1", "sport//player1"], other: ["sport/player1"]),
        Match(filter: "a/+/#", matching: ["a/b", "a/", "a/b/c/d"], other: ["a", "b/a"]),
        Match(filter: "a//b", matching: ["a//b"], other: ["a/b", "a///b", "a/x/b"]),
        Match(filter: "/#", matching: ["/", "/a", "/a/b", ""], other: ["a", "a/b"]),
        Match(filter: "//+", matching: ["//", "//a"], other: ["/a", "a//b"]),
        Match(filter: "é", matching: ["é"], other: ["e\u{301}"]),
        Match(filter: "+/🐢", matching: ["a/🐢", "🐢/🐢"], other: ["🐢"]),
        Match(filter: "a/$x", matching: ["a/$x"], other: ["a/x"]),
        Match(filter: "a/#", matching: ["a/$x"], other: ["$a/x"]),
        // Shares match with what is behind their name.
        Match(filter: "$share/g/sport/+", matching: ["sport/a"], other: ["$share/g/sport/a", "sport"]),
        Match(filter: "$share/g/#", matching: ["a", "a/b"], other: ["$SYS/a", "$share/g/a"]),
        Match(filter: "$share/g/$SYS/#", matching: ["$SYS/a"], other: ["a"]),
        Match(filter: "$share/g//a", matching: ["/a"], other: ["a"]),
        Match(filter: "$share", matching: ["$share"], other: ["share", "$share/g"]),
        Match(filter: "$shared/g/a", matching: ["$shared/g/a"], other: ["a"]),
    ]

    @Test(
        "a filter matches what the standard says [5:MQTT-4.7.1-1] [5:MQTT-4.7.1-2] [5:MQTT-4.7.2-1]", arguments: table)
    func matching(row: Match) throws {
        let filter = try #require(TopicFilter(row.filter))
        for topic in row.matching { #expect(filter.matches(MQTTString(topic)), "\(row.filter) and \(topic)") }
        for topic in row.other { #expect(!filter.matches(MQTTString(topic)), "\(row.filter) and \(topic)") }
    }

    @Test(
        "a filter without wildcard matches itself and nothing else that is generated [5:MQTT-4.7.3-4] [311:MQTT-4.7.3-4]"
    )
    func exact() throws {
        var generator = PacketGenerator(seed: 7, version: .v5, role: .server)
        for _ in 0..<2_000 {
            let topic = generator.topic()
            let other = generator.topic()
            let filter = try TopicFilter(validating: topic)
            #expect(filter.matches(topic))
            #expect(filter.matches(other) == (topic == other))
        }
    }

    @Test("a share is taken apart [5:MQTT-4.8.2-1] [5:MQTT-4.8.2-2]")
    func share() throws {
        let shared = try #require(TopicFilter("$share/group 1/a/+/#"))
        #expect(shared.isShared)
        #expect(shared.shareName == "group 1")
        #expect(shared.pattern == "a/+/#")
        #expect(shared.text == "$share/group 1/a/+/#")
        #expect(shared.hasWildcard)
        let plain = try #require(TopicFilter("a/b"))
        #expect(!plain.isShared && plain.shareName == nil && plain.pattern == "a/b" && !plain.hasWildcard)
        #expect(TopicFilter("$share/g/a")?.hasWildcard == false)
        #expect(TopicFilter("$share/g/a") != TopicFilter("$share/h/a"))
    }

    @Test(
        "a filter that breaks a rule names it",
        arguments: [
            // [311:MQTT-4.7.3-1] [311:MQTT-4.7.3-2]
            ("", "[5:MQTT-4.7.3-1]"), ("a\u{0}", "[5:MQTT-4.7.3-2]"), ("sport/tennis#", "[5:MQTT-4.7.1-1]"),
            ("sport/tennis/#/ranking", "[5:MQTT-4.7.1-1]"), ("sport+", "[5:MQTT-4.7.1-2]"),
            ("+a/b", "[5:MQTT-4.7.1-2]"),
            ("a/+#", "[5:MQTT-4.7.1-2]"), ("$share/g", "[5:MQTT-4.8.2-2]"), ("$share//a", "[5:MQTT-4.8.2-1]"),
        ])
    func invalid(text: String, statement: String) {
        let error = #expect(throws: DecodeError.self) { _ = try TopicFilter(validating: MQTTString(text)) }
        #expect(error?.statement == statement)
        #expect(error?.reason == .topicFilterInvalid)
        #expect(TopicFilter(text) == nil)
    }

    @Test("levels and bytes of a filter are bounded [5:MQTT-4.7.3-3] [311:MQTT-4.7.3-3]")
    func bounds() throws {
        #expect(TopicFilter(String(repeating: "+/", count: 127) + "#") != nil)
        #expect(TopicFilter(String(repeating: "+/", count: 128) + "#") == nil)
        #expect(throws: DecodeError.self) { _ = try TopicFilter(validating: "a/b/c", maximumLevels: 2) }
        #expect(TopicFilter(String(repeating: "a", count: 65_535)) != nil)
        #expect(TopicFilter(String(repeating: "a", count: 65_536)) == nil)
    }

    @Test(
        "a topic name has no wildcard, no NUL, a character at least and 65,535 bytes at most",
        arguments: [
            ("a", true), ("/", true), (" ", true), ("$SYS/a", true), ("a/🐢", true), ("", false), ("+", false),
            ("a/#", false), ("a+b", false), ("a\u{0}b", false),
        ])
    func topicNames(topic: String, isValid: Bool) {
        #expect(TopicName.isValid(MQTTString(topic)) == isValid)
    }

    @Test("levels and bytes of a topic name are bounded")
    func topicNameBounds() {
        #expect(TopicName.isValid(MQTTString(String(repeating: "/", count: 127))))
        #expect(!TopicName.isValid(MQTTString(String(repeating: "/", count: 128))))
        #expect(!TopicName.isValid("a/b", maximumLevels: 1))
        #expect(TopicName.isValid(MQTTString(String(repeating: "a", count: 65_535))))
        #expect(!TopicName.isValid(MQTTString(String(repeating: "a", count: 65_536))))
    }

    @Test("the longest filter against the longest topic needs no stack and no patience")
    func longest() throws {
        let filter = try #require(TopicFilter(String(repeating: "+/", count: 127) + "b"))
        let topic = MQTTString(String(repeating: "a/", count: 127) + "a")
        #expect(!filter.matches(topic))
    }
}
