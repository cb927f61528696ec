import BrokerCore
import BrokerServer
import MQTTCodec
import Spool
import Testing

@Suite("A configuration file that is right")
struct ConfigurationFileTests {
    @Test("an empty file means the same as no file")
    func emptyFile() throws {
        var expected = Configuration.default
        expected.node.id = "host"
        let file = try read("")
        #expect(file.configuration == expected)
        #expect(file.warnings.isEmpty)
        #expect(file.paths == ["drawbridge.toml"])
    }

    @Test("without a file both listeners are on loopback and nobody else is let in")
    func defaults() {
        let configuration = Configuration.default
        #expect(configuration.listeners.map(\.name) == ["mqtt", "web"])
        #expect(
            configuration.listeners.flatMap(\.addresses).map(\.description) == ["127.0.0.1:1883", "127.0.0.1:8083"])
        #expect(configuration.listeners.flatMap(\.addresses).allSatisfy { $0.isLoopback })
        #expect(!configuration.authentication.allowsAnonymous)
        #expect(configuration.node.dataDirectory == "./drawbridge-data")
        #expect(!configuration.node.id.isEmpty)
        #expect(configuration.links.isEmpty)
    }

    @Test("every section is read")
    func sections() throws {
        let configuration = try read(
            """
            [node]
            id = "edge"
            data_dir = "/var/lib/drawbridge"
            [log]
            level = "trace"
            format = "json"
            [limits]
            max_connections = 1
            max_packet = "2MB"
            receive_maximum = 2
            inflight = 3
            max_connect = 4096
            max_awaiting_rel = 4
            connect_timeout = "500ms"
            max_clientid = 23
            max_topic_levels = 5
            max_subscriptions = 6
            max_keep_alive = "90s"
            check_payload_format = true
            control_characters = true
            write_buffer = "8KiB"
            session_expiry = "2h"
            [durability]
            mode = "normal"
            on_corrupt = "stop"
            max_bytes = "1MiB"
            min_free_disk = 0
            [[durability.rule]]
            filter = "a/+"
            mode = "off"
            [[durability.rule]]
            filter = "b/#"
            mode = "sync"
            [queue]
            max_messages = 7
            max_bytes = "1GiB"
            max_age = "7d"
            on_full = "drop-newest"
            watermarks = { low = 0.25, high = 1 }
            [subscriptions]
            overlapping = "each"
            [shared_subscriptions]
            order = "publisher"
            [retained]
            max_messages = 0
            max_payload = "1KiB"
            [auth]
            anonymous = true
            """
        ).configuration
        #expect(configuration.node == NodeConfiguration(id: "edge", dataDirectory: "/var/lib/drawbridge"))
        #expect(configuration.log.level == .trace)
        #expect(configuration.log.format == .json)
        let limits = configuration.limits
        #expect(limits.connectionsMax == 1)
        #expect(limits.packetBytesMax == 2_000_000)
        #expect(limits.receiveMaximum == 2)
        #expect(limits.inflightMax == 3)
        #expect(limits.connectBytesMax == 4_096)
        #expect(limits.awaitingReleaseMax == 4)
        #expect(limits.connectTimeout == .milliseconds(500))
        #expect(limits.clientIDBytesMax == 23)
        #expect(limits.topicLevelsMax == 5)
        #expect(limits.subscriptionsMax == 6)
        #expect(BrokerSettings(configuration).keepAliveMax == 90)
        #expect(BrokerSettings(configuration).checksPayloadFormat)
        #expect(BrokerSettings(configuration).allowsControlCharacters)
        #expect(limits.writeBufferBytesMax == 8_192)
        #expect(limits.sessionExpiry == .seconds(7_200))
        let durability = configuration.durability
        #expect(durability.mode == .normal && durability.whenCorrupt == .stop)
        #expect(durability.bytesMax == 1 << 20 && durability.freeDiskMin == 0)
        #expect(durability.rules == [.init(filter: "a/+", mode: .off), .init(filter: "b/#", mode: .sync)])
        #expect(configuration.queue.whenFull == .dropNewest)
        #expect(configuration.queue.messagesMax == 7)
        #expect(configuration.queue.bytesMax == 1 << 30)
        #expect(configuration.queue.ageMax == .seconds(7 * 86_400))
        #expect(configuration.queue.watermarks == Watermarks(low: 0.25, high: 1))
        #expect(BrokerSettings(configuration).watermarks == Watermarks(low: 0.25, high: 1))
        #expect(BrokerSettings(configuration).queueAgeMax == .seconds(7 * 86_400))
        #expect(configuration.subscriptions.overlapping == .each)
        #expect(BrokerSettings(configuration).overlapping == .each)
        #expect(configuration.sharing.order == .publisher)
        #expect(configuration.retained.messagesMax == 0)
        #expect(configuration.retained.payloadBytesMax == 1_024)
        #expect(configuration.authentication.allowsAnonymous)
    }

    @Test("the spool gets the bounds and policies of sessions and of each link")
    func spoolOptions() throws {
        let configuration = try read(
            """
            durability.mode = "off"
            durability.max_bytes = "2MiB"
            queue.on_full = "reject"
            queue.max_messages = 3
            [[link]]
            name = "hub"
            addresses = ["mqtt://hub"]
            spool = { max_bytes = "1KiB", max_messages = 4, on_full = "drop-oldest" }
            [[link.out]]
            filter = "a"
            [[link]]
            name = "other"
            addresses = ["mqtt://other"]
            [[link.out]]
            filter = "a"
            """
        ).configuration
        let options = SpoolOptions(configuration)
        #expect(options.mode == .off && options.whenCorrupt == .quarantine)
        #expect(options.bytesMax == 2 << 20 && options.freeDiskMin == 512 << 20)
        #expect(options.session == QueueBounds(messagesMax: 3, bytesMax: 64 << 20, whenFull: .reject))
        #expect(options.links["hub"] == QueueBounds(messagesMax: 4, bytesMax: 1_024, whenFull: .dropOldest))
        #expect(options.links["other"] == QueueBounds(messagesMax: 5_000_000, bytesMax: 2 << 30, whenFull: .reject))
    }

    @Test("each mode says in one line what it costs and risks", arguments: DurabilityMode.allCases)
    func advice(mode: DurabilityMode) {
        var durability = DurabilityConfiguration()
        durability.mode = mode
        #expect(durability.advice.hasPrefix("durability \(mode.rawValue): "))
        #expect(durability.advice.contains("power cut") && !durability.advice.contains("\n"))
        durability.rules = DurabilityMode.allCases.map { DurabilityRuleConfiguration(filter: "#", mode: $0) }
        #expect(durability.advice.hasSuffix("; 2 rules say otherwise for some topics"))
    }

    @Test("a listener keeps the defaults of what it does not say")
    func listeners() throws {
        let listeners = try read(
            """
            [[listener]]
            [[listener]]
            type = "mqtt"
            bind = ["[::1]:0", "localhost:1884"]
            [[listener]]
            type = "web"
            name = "chat"
            paths = ["/ws"]
            require_subprotocol = false
            origins = ["https://Chat.Example.com", "http://*.example.com:8080"]
            static = "none"
            """
        ).configuration.listeners
        var web = WebConfiguration()
        web.paths = ["/ws"]
        web.requiresSubprotocol = false
        web.origins = try [WebOriginPattern("https://chat.example.com"), WebOriginPattern("http://*.example.com:8080")]
        web.staticContent = .none
        #expect(
            listeners == [
                ListenerConfiguration(
                    name: "mqtt", kind: .mqtt, addresses: [BindAddress(host: "127.0.0.1", port: 1883)]),
                ListenerConfiguration(
                    name: "mqtt-2", kind: .mqtt,
                    addresses: [BindAddress(host: "::1", port: 0), BindAddress(host: "localhost", port: 1884)]
                ),
                ListenerConfiguration(
                    name: "chat", kind: .web(web), addresses: [BindAddress(host: "127.0.0.1", port: 8083)]
                ),
            ]
        )
    }

    @Test("a listener off loopback is fine once anonymous clients are")
    func anonymous() {
        #expect(complaints("auth.anonymous = true\n[[listener]]\nbind = [\"[::]:1883\"]").isEmpty)
    }

    @Test("max_connect follows a smaller max_packet unless it is set")
    func connectFollowsPacket() throws {
        #expect(try read("limits.max_packet = \"1KiB\"").configuration.limits.connectBytesMax == 1_024)
    }

    @Test("variables of the environment are put in, in lists too")
    func environment() throws {
        let configuration = try read(
            """
            node.id = "edge-${SITE}"
            node.data_dir = "$${x}/$y/${EMPTY:-none}/${UNSET:-a:-b}"
            [[listener]]
            bind = ["127.0.0.1:${PORT}"]
            """,
            environment: ["SITE": "7", "EMPTY": "", "PORT": "1999"]
        ).configuration
        #expect(configuration.node.id == "edge-7")
        #expect(configuration.node.dataDirectory == "${x}/$y/none/a:-b")
        #expect(configuration.listeners[0].addresses == [BindAddress(host: "127.0.0.1", port: 1999)])
    }

    @Test("a byte order mark before the text is skipped")
    func byteOrderMark() throws {
        #expect(try read("\u{FEFF}[log]\nlevel = \"error\"").configuration.log.level == .error)
    }
}

@Suite("Included configuration files")
struct ConfigurationIncludeTests {
    @Test("included files add their links and settings, in the order of their names, beside the including file")
    func includes() throws {
        let written = WrittenFiles(texts: [
            "/etc/d/main.toml":
                "[node]\ninclude = [\"conf.d/*.toml\", \"one.toml\"]\n[[link]]\nname=\"m\"\naddresses=[\"mqtt://m\"]",
            "/etc/d/conf.d/b.toml": "[[link]]\nname=\"b\"\naddresses=[\"mqtt://b\"]",
            "/etc/d/conf.d/a.toml": "[defaults.link]\nkeepalive=\"9s\"\n[[link]]\nname=\"a\"\naddresses=[\"mqtt://a\"]",
            "/etc/d/one.toml": "log.level = \"error\"",
        ])
        let file = try ConfigurationFile.load(path: "/etc/d/main.toml", environment: [:], files: written.files)
        #expect(
            file.paths == ["/etc/d/main.toml", "/etc/d/conf.d/a.toml", "/etc/d/conf.d/b.toml", "/etc/d/one.toml"]
        )
        #expect(file.configuration.links.map(\.name) == ["m", "a", "b"])
        // Defaults count for links of every file, those read before them too.
        #expect(file.configuration.links.allSatisfy { $0.keepAlive == .seconds(9) })
        #expect(file.configuration.log.level == .error)
    }

    @Test("a missing file is a problem, a pattern without a match is not")
    func missing() {
        #expect(
            complaints("node.include = [\"no.toml\", \"conf.d/*.toml\"]") == [
                "no.toml: cannot be read: No such file or directory",
                "warning: drawbridge.toml:1: node.include[1]: no file matches conf.d/*.toml",
            ]
        )
    }

    @Test("the same setting in two files is a problem that names both places")
    func repetition() {
        #expect(
            complaints("node.include = [\"a.toml\"]\nlog.level = \"info\"", ["a.toml": "\n[log]\nlevel = \"error\""])
                == [
                    "a.toml:3: log.level: is already set at drawbridge.toml:2"
                ]
        )
    }

    @Test("problems of an included file name that file, after those of the main file")
    func places() {
        #expect(
            complaints(
                "node.include = [\"a.toml\"]\nlogs = 1", ["a.toml": "[log]\nlevl = \"info\"\n[node]\ninclude = [\"b\"]"]
            ) == [
                "drawbridge.toml:2: logs: unknown key (did you mean `log`?)",
                "a.toml:2: log.levl: unknown key (did you mean `level`?)",
                "a.toml:4: node.include: an included file cannot include others",
                "a.toml:4: node.include: is already set at drawbridge.toml:1",
            ]
        )
    }

    @Test("a file that is not there says so in the words of the system")
    func noFile() {
        #expect(
            throws: ConfigurationProblems(problems: [
                ConfigurationProblem(file: "/nowhere/x.toml", message: "cannot be read: No such file or directory")
            ])
        ) {
            try ConfigurationFile.load(path: "/nowhere/x.toml", environment: [:])
        }
    }
}
