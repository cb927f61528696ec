import BrokerServer
import Testing

@Suite("Sizes, durations and slips of the finger")
struct ConfigurationTextTests {
    @Test(
        "a size is a number and a unit",
        arguments: [
            ("0B", 0), ("64KiB", 65_536), ("2MB", 2_000_000), ("1kB", 1_000), ("8GiB", 8 << 30), ("1TiB", 1 << 40),
            ("", nil), ("5", nil), ("KiB", nil), ("-1B", nil), ("1.5MB", nil), ("1 KiB", nil), ("1kib", nil),
            ("9999999999TiB", nil), ("99999999999999999999B", nil),
        ] as [(String, Int?)]
    )
    func sizes(text: String, bytes: Int?) { #expect(SizeText.bytes(in: text) == bytes) }

    @Test(
        "a duration is a number and a unit",
        arguments: [
            ("500ms", .milliseconds(500)), ("30s", .seconds(30)), ("2m", .seconds(120)), ("1h", .seconds(3_600)),
            ("7d", .seconds(604_800)), ("0s", .zero), ("", nil), ("5", nil), ("s", nil), ("-1s", nil), ("1.5s", nil),
            ("1h30m", nil), ("1 s", nil), ("99999999999999999d", nil),
        ] as [(String, Duration?)]
    )
    func durations(text: String, duration: Duration?) { #expect(DurationText.duration(in: text) == duration) }

    @Test(
        "what is described can be read again", arguments: [0, 1, 1_000, 1_024, 65_536, 1 << 20, 3 << 30, 268_435_460])
    func descriptions(number: Int) {
        #expect(SizeText.bytes(in: SizeText.describe(number)) == number)
        #expect(DurationText.duration(in: DurationText.describe(.milliseconds(number))) == .milliseconds(number))
    }

    @Test("distance counts letters too many, missing, wrong and swapped")
    func distance() {
        #expect(EditDistance.between("listner", "listener") == 1)
        #expect(EditDistance.between("lsitener", "listener") == 1)
        #expect(EditDistance.between("", "abc") == 3)
        #expect(EditDistance.between("same", "same") == 0)
    }

    @Test("the nearest word is only named when it is near")
    func nearest() {
        #expect(EditDistance.nearest(to: "inflght", among: ["inflight", "max_packet"]) == "inflight")
        #expect(EditDistance.nearest(to: "Level", among: ["level"]) == "level")
        #expect(EditDistance.nearest(to: "colour", among: ["level", "format"]) == nil)
        #expect(EditDistance.nearest(to: String(repeating: "x", count: 100_000), among: ["level"]) == nil)
    }

    @Test(
        "an address is loopback only when no other machine can reach it",
        arguments: [
            ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("localhost", true), ("LocalHost", true),
            ("0.0.0.0", false), ("::", false), ("127.example.com", false), ("127.0.0.1.example.com", false),
            ("128.0.0.1", false), ("localhost.example.com", false), ("::ffff:127.0.0.1", true), ("127.1", false),
        ]
    )
    func loopback(host: String, isLoopback: Bool) {
        #expect(BindAddress(host: host, port: 1).isLoopback == isLoopback)
    }

    @Test(
        "two addresses collide when the system would refuse the second",
        arguments: [
            ("127.0.0.1", "127.0.0.1", true), ("localhost", "127.0.0.1", true), ("0.0.0.0", "127.0.0.1", true),
            ("::", "127.0.0.1", true), ("::", "::1", true), ("0.0.0.0", "::1", false),
            ("127.0.0.1", "127.0.0.2", false),
        ]
    )
    func collisions(a: String, b: String, isCollision: Bool) {
        #expect(BindAddress(host: a, port: 1).collides(with: BindAddress(host: b, port: 1)) == isCollision)
        #expect(BindAddress(host: b, port: 1).collides(with: BindAddress(host: a, port: 1)) == isCollision)
        #expect(!BindAddress(host: a, port: 1).collides(with: BindAddress(host: b, port: 2)))
        #expect(!BindAddress(host: a, port: 0).collides(with: BindAddress(host: b, port: 0)))
    }
}

@Suite("Lines of keys")
struct ConfigurationKeyLinesTests {
    private let text = #"""
        # [not.a.table]
        title = "x # [y]" # comment
        long = """
        [[link]]
        a = 1 \""" still
        """
        raw = '''
        [no]'''
        empty = """"""
        a.b = 1
        "quoted key".'c' = 2
        list = [ 1, # one ]
          [2,
           3], { x = 1, y = [ "]",
           "z" ] } ]
        when = 1979-05-27T07:32:00
        [ t . u ]
        k = "\\"
        [[link]]
        name = 'a'
        [[link.out]]
        filter = "a"
        [[link.out]]
        filter = "b"
        [link.tls]
        ca = "x"
        [[link]]
        backoff = { base = "1s", cap = "2m" }
        [[link.out]]
        filter = "c"
        """#

    @Test(
        "each key has its line, through strings, lists, inline tables and headers",
        arguments: [
            ("title", 2), ("long", 3), ("raw", 7), ("empty", 9), ("a.b", 10), ("quoted key.c", 11), ("list", 12),
            ("list[0]", 12), ("list[1]", 13), ("list[1][1]", 14), ("list[2].x", 14), ("list[2].y[1]", 15), ("when", 16),
            ("t", 17), ("t.u", 17), ("t.u.k", 18), ("link", 19), ("link[0]", 19), ("link[0].name", 20),
            ("link[0].out[0].filter", 22), ("link[0].out[1]", 23), ("link[0].out[1].filter", 24),
            ("link[0].tls.ca", 26),
            ("link[1]", 27), ("link[1].backoff.cap", 28), ("link[1].out[0].filter", 30),
        ]
    )
    func lines(path: String, line: Int) { #expect(KeyLines(text: text).line(of: path) == line) }

    @Test("what is not there has the line of what is around it")
    func around() {
        let lines = KeyLines(text: text)
        #expect(lines.line(of: "link[0].addresses[3]") == 19)
        #expect(lines.line(of: "nothing.here") == nil)
        #expect(lines.line(of: "") == nil)
        #expect(lines.line(of: "not.a.table") == nil)
        #expect(lines.line(of: "link[2]") == 19)
    }

    @Test(
        "slips that the parser would not survive are found before it",
        arguments: [
            ("a = 1\n[=]", 2, "a table header must hold a key"),
            ("a = 1\n[[ .b]]", 2, "a table header must hold a key"),
            ("a = 1\n[\r\n]", 2, "a table header must hold a key"),
            ("a = 1\nb = [\n1, }", 3, "expected a value or `]` in this list"),
            ("a = 1979-05-27 0 #", 1, "a date and time has no place here"),
            ("a = [[],\u{2028}", 1, "expected a value or `]` in this list"),
            ("a = \(String(repeating: "[", count: 100_000))", 1, "lists and tables are nested too deeply"),
            (Array(repeating: "a", count: 40_000).joined(separator: ".") + " = 1", 1, "a key has too many parts"),
            ("[" + Array(repeating: "a", count: 100_000).joined(separator: ".") + "]", 1, "a key has too many parts"),
            ("a = \(String(repeating: "{b=", count: 100_000))", 1, "lists and tables are nested too deeply"),
        ]
    )
    func faults(text: String, line: Int, message: String) {
        #expect(KeyLines(text: text).fault?.line == line)
        #expect(complaints(text) == ["drawbridge.toml:\(line): \(message)"])
    }

    @Test("an error before the slip is the one that is told")
    func earlierError() {
        #expect(complaints("a = \n[=]").first?.hasPrefix("drawbridge.toml:1:") == true)
        #expect(KeyLines(text: text).fault == nil)
    }

    @Test("the walk ends on a text cut anywhere, and on one that lost its first bytes")
    func cuts() {
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            _ = KeyLines(text: String(decoding: bytes[..<cut], as: UTF8.self))
            _ = KeyLines(text: String(decoding: bytes[cut...], as: UTF8.self))
        }
    }
}
