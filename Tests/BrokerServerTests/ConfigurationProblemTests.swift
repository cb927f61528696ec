import BrokerServer
import Testing

@Suite("Problems of a configuration file")
struct ConfigurationProblemTests {
    struct Case: CustomTestStringConvertible {
        let text: String
        let lines: [String]

        init(_ text: String, _ lines: String...) {
            self.text = text
            self.lines = lines
        }

        var testDescription: String { text.split(separator: "\n").joined(separator: " ⏎ ") }
    }

    @Test(
        "a key that is not read here is reported with its line and what was probably meant",
        arguments: [
            Case(
                "[limits]\n\ninflght = 3", "drawbridge.toml:3: limits.inflght: unknown key (did you mean `inflight`?)"),
            Case("[[listner]]", "drawbridge.toml:1: listner: unknown key (did you mean `listener`?)"),
            Case(
                "[limits]\nmax_bytes = 1",
                "drawbridge.toml:2: limits.max_bytes: unknown key here (it belongs in [queue])"),
            Case(
                "[log]\ncolour = 1",
                "drawbridge.toml:2: log.colour: unknown key (known here: level, format, denials)"
            ),
            Case(
                "[durability]\narchive = []",
                "drawbridge.toml:2: durability.archive: not available in this version"),
            Case(
                "[[durability.rule]]\nfilter = \"a/#/b\"\nmode = \"off\"",
                "drawbridge.toml:2: durability.rule[0].filter: `#` must be the whole last level, as in a/b/#; found "
                    + "`a/#/b`"),
            Case(
                "[[durability.rule]]\nfilter = \"a\"",
                "drawbridge.toml:1: durability.rule[0]: a durability rule needs `mode`"),
            Case(
                "durability.mode = \"fast\"",
                "drawbridge.toml:1: durability.mode: must be \"sync\" or \"normal\" or \"off\", found \"fast\""),
            Case(
                "[[listener]]\nmount = \"a\"",
                "drawbridge.toml:2: listener[0].mount: not available in this version"),
            Case(
                "[log]\nformat = \"text\"\ndenials = \"loud\"\n",
                "drawbridge.toml:3: log.denials: must be \"trace\" or \"debug\" or \"info\" or \"notice\" or \"warning\" or \"error\", found \"loud\""
            ),
        ]
    )
    func keys(_ it: Case) { #expect(complaints(it.text) == it.lines) }

    @Test(
        "a value says what was found and what is allowed",
        arguments: [
            Case("limits.inflight = 0", "drawbridge.toml:1: limits.inflight: must be 1 to 65535, found 0"),
            Case("limits.inflight = \"1\"", "drawbridge.toml:1: limits.inflight: must be 1 to 65535, found \"1\""),
            Case(
                "limits.write_buffer = \"1k\"",
                "drawbridge.toml:1: limits.write_buffer: must be a size of 4KiB to 1GiB, such as \"64KiB\" or \"2MB\", "
                    + "found \"1k\""
            ),
            Case(
                "limits.write_buffer = 1.5",
                "drawbridge.toml:1: limits.write_buffer: must be a size of 4KiB to 1GiB, found 1.5"
            ),
            Case(
                "limits.connect_timeout = 10",
                "drawbridge.toml:1: limits.connect_timeout: must be a duration of 100ms to 1h in quotes, such as \"30s\", "
                    + "found 10"
            ),
            Case(
                "limits.connect_timeout = \"1 s\"",
                "drawbridge.toml:1: limits.connect_timeout: must be a duration of 100ms to 1h, such as \"500ms\", \"30s\" "
                    + "or \"7d\", found \"1 s\""
            ),
            Case(
                "limits.connect_timeout = \"2h\"",
                "drawbridge.toml:1: limits.connect_timeout: must be 100ms to 1h, found \"2h\""),
            Case(
                "limits.session_expiry = \"1ms\"",
                "drawbridge.toml:1: limits.session_expiry: must be whole seconds, since MQTT counts them, found \"1ms\""
            ),
            Case(
                "log.level = \"loud\"",
                "drawbridge.toml:1: log.level: must be \"trace\" or \"debug\" or \"info\" or \"notice\" or \"warning\" or "
                    + "\"error\", found \"loud\""
            ),
            Case(
                "queue.on_full = \"drop\"",
                "drawbridge.toml:1: queue.on_full: must be \"drop-qos0-then-oldest\" or \"drop-oldest\" or "
                    + "\"drop-newest\" or \"reject\", found \"drop\""
            ),
            Case(
                "queue.max_age = \"500ms\"",
                "drawbridge.toml:1: queue.max_age: must be 1s to 3650d, or \"0s\" for as long as it takes"
            ),
            Case(
                "queue.watermarks = { low = 0.7 }",
                "drawbridge.toml:1: queue.watermarks: low (0.7) must be less than high (0.6)"
            ),
            Case(
                "[queue]\nwatermarks = { low = 0, high = 1.5 }",
                "drawbridge.toml:2: queue.watermarks.low: must be more than 0 and 1 at most, found 0",
                "drawbridge.toml:2: queue.watermarks.high: must be more than 0 and 1 at most, found 1.5"
            ),
            Case(
                "queue.watermarks = \"high\"",
                "drawbridge.toml:1: queue.watermarks: must be a table, found \"high\""
            ),
            Case("auth.anonymous = \"yes\"", "drawbridge.toml:1: auth.anonymous: must be true or false, found \"yes\""),
            Case("log = 1", "drawbridge.toml:1: log: must be a table, found 1"),
            Case(
                "[listener]\ntype = \"mqtt\"",
                "drawbridge.toml:1: listener: must be a list of tables: write [[listener]], found a table"
            ),
            Case(
                "node.id = \"a/b\"",
                "drawbridge.toml:1: node.id: must be 1 to 64 letters, digits, `-`, `_` or `.`, found \"a/b\""
            ),
            Case("node.data_dir = \"\"", "drawbridge.toml:1: node.data_dir: must not be empty"),
            Case(
                "node.data_dir = 1979-05-27",
                "drawbridge.toml:1: node.data_dir: must be text in quotes, found a date or time"),
            Case(
                "[limits]\nmax_packet = \"1KiB\"\nmax_connect = \"2KiB\"",
                "drawbridge.toml:3: limits.max_connect: must be at most limits.max_packet (1KiB), found 2KiB"
            ),
            Case(
                "queue.max_bytes = \"2KiB\"",
                "drawbridge.toml:1: queue.max_bytes: must be at least limits.max_packet (1MiB), so that any "
                    + "message fits, found 2KiB"
            ),
        ]
    )
    func values(_ it: Case) { #expect(complaints(it.text) == it.lines) }

    @Test(
        "listeners are checked one by one and together",
        arguments: [
            Case(
                "[[listener]]\nbind = [\n  \"127.0.0.1:1\",\n  \"0.0.0.0\"]",
                "drawbridge.toml:4: listener[0].bind[1]: must be \"host:port\": the port is missing, as in 127.0.0.1:1883; "
                    + "found \"0.0.0.0\""
            ),
            Case(
                "[[listener]]\nbind = [\"::1:1883\"]",
                "drawbridge.toml:2: listener[0].bind[0]: must be \"host:port\": an IPv6 address stands in brackets, as in "
                    + "[::1]:1883; found \"::1:1883\""
            ),
            Case(
                "[[listener]]\nbind = [\"127.0.0.1:70000\"]",
                "drawbridge.toml:2: listener[0].bind[0]: must be \"host:port\": the port must be 0 to 65535; "
                    + "found \"127.0.0.1:70000\""
            ),
            Case(
                "[[listener]]\nbind = [\"unix:run/x\"]",
                "drawbridge.toml:2: listener[0].bind[0]: must be `unix:` and an absolute path of at most 107 bytes, found \"unix:run/x\""
            ),
            Case("[[listener]]\nbind = []", "drawbridge.toml:2: listener[0].bind: must not be an empty list"),
            Case(
                "[[listener]]\ntype = \"admin\"",
                "drawbridge.toml:2: listener[0].type: \"admin\" is not available in this version, use \"mqtt\" or \"web\" or \"mux\""
            ),
            Case(
                "[[listener]]\npaths = [\"/\"]",
                "drawbridge.toml:2: listener[0].paths: is only for listeners of type \"web\""
            ),
            Case(
                "[[listener]]\nbind = [\"192.168.1.1:1883\"]",
                "drawbridge.toml:2: listener[0].bind: 192.168.1.1:1883 can be reached from other machines, and nobody has "
                    + "to show who it is: name a file of users ([auth.users] file = \"users\", made by `drawbridge passwd "
                    + "users NAME`), or bind to 127.0.0.1 / [::1] / localhost, or say auth.anonymous = true"
            ),
            Case(
                "auth.anonymous = true\n[[listener]]\nbind = [\"[::]:1883\"]\n[[listener]]\nbind = [\"127.0.0.1:1883\"]",
                "drawbridge.toml:5: listener[1].bind: 127.0.0.1:1883 is already taken by [::]:1883 at drawbridge.toml:3"
            ),
            Case(
                "[[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:0\"]\n[[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:0\"]",
                "drawbridge.toml:5: listener[1].name: \"a\" is already the name of the listener at drawbridge.toml:1"
            ),
            Case(
                "[[listener]]\ntype = \"web\"\npaths = [\"mqtt\"]\norigins = [\"chat.example.com\", \"https://a/\"]",
                "drawbridge.toml:3: listener[0].paths[0]: must be a path that begins with `/`, without `?`, `#` or spaces, "
                    + "found \"mqtt\"",
                "drawbridge.toml:4: listener[0].origins[0]: must be an origin such as \"https://chat.example.com\" or "
                    + "\"https://*.example.com\", found \"chat.example.com\"",
                "drawbridge.toml:4: listener[0].origins[1]: an origin ends with the host or port, without any `/` after it, "
                    + "found \"https://a/\""
            ),
            Case(
                "[[listener]]\ntype = \"web\"\norigins = [\"https://*.localhost\", \"https://a.*.b\"]",
                "drawbridge.toml:3: listener[0].origins[0]: `*.` stands before a domain of two parts or more, as in "
                    + "*.example.com, found \"https://*.localhost\"",
                "drawbridge.toml:3: listener[0].origins[1]: `*` may only stand for the first part of the host, as in "
                    + "https://*.example.com, found \"https://a.*.b\""
            ),
        ]
    )
    func listeners(_ it: Case) { #expect(complaints(it.text) == it.lines) }

    @Test(
        "variables that cannot be put in are reported",
        arguments: [
            Case(
                "node.id = \"${SITE}\"",
                "drawbridge.toml:1: node.id: the environment variable SITE is not set and has no default (${SITE:-default})"
            ),
            Case("node.id = \"${SITE\"", "drawbridge.toml:1: node.id: `${` without `}`; write `$${` for a plain `${`"),
            Case(
                "node.id = \"${a b}\"",
                "drawbridge.toml:1: node.id: `a b` is no name of an environment variable (letters, digits, _)"
            ),
        ]
    )
    func environment(_ it: Case) { #expect(complaints(it.text) == it.lines) }

    @Test("an error of syntax has its line and column")
    func syntax() throws {
        let error = #expect(throws: ConfigurationProblems.self) { try read("[log]\nlevel = info\n") }
        let problem = try #require(error?.problems.first)
        #expect(error?.problems.count == 1)
        #expect(problem.line == 2)
        #expect(problem.column ?? 0 >= 8)
        #expect(problem.description.hasPrefix("drawbridge.toml:2:"))
    }

    @Test(
        "NUL is refused, since the parser would drop what follows it",
        arguments: ["a = 1\n\0", "a = 1\nb = \"\\u0000\""])
    func nul(text: String) {
        #expect(complaints(text) == ["drawbridge.toml:2: NUL is not allowed, not even as \\u0000"])
    }

    @Test("text that is not UTF-8 is refused")
    func notUTF8() {
        let files = ConfigurationFiles(
            content: { _ throws(ConfigurationFiles.Unreadable) in ConfigurationFiles.Content(bytes: [0x61, 0xFF]) },
            matches: { _ in [] }
        )
        #expect(
            throws: ConfigurationProblems(problems: [ConfigurationProblem(file: "x", message: "is not UTF-8 text")])
        ) {
            try ConfigurationFile.load(path: "x", environment: [:], files: files)
        }
    }

    @Test("a folder of included files that cannot be read is an error: rules may stand in it")
    func unreadableFolder() {
        let files = ConfigurationFiles(
            content: { _ throws(ConfigurationFiles.Unreadable) in
                ConfigurationFiles.Content(bytes: Array("[node]\ninclude = [\"conf.d/*.toml\"]\n".utf8))
            },
            matches: { _ throws(ConfigurationFiles.Unreadable) in throw ConfigurationFiles.Unreadable(reason: "no") }
        )
        #expect {
            try ConfigurationFile.load(path: "etc/x", environment: [:], files: files)
        } throws: { error in
            (error as? ConfigurationProblems)?.problems.map(\.message) == ["etc/conf.d/*.toml cannot be looked for: no"]
        }
    }

    @Test("all problems come at once, from top to bottom")
    func allAtOnce() {
        let lines = complaints(
            """
            [limits]
            inflight = 0
            [[link]]
            name = "a b"
            addresses = ["hub"]
            [[link.out]]
            filter = "a"
            [queue]
            max_mesages = 1
            [[listener]]
            bind = ["0.0.0.0:1883"]
            """
        )
        #expect(lines.map { $0.prefix { $0 != " " } } == [2, 4, 5, 9, 11].map { "drawbridge.toml:\($0):" })
    }
}
