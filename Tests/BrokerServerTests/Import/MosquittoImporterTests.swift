import BrokerCore
import BrokerServer
import MQTTCodec
import Testing

@Suite("A mosquitto.conf becomes a configuration of ours")
struct MosquittoImporterTests {
    /// The imported text and what was said about it.
    private func imported(
        _ text: String, _ others: [String: String] = [:]
    ) throws -> ImportedConfiguration {
        let written = WrittenFiles(texts: others.merging(["m.conf": text]) { _, main in main })
        return try MosquittoImporter.configuration(path: "m.conf", files: written.files)
    }

    /// The configuration that a node reads from the imported files.
    private func configuration(_ text: String, _ others: [String: String] = [:]) throws -> Configuration {
        let files = try imported(text, others).files
        var texts = others
        for file in files.dropFirst() { texts[file.name] = file.text }
        return try read(try #require(files.first).text, texts).configuration
    }

    private func fate(_ text: String, _ others: [String: String] = [:]) throws -> [String] {
        try imported(text, others).remarks.map { "\($0.key) \($0.fate.rawValue)" }
    }

    // MARK: - Lines

    @Test("comments, empty lines, tabs and line ends of Windows say nothing")
    func lines() throws {
        let text = "# a\r\n\r\n  \t# b\r\nlistener\t1883   127.0.0.1 \r\nallow_anonymous true\r\n"
        #expect(try fate(text) == ["listener mapped", "allow_anonymous mapped"])
        let bind = try configuration(text).listeners.map { $0.addresses.map(\.description) }
        #expect(bind == [["127.0.0.1:1883"]])
    }

    @Test("files of an included folder stand where the folder is named")
    func included() throws {
        let written = ["d/a.conf": "max_inflight_messages 7\n"]
        let text = "include_dir d\nlistener 1\nallow_anonymous true\n"
        // Patterns of these tests match by their beginning and `.toml`, so the file is found as on a disk by its name.
        let files = ConfigurationFiles(
            content: { path throws(ConfigurationFiles.Unreadable) in
                guard let text = path == "m.conf" ? text : written[path] else {
                    throw ConfigurationFiles.Unreadable(reason: "none")
                }
                return ConfigurationFiles.Content(bytes: Array(text.utf8))
            },
            matches: { $0 == "d/*.conf" ? ["d/a.conf"] : [] }
        )
        let result = try MosquittoImporter.configuration(path: "m.conf", files: files)
        #expect(result.remarks.map(\.place) == ["m.conf:1", "a.conf:1", "m.conf:2", "m.conf:3"])
        #expect(result.files[0].text.contains("inflight = 7    # a.conf:1"))
    }

    @Test("a folder that includes itself ends in a sentence")
    func circle() {
        let files = ConfigurationFiles(
            content: { _ in ConfigurationFiles.Content(bytes: Array("include_dir d\n".utf8)) },
            matches: { _ in ["d/a.conf"] }
        )
        let failure = #expect(throws: ImportFailure.self) {
            try MosquittoImporter.configuration(path: "m.conf", files: files)
        }
        #expect(failure?.description == "d/a.conf: include_dir goes round in circles")
    }

    @Test("a word that nobody knows is unsupported, and so is a setting of a bridge before the first bridge")
    func strays() throws {
        let result = try imported("topic # both 1\nno_such_word x\n")
        #expect(result.remarks.map(\.fate) == [.unsupported, .unsupported])
        #expect(result.files[0].text.contains("#   m.conf:2: no_such_word: this word is not known"))
    }

    @Test(
        "what a value says stays inside of its quotes",
        arguments: [#"a"b"#, #"back\slash"#, "${HOME}", "tab\tin", "ü"]
    )
    func quoted(_ name: String) throws {
        let link = try #require(
            try configuration("connection c\naddress h\ntopic # out 1\nremote_username \(name)\n").links.first)
        #expect(link.username == name)
    }

    @Test("control characters of a line that is not taken over do not break the comments that name it")
    func controlCharacters() throws {
        let text = "connection a\rb\u{1B}\nno\u{1}word x\u{7F}\nallow_anonymous true\n"
        #expect(try configuration(text).links.isEmpty)
        let result = try imported(text)
        let plain = result.files[0].text.unicodeScalars.allSatisfy { scalar in
            scalar == "\n" || scalar.value >= 0x20 && scalar.value != 0x7F
        }
        #expect(plain && result.files[0].text.contains("no\u{FFFD}word"))
        #expect(result.remarks.map(\.description)[1] == "m.conf:2: no\u{FFFD}word: unsupported: this word is not known")
    }

    // MARK: - Limits

    @Test(
        "any message fits into a queue, however large it may be",
        arguments: [
            "max_packet_size 0", "message_size_limit 0", "max_packet_size 67108865", "message_size_limit 100000000",
            "max_packet_size 0\nmax_queued_bytes 0", "max_packet_size 0\nmax_queued_bytes 1000",
            "max_packet_size 0\nmax_queued_bytes many",
        ]
    )
    func largePackets(_ text: String) throws {
        let configuration = try configuration(text + "\n")
        #expect(configuration.limits.packetBytesMax > 64 << 20)
        #expect(configuration.queue.bytesMax == configuration.limits.packetBytesMax)
    }

    // MARK: - Listeners

    @Test("without a listener the port is on loopback and strangers may come in, as since 2.0")
    func loopback() throws {
        let configuration = try configuration("persistence false\n")
        #expect(configuration.listeners.map { $0.addresses.map(\.description) } == [["127.0.0.1:1883", "[::1]:1883"]])
        #expect(configuration.authentication.chain.isEmpty)
    }

    @Test(
        "a listener is where it was",
        arguments: [
            ("listener 1884", "[::]:1884"), ("listener 1884 10.0.0.1", "10.0.0.1:1884"),
            ("listener 1884 ::1", "[::1]:1884"), ("listener 1884\nsocket_domain ipv4", "0.0.0.0:1884"),
            ("listener 0 /run/m.sock", "unix:/run/m.sock"), ("port 1885", "[::]:1885"),
            ("bind_address 10.0.0.2", "10.0.0.2:1883"), ("listener 1884 localhost", "localhost:1884"),
        ]
    )
    func address(_ text: String, _ expected: String) throws {
        let listeners = try configuration(text + "\nallow_anonymous true\n").listeners
        #expect(listeners.map { $0.addresses.map(\.description) } == [[expected]])
    }

    @Test("settings before the first listener are a listener of their own, as in mosquitto")
    func before() throws {
        let names = try configuration("max_connections 7\nlistener 1884\nallow_anonymous true\n").listeners.map(\.name)
        #expect(names == ["mqtt-1883", "mqtt-1884"])
    }

    @Test("a listener that takes pre-shared keys only is left out, for without them it would be open")
    func keys() throws {
        let text = "listener 1\nlistener 2\npsk_hint x\nmax_connections 3\nallow_anonymous true\n"
        #expect(try configuration(text).listeners.map(\.name) == ["mqtt-1"])
        #expect(
            try fate(text) == [
                "listener mapped", "listener unsupported", "psk_hint unsupported", "max_connections unsupported",
                "allow_anonymous mapped",
            ])
    }

    // MARK: - Who may come in

    @Test("nobody is let in where mosquitto let in nobody")
    func closed() throws {
        let configuration = try configuration("listener 1883\n")
        #expect(configuration.authentication.chain == [.users] && !configuration.authentication.allowsAnonymous)
    }

    @Test("passwords in the clear stay out of every file")
    func plain() throws {
        let result = try imported("listener 1\npassword_file p\n", ["p": "ann:open sesame\n"])
        #expect(result.files.map(\.name) == ["drawbridge.toml", "users"])
        #expect(result.files.allSatisfy { !$0.text.contains("sesame") })
        #expect(result.warnings.allSatisfy { !$0.text.contains("sesame") })
        #expect(result.files[1].isSecret && result.files[1].text.contains("# ann: the password is not hashed"))
    }

    @Test("of several password files the first counts, and the others are named")
    func severalFiles() throws {
        let text = """
            per_listener_settings true
            listener 1
            password_file a
            listener 2
            password_file b
            allow_anonymous true
            """
        let result = try imported(text, ["a": "", "b": ""])
        #expect(result.remarks.map(\.fate) == [.unsupported, .mapped, .mapped, .mapped, .unsupported, .mapped])
        #expect(!result.files[0].text.contains("anonymous = true"), "one listener asked for passwords, so all do")
    }

    @Test("deny wins wherever it stands, and strangers' rules are for strangers")
    func rules() throws {
        let access = """
            topic read public/#
            user ann
            topic chat/#
            topic deny chat/x
            pattern write %c/out
            """
        let hash = "$6$c2FsdA==$" + String(repeating: "A", count: 86) + "=="
        let rules = try #require(
            try configuration(
                "listener 1\npassword_file p\nallow_anonymous true\nacl_file a\n", ["p": "ann:\(hash)", "a": access]
            ).access.rules)
        #expect(rules.map(\.verdict) == [.deny, .allow, .allow, .deny, .allow])
        #expect(rules.map { $0.who.isEmpty } == [false, false, true, false, true])
    }

    // MARK: - Bridges

    /// `out` or `in`, the filter, and what becomes of a topic.
    private static let topics: [(line: String, rules: [String])] = [
        ("a/# out 1", ["out a/# a/b -> a/b 1"]),
        ("a/# out 1 l/ r/", ["out l/a/# l/a/b -> r/a/b 1"]),
        ("a/# in 2 l/ r/", ["in r/a/# r/a/b -> l/a/b 2"]),
        ("a/# both 1 l/ r/", ["out l/a/# l/a/b -> r/a/b 1", "in r/a/# r/a/b -> l/a/b 1"]),
        ("+/x out 0 \"\" r/", ["out +/x a/x -> r/a/x 0"]),
        ("+/+/x in 0 l/ \"\"", ["in +/+/x a/b/x -> l/a/b/x 0"]),
        ("\"\" out 1 l r", ["out l l -> r 1"]),
        ("\"\" both 1 l r", ["out l l -> r 1", "in r r -> l 1"]),
        ("a", ["out a a -> a 0"]),
    ]

    @Test("a topic line is a rule with the same filter, names and quality", arguments: topics.indices)
    func topic(_ index: Int) throws {
        let (line, expected) = Self.topics[index]
        let text = "connection c\naddress h\nbridge_protocol_version mqttv50\ntopic \(line)\n"
        let link = try #require(try configuration(text).links.first)
        let rules = link.outRules.map { ("out", $0) } + link.inRules.map { ("in", $0) }
        let told = rules.map { direction, rule -> String in
            let filter = rule.filter.text.string
            let topic = Self.sample(filter)
            var target = "-"
            if case .crosses(let name) = rule.verdict(on: MQTTString(topic), from: nil) { target = name.string }
            return "\(direction) \(filter) \(topic) -> \(target) \(rule.qosCap?.rawValue ?? 9)"
        }
        #expect(told == expected)
    }

    /// A topic that a filter matches.
    private static func sample(_ filter: String) -> String {
        var names = ["a", "b"].makeIterator()
        return filter.split(separator: "/").map { level in
            switch level {
            case "#": "b"
            case "+": names.next() ?? "c"
            default: String(level)
            }
        }.joined(separator: "/")
    }

    @Test("a bridge says who it is and how it waits")
    func bridge() throws {
        let text = """
            connection to hub
            address hub.example.com [::1]:1884
            remote_clientid me
            remote_username u
            remote_password p w
            keepalive_interval 20
            restart_timeout 2 9 30
            cleansession true
            topic a out 1
            """
        let result = try imported(text)
        #expect(result.files.map(\.name) == ["drawbridge.toml", "to-hub.password"])
        let link = try #require(try configuration(text).links.first)
        #expect(link.addresses.map(\.description) == ["mqtt://hub.example.com:1883", "mqtt://[::1]:1884"])
        #expect(link.name == "to-hub" && link.clientID == "me" && link.username == "u" && link.usesBridgeBit)
        #expect(link.keepAlive == .seconds(20) && link.sessionExpiry == .zero)
        #expect(
            link.backoff.base == .seconds(2) && link.backoff.cap == .seconds(9) && link.backoff.stable == .seconds(30))
    }

    @Test("TLS of a bridge checks the name unless the old file said otherwise")
    func tls() throws {
        let text = "connection c\naddress h:8883\nbridge_capath /etc/ssl/certs\nbridge_insecure true\ntopic a out 1\n"
        let link = try #require(try configuration(text).links.first)
        #expect(link.addresses.map(\.description) == ["mqtts://h:8883"])
        #expect(link.tls.verification == .authority && link.tls.authorityPath == nil)
    }

    @Test("what a bridge may not retain upstream goes out without the flag, and comes in with it")
    func outgoingRetain() throws {
        let text = "connection c\naddress h\nbridge_outgoing_retain false\ntopic a/# both 1 l/ r/\n"
        let link = try #require(try configuration(text).links.first)
        #expect(link.outRules.map(\.retain) == [.clear] && link.inRules.map(\.retain) == [.keep])
    }

    @Test("a bridge without an address, and one with a pre-shared key, are left out whole")
    func leftOut() throws {
        let text = "connection a\ntopic x out 1\nconnection b\naddress h\nbridge_psk 00\ntopic x out 1\n"
        let result = try imported(text)
        #expect(result.remarks.allSatisfy { $0.fate == .unsupported } && result.remarks.count == 6)
        #expect(try configuration(text).links.isEmpty)
        #expect(result.files.count == 1)
    }
}
