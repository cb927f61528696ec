import BrokerCore
import BrokerServer
import MQTTCodec
import Testing

private let start = "[[link]]\nname = \"hub\"\naddresses = [\"mqtt://hub\"]\n"

@Suite("Links in a configuration file")
struct ConfigurationLinkTests {
    private func link(_ text: String, _ others: [String: String] = [:]) throws -> LinkConfiguration {
        try #require(try read(start + text, others).configuration.links.first)
    }

    @Test("a link that says only what it must has the documented defaults")
    func defaults() throws {
        let link = try link("")
        var expected = LinkConfiguration(
            name: "hub", addresses: [LinkAddress(host: "hub", port: 1883)], clientID: "host.hub")
        #expect(link == expected)
        expected.versions = [.v5, .v3_1_1]
        expected.connectTimeout = .seconds(5)
        expected.preference = .first
        expected.keepAlive = .seconds(30)
        expected.sessionExpiry = .seconds(30 * 86_400)
        expected.maxInflight = nil
        expected.acknowledgementTimeout = .seconds(30)
        expected.probe.mode = .auto
        expected.probe.every = .seconds(15)
        expected.probe.topic = nil
        expected.start = .automatic
        expected.status.isLocalOnly = true
        expected.status.hasDetail = true
        expected.backoff.base = .seconds(1)
        expected.backoff.cap = .seconds(120)
        expected.backoff.stable = .seconds(30)
        #expect(link == expected)
    }

    @Test(
        "a link starts when it is said to",
        arguments: [
            ("\"automatic\"", .automatic), ("\"lazy\"", .lazy), ("\"once\"", .once), ("\"manual\"", .manual),
            ("{ window = \"02:00-05:30\" }", .window(DailyWindow(from: 120, to: 330))),
            ("{ window = \"22:00-24:00\" }", .window(DailyWindow(from: 1_320, to: 0))),
        ] as [(String, LinkStart)]
    )
    func starts(text: String, start: LinkStart) throws {
        #expect(try link("start = \(text)\n").start == start)
    }

    @Test("a link says how it is under its own name, unless another is given")
    func status() throws {
        let text = "status = { topic = \"links/hub\", local_only = false, json = false }\n"
        let status = try link(text).status
        #expect(status.topic == "links/hub" && !status.isLocalOnly && !status.hasDetail)
        let settings = BrokerSettings(try read(start).configuration)
        #expect(settings.links[0].status == LinkStatusSettings(topic: "$SYS/broker/connection/host.hub/state"))
    }

    @Test("a link overrides what defaults.link says, and keeps the rest")
    func overrides() throws {
        let text = """
            [[link]]
            name = "hub"
            addresses = ["mqtt://hub:1884", "mqtt://[::1]:1885", "mqtt://10.0.0.1"]
            client_id = "me"
            username = "u"
            password = "p"
            keepalive = "5s"
            session_expiry = "0s"
            max_inflight = 1
            probe_every = "3s"
            probe_topic = "probes/me"
            backoff = { base = "2s" }
            [defaults.link]
            protocol = "3.1.1"
            keepalive = "6s"
            ack_timeout = "7s"
            probe = "off"
            probe_every = "9s"
            backoff = { base = "3s", cap = "4s", jitter = "decorrelated", stable = "5s" }
            """
        let link = try #require(try read(text).configuration.links.first)
        #expect(link.addresses.map(\.description) == ["mqtt://hub:1884", "mqtt://[::1]:1885", "mqtt://10.0.0.1:1883"])
        #expect(link.clientID == "me")
        #expect(link.username == "u")
        #expect(link.password == .text(Secret(bytes: Array("p".utf8))))
        #expect(link.versions == [.v3_1_1])
        #expect(link.keepAlive == .seconds(5))
        #expect(link.sessionExpiry == .zero)
        #expect(link.maxInflight == 1)
        #expect(link.probe.mode == .off)
        #expect(link.probe.every == .seconds(3))
        #expect(link.probe.topic == "probes/me")
        #expect(link.acknowledgementTimeout == .seconds(7))
        #expect(link.backoff.base == .seconds(2))
        #expect(link.backoff.cap == .seconds(4))
        #expect(link.backoff.stable == .seconds(5))
    }

    @Test("a password is text, or where it is read at each connect: a file, a variable, a command")
    func passwords() throws {
        let file = try link("password = { file = \"hub.password\" }", ["hub.password": "s3cret\r\n"])
        #expect(file.password == .file("hub.password"))
        let command = try link("password = { command = [\"token\", \"--now\"] }")
        #expect(command.password == .command(["token", "--now"]))
        let file2 = try ConfigurationFile.load(
            path: "d.toml", environment: ["TOKEN": "x"],
            files: WrittenFiles(texts: ["d.toml": start + "password = { env = \"TOKEN\" }"]).files
        )
        #expect(file2.configuration.links[0].password == .environment("TOKEN"))
    }

    @Test(
        "version 5 stands before 3.1.1 where nothing comes back by it; a list says exactly what is tried",
        arguments: [
            ("", [.v5, .v3_1_1]),
            ("protocol = 5\n[[link.out]]\nfilter = \"up/#\"\n[[link.in]]\nfilter = \"down/#\"", [.v5, .v3_1_1]),
            ("[[link.both]]\nfilter = \"chat/#\"", [.v5]),
            ("bridge_bit = true\n[[link.both]]\nfilter = \"chat/#\"", [.v5, .v3_1_1]),
            ("password = \"x\"", [.v5]),
            ("protocol = [5]", [.v5]),
            ("protocol = \"3.1\"", [.v3_1]),
            ("protocol = [5, \"3.1.1\", \"3.1\", 5]", [.v5, .v3_1_1, .v3_1]),
            ("protocol = [\"3.1.1\", \"5\"]", [.v3_1_1, .v5]),
        ] as [(String, [ProtocolVersion])])
    func versions(text: String, versions: [ProtocolVersion]) throws {
        #expect(try link(text).versions == versions)
    }

    @Test("a list that has 3.1.1 is judged as 3.1.1")
    func versionsOfLists() {
        let text = start + "protocol = [5, \"3.1.1\"]\n[[link.both]]\nfilter = \"chat/#\""
        #expect(complaints(text).count == 1)
    }

    @Test("a proxy of all links is that of each, unless it says another, or none")
    func proxies() throws {
        let text = """
            [defaults.link]
            proxy = "http://u:p%40ss@proxy:3128/"
            connect_timeout = "2s"
            [[link]]
            name = "a"
            addresses = ["mqtt://hub"]
            [[link]]
            name = "b"
            addresses = ["mqtts://hub"]
            proxy = ""
            prefer = "round-robin"
            """
        let links = try read(text).configuration.links
        #expect(links[0].proxy == (try LinkProxy("http://u:p%40ss@proxy:3128")))
        #expect(links[0].proxy?.login == Secret(bytes: Array("u:p@ss".utf8)))
        #expect(links.map(\.connectTimeout) == [.seconds(2), .seconds(2)])
        #expect(links[1].proxy == nil)
        #expect(links.map(\.preference) == [.first, .roundRobin])
        #expect(try link("spool.qos0 = \"disk\"").keptQoS0 == .disk)
        #expect(try link("spool.keep_refused = 500").keptRefusedMax == 500)
        #expect(try link("").keptRefusedMax == 0)
    }

    @Test("a password appears in no description of the configuration")
    func secretsAreSilent() throws {
        let link = try link("password = \"s3cret\"\nproxy = \"http://u:s3cret@proxy:1\"")
        var dumped = ""
        dump(link, to: &dumped)
        for text in ["\(link)", String(reflecting: link), dumped] {
            #expect(text.contains("(secret)"))
            #expect(!text.contains("s3cret") && !text.contains("115, 51") && !text.contains("- 115\n"))
        }
    }

    @Test("out and in replace {topic} in their template")
    func templates() throws {
        let link = try link(
            """
            [[link.out]]
            filter = "sensors/#"
            to = "site/{topic}/x"
            qos = 1
            retain = "clear"
            [[link.in]]
            filter = "cmd/+"
            qos = "keep"
            """
        )
        let out = try #require(link.outRules.first)
        #expect(out.filter.text == "sensors/#")
        #expect(out.map("sensors/a") == "site/sensors/a/x")
        #expect(out.qosCap == .atLeastOnce)
        #expect(out.qos(for: .exactlyOnce) == .atLeastOnce)
        #expect(out.qos(for: .atMostOnce) == .atMostOnce)
        #expect(out.retain == .clear)
        #expect(out.targetFilter == "site/sensors/#")
        let `in` = try #require(link.inRules.first)
        #expect(`in` == LinkRule(filter: try #require(TopicFilter("cmd/+"))))
        #expect(`in`.map("cmd/a") == "cmd/a")
        #expect(`in`.qos(for: .exactlyOnce) == .exactlyOnce)
    }

    @Test("both becomes one rule out and one rule in, which undo each other")
    func both() throws {
        let link = try link(
            "[[link.both]]\nfilter = \"chat/#\"\nqos = 2\nlocal_prefix = \"l/\"\nremote_prefix = \"site/é/\""
        )
        let out = try #require(link.outRules.first)
        let `in` = try #require(link.inRules.first)
        #expect(link.outRules.count == 1 && link.inRules.count == 1)
        #expect(out.filter.text == "l/chat/#")
        #expect(`in`.filter.text == "site/é/chat/#")
        #expect(out.map("l/chat/1") == "site/é/chat/1")
        #expect(`in`.map("site/é/chat/1") == "l/chat/1")
        #expect(out.targetFilter == `in`.filter.text.string)
        #expect(`in`.targetFilter == out.filter.text.string)
        #expect(out.qosCap == .exactlyOnce && `in`.qosCap == .exactlyOnce)
    }

    @Test("a topic without the prefix does not travel, although the filter matches it")
    func parentOfPrefix() throws {
        let link = try link("[[link.both]]\nfilter = \"#\"\nlocal_prefix = \"lab/\"")
        #expect(link.outRules[0].filter.text == "lab/#")
        #expect(link.outRules[0].map("lab") == nil)
        #expect(link.outRules[0].map("lab/") == nil)
        #expect(link.outRules[0].map("lab/x") == "x")
    }

    @Test(
        "what a link cannot be is reported",
        arguments: [
            ("name = \"x\"", 1, "link[0]: a link needs addresses, as in addresses = [\"mqtt://hub.example.com\"]"),
            ("addresses = [\"mqtt://x\"]", 1, "link[0]: a link needs a name, as in name = \"hub\""),
        ]
    )
    func required(text: String, line: Int, message: String) {
        #expect(complaints("[[link]]\n" + text).first == "drawbridge.toml:\(line): \(message)")
    }

    @Test(
        "each setting of a link is checked",
        arguments: [
            ("trust_ids = 1", 4, "trust_ids: must be true or false, found 1"),
            (
                "catchup_rate = \"0/s\"", 4,
                "catchup_rate: must be a rate such as \"500/s\", 1 to 1000000, found \"0/s\""
            ),
            ("[link.spool]\norder = \"age\"", 5, "spool.order: must be \"publisher\" or \"topic\", found \"age\""),
            (
                "start = \"later\"", 4,
                "start: must be \"automatic\", \"lazy\", \"once\", \"manual\" or { window = \"02:00-05:00\" }, "
                    + "found \"later\""
            ),
            ("start = {}", 4, "start: must say { window = \"02:00-05:00\" }"),
            (
                "start = { window = \"2-5\" }", 4,
                "start.window: must be two times of the day, as in \"02:00-05:00\", found \"2-5\""
            ),
            (
                "start = { window = \"02:00-02:00\" }", 4,
                "start.window: must be two times of the day, as in \"02:00-05:00\", found \"02:00-02:00\""
            ),
            (
                "status = { topic = \"a/+\" }", 4,
                "status.topic: must be the name of a topic, without wildcards, found \"a/+\""
            ),
            ("protocol = 4", 4, "protocol: must be 5, \"3.1.1\" or \"3.1\", or a list of them, found 4"),
            ("protocol = [5, \"4\"]", 4, "protocol: must be 5, \"3.1.1\" or \"3.1\", or a list of them, found \"4\""),
            ("keepalive = \"0s\"", 4, "keepalive: must be 1s to 65535s, found \"0s\""),
            ("probe = \"on\"", 4, "probe: must be \"auto\" or \"off\", found \"on\""),
            ("probe_every = \"10ms\"", 4, "probe_every: must be 1s to 1h, found \"10ms\""),
            (
                "probe_topic = \"a/#\"", 4,
                "probe_topic: must be the name of a topic, without wildcards, found \"a/#\""
            ),
            ("max_inflight = 65536", 4, "max_inflight: must be 1 to 65535, found 65536"),
            (
                "protocol = [5]\nbridge_bit = true", 5,
                "bridge_bit: is only for protocol \"3.1.1\"; version 5 asks for No Local by itself"
            ),
            ("backoff = { base = \"3m\" }", 4, "backoff: base (3m) must be at most cap (2m)"),
            ("backoff = { jitter = \"full\" }", 4, "backoff.jitter: must be \"decorrelated\", found \"full\""),
            (
                "password = 5", 4,
                "password: must be text, { file = \"path\" }, { env = \"NAME\" } or { command = [\"program\"] }"
            ),
            ("password = \"\"", 4, "password: the password is empty"),
            ("password = { env = \"NOT_SET\" }", 4, "password.env: the environment variable NOT_SET is not set"),
            ("password = { command = [] }", 4, "password.command: must not be an empty list"),
            ("spool.keep_refused = -1", 4, "spool.keep_refused: must be 0 to 1000000, found -1"),
            ("spool.qos0 = \"tape\"", 4, "spool.qos0: must be \"memory\" or \"disk\" or \"drop\", found \"tape\""),
            ("prefer = \"last\"", 4, "prefer: must be \"first\" or \"round-robin\", found \"last\""),
            ("connect_timeout = \"1h\"", 4, "connect_timeout: must be 100ms to 5m, found \"1h\""),
            ("proxy = \"https://u:s3cret@p:1\"", 4, "proxy: must be http://[user:password@]host:port"),
            ("proxy = \"http://u:s3cret@p\"", 4, "proxy: the port is missing, as in 127.0.0.1:1883"),
            ("password = { file = \"x\" }", 4, "password.file: x cannot be read: No such file or directory"),
            (
                "protocol = \"3.1.1\"\npassword = \"s\"", 5,
                "password: protocol \"3.1.1\" has no password without a username"
            ),
            ("[[link.out]]\nto = \"x/{topic}\"", 4, "out[0]: a rule needs a filter, as in filter = \"sensors/#\""),
            (
                "[[link.out]]\nfilter = \"a/#/b\"", 5,
                "out[0].filter: `#` must be the whole last level, as in a/b/#; found `a/#/b`"
            ),
            ("[[link.in]]\nfilter = \"a+\"", 5, "in[0].filter: `+` must be a whole level, as in a/+/b; found `a+`"),
            ("[[link.in]]\nfilter = \"\"", 5, "in[0].filter: a topic filter must not be empty"),
            (
                "[[link.in]]\nfilter = \"$share/g/a\"", 5,
                "in[0].filter: shared subscriptions on links are not available in this version"
            ),
            (
                "[[link.out]]\nfilter = \"a\"\nto = \"{topik}\"", 6,
                "out[0].to: unknown placeholder `{topik}`; there are {topic}, {1} to {9}, {#}, {clientid} and {node}"
            ),
            (
                "[[link.out]]\nfilter = \"a/+\"\nto = \"{2}\"", 6,
                "out[0].to: `{2}` is what the second `+` of the filter matches, and `a/+` has 1"
            ),
            (
                "[[link.out]]\nfilter = \"a\"\nto = \"{1}\"", 6,
                "out[0].to: `{1}` is what the first `+` of the filter matches, and `a` has none"
            ),
            (
                "[[link.out]]\nfilter = \"a/+\"\nto = \"{#}\"", 6,
                "out[0].to: `{#}` is what `#` of the filter matches, and `a/+` has none"
            ),
            (
                "[[link.in]]\nfilter = \"a\"\nto = \"{clientid}\"", 6,
                "in[0].to: `{clientid}` is for [[link.out]]: who published upstream is not told"
            ),
            (
                "[[link.in]]\nfilter = \"a\"\nto = \"$SYS/{topic}\"", 6,
                "in[0].to: topics with `$` belong to this node; found `$SYS/{topic}`"
            ),
            ("[[link.out]]\nfilter = \"a\"\nto = \"\"", 6, "out[0].to: must not be empty"),
            (
                "[[link.out]]\nfilter = \"a\"\nto = \"{topic\"", 6,
                "out[0].to: `{` and `}` must come in pairs; found `{topic`"
            ),
            (
                "[[link.out]]\nfilter = \"a\"\nto = \"+/{topic}\"", 6,
                "out[0].to: a topic has no wildcards; found `+/{topic}`"
            ),
            ("[[link.out]]\nfilter = \"a\"\nqos = 3", 6, "out[0].qos: must be 0, 1, 2 or \"keep\", found 3"),
            (
                "[[link.out]]\nfilter = \"a\"\nretain = \"no\"", 6,
                "out[0].retain: must be \"keep\" or \"set\" or \"clear\", found \"no\""
            ),
            (
                "[[link.out]]\nfilter = \"a\"\nexclude = \"a\"", 6,
                "out[0].exclude: must be a list of texts, as in [\"...\"], found \"a\""
            ),
            (
                "[[link.out]]\nfilter = \"a/#\"\nexclude = [\"a/b\", \"a/#/c\"]", 6,
                "out[0].exclude[1]: `#` must be the whole last level, as in a/b/#; found `a/#/c`"
            ),
            (
                "[[link.out]]\nfilter = \"a\"\nexpiry = \"0s\"", 6,
                "out[0].expiry: must be 1s to 4294967295s, found \"0s\""
            ),
            ("[[link.both]]\nfilter = \"a\"\npriority = 10", 6, "both[0].priority: must be 0 to 9, found 10"),
            (
                "[[link.in]]\nfilter = \"a\"\nuser_properties = \"a\"", 6,
                "in[0].user_properties: must be a table, as in { site = \"shanghai\" }, found \"a\""
            ),
            (
                "[[link.in]]\nfilter = \"a\"\nuser_properties = { a = 1 }", 6,
                "in[0].user_properties.a: must be text in quotes, found 1"
            ),
            (
                "[[link.both]]\nfilter = \"#\"\nlocal_prefix = \"lab\"", 5,
                "both[0].filter: `#` must be the whole last level, as in a/b/#; found `lab#` (the prefix \"lab\" does not end "
                    + "with `/`)"
            ),
            (
                "[[link.both]]\nfilter = \"a\"\nremote_prefix = \"+/\"", 6,
                "both[0].remote_prefix: a prefix has no wildcards, found \"+/\""
            ),
        ]
    )
    func settings(text: String, line: Int, message: String) {
        let separator = message.hasPrefix("link") ? "" : "link[0]."
        let problems = complaints(start + text).filter { !$0.hasPrefix("warning") }
        #expect(problems == ["drawbridge.toml:\(line): \(separator)\(message)"])
    }

    @Test(
        "each scheme has its port, and WebSocket its path",
        arguments: [
            ("mqtt://hub", LinkAddress(.mqtt, host: "hub", port: 1883), "mqtt://hub:1883"),
            ("mqtts://[::1]", LinkAddress(.mqtts, host: "::1", port: 8883), "mqtts://[::1]:8883"),
            ("ws://hub", LinkAddress(.ws, host: "hub", port: 80, path: "/mqtt"), "ws://hub:80/mqtt"),
            ("wss://hub:8084/", LinkAddress(.wss, host: "hub", port: 8084, path: "/"), "wss://hub:8084/"),
            ("wss://hub/a?b=c", LinkAddress(.wss, host: "hub", port: 443, path: "/a?b=c"), "wss://hub:443/a?b=c"),
        ]
    )
    func schemes(text: String, address: LinkAddress, description: String) throws {
        let file = try read("[[link]]\nname = \"hub\"\naddresses = [\"\(text)\"]")
        #expect(file.configuration.links[0].addresses == [address])
        #expect(address.description == description)
    }

    @Test(
        "an address is a scheme with a host, perhaps a port, with WebSocket a path, and nothing else",
        arguments: [
            ("hub:1883", "must begin with mqtt://, mqtts://, ws:// or wss://, found \"hub:1883\""),
            ("mqtts://", "there is no host, found \"mqtts://\""),
            ("ws:///mqtt", "there is no host, found \"ws:///mqtt\""),
            ("wss://hub/a b", "a path is ASCII without spaces and `#`, found \"wss://hub/a b\""),
            ("http://hub", "must begin with mqtt://, mqtts://, ws:// or wss://, found \"http://hub\""),
            ("mqtt://", "there is no host, found \"mqtt://\""),
            ("mqtt://hub:0", "the port must be 1 to 65535, found \"mqtt://hub:0\""),
            ("mqtt://hub:0/@x", "an address has no user: say username = and password = instead"),
            ("mqtt://hub/x", "only ws:// and wss:// have a path, found \"mqtt://hub/x\""),
            ("mqtt://u:secret@hub", "an address has no user: say username = and password = instead"),
        ]
    )
    func addresses(address: String, message: String) {
        let text = "[[link]]\nname = \"hub\"\naddresses = [\n\"\(address)\"]"
        #expect(complaints(text).first == "drawbridge.toml:4: link[0].addresses[0]: \(message)")
    }

    @Test("two links must not share a name, nor a client id at the same upstream")
    func pairs() {
        let rules = "[[link.out]]\nfilter = \"a\"\n"
        let again = "[[link]]\nname = \"other\"\naddresses = [\"mqtt://hub:1883\"]\nclient_id = \"host.hub\"\n"
        #expect(
            complaints(start + rules + start + rules + again + rules) == [
                "drawbridge.toml:7: link[1].name: \"hub\" is already the name of the link at drawbridge.toml:1",
                "drawbridge.toml:14: link[2].client_id: mqtt://hub:1883 would take \"host.hub\" for the link at "
                    + "drawbridge.toml:1, and each would throw the other out: give them different client ids",
            ]
        )
    }

    @Test("a link without rules carries nothing, and a password that all may read is none: both are warned about")
    func warnings() throws {
        let written = WrittenFiles(
            texts: ["d.toml": start + "password = { file = \"/run/p\" }", "/run/p": "x"], readableByAll: ["/run/p"]
        )
        let file = try ConfigurationFile.load(path: "d.toml", environment: [:], files: written.files)
        #expect(
            file.warnings.map(\.description) == [
                "d.toml:1: link[0]: carries nothing: add [[link.out]], [[link.in]] or [[link.both]]",
                "d.toml:4: link[0].password.file: /run/p can be read by every user: chmod o-r",
            ]
        )
    }
}

@Suite("The least check against loops")
struct ConfigurationLoopTests {
    private let old = start + "protocol = \"3.1.1\"\n"

    @Test("a 3.1.1 link whose messages come back and would go out again is refused")
    func loop() {
        #expect(
            complaints(old + "[[link.both]]\nfilter = \"chat/#\"") == [
                "drawbridge.toml:1: link[0]: what goes out from \"chat/#\" comes back in through \"chat/#\" and would go out "
                    + "again: use protocol = 5, or bridge_bit = true if the upstream is mosquitto, or different topics for "
                    + "the two directions"
            ]
        )
    }

    @Test("prefixes of both shift the two directions alike, so they do not help")
    func shifted() {
        let both = "[[link.both]]\nfilter = \"chat/#\"\nlocal_prefix = \"l/\"\nremote_prefix = \"r/\""
        #expect(complaints(old + both).count == 1)
    }

    @Test(
        "the bridge bit, version 5 and separate topics are fine",
        arguments: [
            "protocol = \"3.1.1\"\nbridge_bit = true\n[[link.both]]\nfilter = \"#\"",
            "protocol = 5\n[[link.both]]\nfilter = \"#\"",
            "protocol = \"3.1.1\"\n[[link.out]]\nfilter = \"up/#\"\n[[link.in]]\nfilter = \"down/#\"",
            "protocol = \"3.1.1\"\n[[link.out]]\nfilter = \"#\"\nto = \"up/{topic}\"\n[[link.in]]\nfilter = \"down/#\"",
            "protocol = \"3.1.1\"\n[[link.out]]\nfilter = \"+/x\"\nto = \"x/{1}\"\n[[link.in]]\nfilter = \"+/x/+\"",
            "protocol = \"3.1.1\"\n[[link.out]]\nfilter = \"a/#\"\nto = \"{topic}\"\n[[link.in]]\nfilter = \"+/#\"\n"
                + "exclude = [\"a/#\"]",
        ]
    )
    func fine(text: String) { #expect(complaints(start + text).isEmpty) }

    @Test(
        "templates are looked through, and exclusions help only where they take all of it",
        arguments: [
            "[[link.out]]\nfilter = \"+/x\"\nto = \"{1}/y\"\n[[link.in]]\nfilter = \"+/y\"\nto = \"{1}/x\"",
            "[[link.out]]\nfilter = \"a/#\"\nto = \"b/{#}\"\n[[link.in]]\nfilter = \"b/#\"\nto = \"a/{#}\"\nexclude = [\"b/c\"]",
            "[[link.out]]\nfilter = \"#\"\nto = \"{clientid}/{topic}\"\n[[link.in]]\nfilter = \"+/a\"",
        ]
    )
    func looped(rules: String) {
        let found = complaints(old + rules)
        #expect(found.count == 1)
        #expect(found.allSatisfy { $0.contains("and would go out again") && !$0.hasPrefix("warning") })
    }

    @Test(
        "an intersection is what both match",
        arguments: [
            ("a/#", "a", "a"), ("a/+/c", "+/b/#", "a/b/c"), ("#", "a/+", "a/+"), ("a/#", "a/#", "a/#"), ("+", "a", "a"),
            ("a", "b", nil), ("+/#", "a", "a"), ("#", "$SYS/x", nil), ("a/+", "a/#", "a/+"), ("a/+/#", "a", nil),
        ] as [(String, String, String?)]
    )
    func intersection(a: String, b: String, both: String?) {
        #expect(FilterText.intersection(a, b) == both)
        #expect(FilterText.intersection(b, a) == both)
        if let both { #expect(FilterText.covers(a, both) && FilterText.covers(b, both)) }
    }

    @Test(
        "a filter covers another when it matches all that that matches",
        arguments: [
            ("a/#", "a", true), ("a/#", "a/+/b/#", true), ("a/+", "a/#", false), ("+/b", "a/b", true),
            ("a/b", "+/b", false), ("#", "$SYS/#", false), ("#", "+/#", true), ("+", "#", false),
        ]
    )
    func covers(a: String, b: String, isCovered: Bool) { #expect(FilterText.covers(a, b) == isCovered) }

    @Test("what only comes back under another topic is warned about")
    func echo() {
        let rules = "[[link.out]]\nfilter = \"up/#\"\n[[link.in]]\nfilter = \"up/#\"\nto = \"mirror/{topic}\""
        #expect(
            complaints(old + rules) == [
                "warning: drawbridge.toml:1: link[0]: what goes out from \"up/#\" comes back in through \"up/#\" as "
                    + "\"mirror/up/#\": protocol \"3.1.1\" has no No Local"
            ]
        )
    }

    @Test(
        "two filters overlap when some topic matches both",
        arguments: [
            ("a/b", "a/b", true), ("a/b", "a/c", false), ("a/#", "a", true), ("a/+", "a", false), ("#", "a/b", true),
            ("#", "$SYS/x", false), ("+/x", "$SYS/x", false), ("$SYS/#", "$SYS/+", true), ("+/b", "a/+", true),
            ("a/+/c", "+/b/#", true), ("a/b/#", "a/+", true), ("a/b/c/#", "a/+", false), ("/a", "a", false),
        ]
    )
    func overlap(a: String, b: String, isOverlap: Bool) {
        #expect(FilterText.overlap(a, b) == isOverlap)
        #expect(FilterText.overlap(b, a) == isOverlap)
    }
}
