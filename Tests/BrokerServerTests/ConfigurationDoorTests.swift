import BrokerCore
import BrokerServer
import MQTTCodec
import Testing

@Suite("What a listener may say of its door")
struct ConfigurationDoorTests {
    private func listeners(_ text: String) throws -> [ListenerConfiguration] {
        try read(text).configuration.listeners
    }

    @Test("versions, allow, rate, PROXY protocol and proxies are read")
    func whole() throws {
        let door = try #require(
            try listeners(
                """
                [[listener]]
                bind = ["unix:/run/d/mqtt.sock", "127.0.0.1:0"]
                versions = ["3.1.1", "5"]
                allow = ["10.0.0.0/8", "127.0.0.1"]
                rate = { bytes = "100KiB/s", burst = "1MiB", messages = "200/s", connects = "500/s" }
                proxy_protocol = "v2"
                trusted_proxies = ["10.1.1.1", "unix"]
                [listener.limits]
                max_qos = 1
                retain_available = false
                wildcards = false
                max_packet = "2KiB"
                per_address = 3
                """
            ).first
        )
        #expect(door.addresses == [BindAddress(unixPath: "/run/d/mqtt.sock"), BindAddress(host: "127.0.0.1", port: 0)])
        #expect(door.versions == [.v3_1_1, .v5])
        #expect(door.allowed?.map(\.description) == ["10.0.0.0/8", "127.0.0.1"])
        #expect(door.rate.bytesPerSecond == 100 << 10 && door.rate.burstBytes == 1 << 20)
        #expect(door.rate.messagesPerSecond == 200 && door.rate.connectsPerSecond == 500)
        #expect(door.proxyProtocol == .v2)
        #expect(door.trustedProxies == TrustedProxies(["10.1.1.1", "unix"]))
        let limits = door.limits(within: LimitsConfiguration())
        #expect(limits.qosMax == 1 && !limits.retainsMessages && !limits.allowsWildcards)
        #expect(door.limits.connectionsPerAddressMax == 3 && limits.inflightMax == 32)
        #expect(limits.packetBytesMax == 2_048 && limits.connectBytesMax == 2_048)
    }

    @Test("a mux names whom it serves, and they need no address")
    func mux() throws {
        let doors = try listeners(
            """
            [[listener]]
            name = "one"
            type = "mux"
            bind = ["127.0.0.1:0"]
            serve = ["mqtt", "web"]
            [[listener]]
            name = "mqtt"
            bind = []
            [[listener]]
            name = "web"
            type = "web"
            bind = []
            """
        )
        #expect(doors.map(\.kind.isMux) == [true, false, false])
        #expect(doors.map(\.addresses.count) == [1, 0, 0])
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var text: String
        var lines: [String]

        init(_ text: String, _ lines: String...) {
            self.text = text
            self.lines = lines.map { "drawbridge.toml:" + $0 }
        }

        var testDescription: String { text }
    }

    static let problems: [Case] = [
        Case(
            "[[listener]]\nversions = [\"4\"]",
            "2: listener[0].versions[0]: must be \"3.1\" or \"3.1.1\" or \"5\" or \"5.0\", found \"4\""
        ),
        Case("[[listener]]\nversions = []", "2: listener[0].versions: must not be an empty list"),
        Case(
            "[[listener]]\nallow = [\"localhost\"]",
            "2: listener[0].allow[0]: must be an address or a range such as \"10.0.0.0/8\", found \"localhost\""
        ),
        Case(
            "[[listener]]\nrate = { bytes = \"100\", messages = 3, connects = \"0/s\" }",
            "2: listener[0].rate.bytes: must be a rate such as \"100KiB/s\", 1024 to 1099511627776, found \"100\"",
            "2: listener[0].rate.messages: must be a rate in quotes, such as \"200/s\", found 3",
            "2: listener[0].rate.connects: must be a rate such as \"500/s\", 1 to 1000000, found \"0/s\""
        ),
        Case("[[listener]]\nrate = { burst = \"1MiB\" }", "2: listener[0].rate.burst: needs `bytes` beside it"),
        Case(
            "[[listener]]\nproxy_protocol = \"v3\"",
            "2: listener[0].proxy_protocol: must be \"v1\" or \"v2\" or \"any\", found \"v3\""
        ),
        Case(
            "[[listener]]\ntrusted_proxies = [\"here\"]\nproxy_protocol = \"v1\"",
            "2: listener[0].trusted_proxies[0]: must be an address, a range such as \"10.0.0.0/8\", or \"unix\", found \"here\""
        ),
        Case(
            "[[listener]]\ntrusted_proxies = [\"10.0.0.1\"]",
            "2: listener[0].trusted_proxies: needs `proxy_protocol`: MQTT itself names no client behind a proxy"
        ),
        Case(
            "limits.max_qos = 1\n[[listener]]\n[listener.limits]\nmax_qos = 2\nmax_packet = \"2MiB\"",
            "4: listener[0].limits.max_qos: a listener may be tighter than [limits], not looser",
            "5: listener[0].limits.max_packet: a listener may be tighter than [limits], not looser"
        ),
        Case(
            "[[listener]]\n[listener.limits]\nsession_expiry = \"1d\"",
            "3: listener[0].limits.session_expiry: unknown key here (it belongs in [limits])"
        ),
        Case("[[listener]]\nserve = [\"a\"]", "2: listener[0].serve: is only for listeners of type \"mux\""),
        Case(
            "[[listener]]\ntype = \"mux\"",
            "1: listener[0].bind: is required for a listener of type \"mux\"",
            "1: listener[0].serve: is required: the names of listeners to serve on this port"
        ),
        Case(
            "[[listener]]\nname = \"m\"\n[[listener]]\ntype = \"mux\"\nbind = [\"127.0.0.1:0\"]\nserve = [\"m\", \"x\", \"mux\"]\n"
                + "paths = [\"/\"]",
            "6: listener[1].serve[1]: there is no listener \"x\"",
            "6: listener[1].serve[2]: \"mux\" is of type \"mux\" itself",
            "7: listener[1].paths: is for the listeners that this one serves"
        ),
        Case(
            "[[listener]]\nname = \"a\"\n[[listener]]\nname = \"b\"\nbind = []\n[[listener]]\ntype = \"mux\"\n"
                + "bind = [\"127.0.0.1:0\"]\nserve = [\"a\", \"b\"]",
            "9: listener[2].serve[1]: \"a\" already speaks mqtt in the clear here"
        ),
        Case(
            "[[listener]]\nbind = []\n[[listener]]\ntype = \"mux\"\nbind = [\"127.0.0.1:0\"]\nserve = [\"mux\"]",
            "2: listener[0].bind: must not be an empty list: no listener of type \"mux\" serves this one",
            "6: listener[1].serve[0]: \"mux\" is of type \"mux\" itself"
        ),
        Case(
            """
            [[listener]]
            name = "a"
            bind = []
            [listener.tls]
            cert = "a.crt"
            key = "a.key"
            client_ca = "ca.crt"
            client_cert = "required"
            [[listener]]
            name = "b"
            type = "web"
            bind = []
            [listener.tls]
            cert = "b.crt"
            key = "b.key"
            [[listener]]
            type = "mux"
            bind = ["127.0.0.1:0"]
            serve = ["b", "a"]
            """,
            "5: listener[0].tls.cert: a.crt cannot be read: No such file or directory",
            "14: listener[1].tls.cert: b.crt cannot be read: No such file or directory",
            "19: listener[2].serve[1]: \"a\" asks its clients for other certificates, names or versions of TLS than this "
                + "port does, which is asked before anybody knows what a client wants: say the same of client_cert, "
                + "client_ca, username and min_version"
        ),
        Case(
            "[[listener]]\nbind = [\"unix:/run/x\", \"unix:/run/x\"]",
            "2: listener[0].bind: unix:/run/x is already taken by unix:/run/x at drawbridge.toml:2"
        ),
    ]

    @Test("what does not fit is reported with its place", arguments: problems)
    func problem(_ it: Case) { #expect(complaints(it.text) == it.lines) }

    @Test("limits of the node are read and bounded")
    func limits() throws {
        let limits = try read(
            "[limits]\nmax_topic = 100\nmax_filters = 5\nmax_qos = 0\nretain_available = false\nwildcards = false\nper_address = 2"
        ).configuration.limits
        #expect(limits.topicBytesMax == 100 && limits.filtersPerPacketMax == 5 && limits.qosMax == 0)
        #expect(!limits.retainsMessages && !limits.allowsWildcards && limits.connectionsPerAddressMax == 2)
        #expect(complaints("[limits]\nmax_qos = 3") == ["drawbridge.toml:2: limits.max_qos: must be 0 to 2, found 3"])
    }
}

extension ListenerConfiguration.Kind {
    fileprivate var isMux: Bool { if case .mux = self { true } else { false } }
}
