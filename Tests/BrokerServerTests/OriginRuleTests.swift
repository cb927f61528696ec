import BrokerCore
import BrokerServer
import TestSupport
import Testing

@Suite("Origin rule")
struct OriginRuleTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var listener = "127.0.0.1"
        var at: NetworkAddress = "127.0.0.1"
        var origin: String?
        var host: String?
        var passes: Bool
        var why: String

        var testDescription: String { why }
    }

    static let cases: [Case] = [
        Case(origin: nil, host: "127.0.0.1:8083", passes: true, why: "programs send no Origin"),
        Case(origin: "http://127.0.0.1:8083", host: "127.0.0.1:8083", passes: true, why: "the page of the listener"),
        Case(origin: "http://localhost:8083", host: "localhost:8083", passes: true, why: "by name"),
        Case(origin: "http://LOCALHOST:8083", host: "LocalHost:8083", passes: true, why: "names have no case"),
        Case(at: "::1", origin: "http://[::1]:8083", host: "[::1]:8083", passes: true, why: "IPv6 loopback"),
        Case(origin: "http://localhost", host: "localhost:80", passes: true, why: "80 is the default port"),
        Case(origin: "http://localhost:80", host: "localhost", passes: true, why: "80 is the default port, other way"),
        Case(origin: "http://localhost:3000", host: "localhost:8083", passes: false, why: "another port"),
        Case(origin: "https://localhost:8083", host: "localhost:8083", passes: false, why: "another scheme"),
        Case(origin: "http://localhost:8083", host: "127.0.0.1:8083", passes: false, why: "another name of the host"),
        Case(origin: "http://evil.example", host: "localhost:8083", passes: false, why: "a stranger's page"),
        Case(
            origin: "http://evil.example:8083",
            host: "evil.example:8083",
            passes: false,
            why: "DNS rebinding: both agree on a name that is not ours"
        ),
        Case(
            listener: "0.0.0.0",
            at: "192.168.1.5",
            origin: "http://evil.example:8083",
            host: "evil.example:8083",
            passes: false,
            why: "DNS rebinding against a wildcard listener"
        ),
        Case(origin: "null", host: "localhost:8083", passes: false, why: "a sandboxed page or a file"),
        Case(origin: "http://localhost:8083", host: nil, passes: false, why: "no Host"),
        Case(origin: "", host: "localhost:8083", passes: false, why: "empty"),
        Case(origin: "http://", host: "", passes: false, why: "both empty"),
        Case(origin: "http://localhost:8083/", host: "localhost:8083", passes: false, why: "an Origin has no path"),
        Case(origin: "http://me@localhost:8083", host: "me@localhost:8083", passes: false, why: "a user name"),
        Case(origin: "http://localhost:8083, http://localhost:8083", host: "localhost:8083", passes: false, why: "two"),
        Case(origin: "http://localhost:99999", host: "localhost:99999", passes: false, why: "no such port"),
        Case(origin: "http://localhost:-1", host: "localhost:-1", passes: false, why: "a negative port"),
        Case(origin: "http://localhost:", host: "localhost:", passes: false, why: "a colon without port"),
        Case(origin: "http://localhost.evil.example", host: "localhost", passes: false, why: "a prefix of ours"),
        Case(origin: "http://xlocalhost", host: "xlocalhost", passes: false, why: "a suffix of ours"),
        Case(origin: "chrome-extension://abc", host: "localhost:8083", passes: false, why: "an extension"),

        Case(
            listener: "192.168.1.5",
            at: "192.168.1.5",
            origin: "http://192.168.1.5:8083",
            host: "192.168.1.5:8083",
            passes: true,
            why: "the address that is bound"
        ),
        Case(
            listener: "192.168.1.5",
            at: "192.168.1.5",
            origin: "http://localhost:8083",
            host: "localhost:8083",
            passes: false,
            why: "loopback is no name of a listener elsewhere"
        ),
        Case(
            listener: "edge.example.com",
            at: "192.168.1.5",
            origin: "http://edge.example.com:8083",
            host: "edge.example.com:8083",
            passes: true,
            why: "the name that is bound"
        ),
        Case(
            listener: "0.0.0.0",
            at: "10.0.0.7",
            origin: "http://10.0.0.7:8083",
            host: "10.0.0.7:8083",
            passes: true,
            why: "the address that the connection came in at"
        ),
        Case(
            listener: "::",
            at: "::ffff:10.0.0.7",
            origin: "http://10.0.0.7:8083",
            host: "10.0.0.7:8083",
            passes: true,
            why: "the same, mapped into IPv6"
        ),
        Case(
            listener: "::",
            at: "fd00::7",
            origin: "http://[fd00::7]:8083",
            host: "[FD00::7]:8083",
            passes: true,
            why: "an IPv6 address of ours"
        ),
        Case(
            listener: "0.0.0.0",
            at: "10.0.0.7",
            origin: "http://10.0.0.8:8083",
            host: "10.0.0.8:8083",
            passes: false,
            why: "an address that is not ours"
        ),
        Case(
            listener: "0.0.0.0",
            at: "10.0.0.7",
            origin: "http://edge-1.site.example:8083",
            host: "edge-1.site.example:8083",
            passes: true,
            why: "the system's name"
        ),
        Case(
            listener: "0.0.0.0",
            at: "10.0.0.7",
            origin: "http://edge-1:8083",
            host: "edge-1:8083",
            passes: true,
            why: "its first label"
        ),
        Case(
            listener: "0.0.0.0",
            at: "10.0.0.7",
            origin: "http://edge-1.local:8083",
            host: "edge-1.local:8083",
            passes: true,
            why: "its name on the local link"
        ),

        Case(origin: "https://chat.example.com", host: "localhost:8083", passes: true, why: "configured"),
        Case(origin: "https://chat.example.com:443", host: "localhost:8083", passes: true, why: "its default port"),
        Case(origin: "http://chat.example.com", host: "localhost:8083", passes: false, why: "configured for https"),
        Case(origin: "https://chat.example.com:444", host: "localhost:8083", passes: false, why: "configured for 443"),
        Case(origin: "https://a.plant.example", host: "x", passes: true, why: "under a configured domain"),
        Case(origin: "https://a.b.plant.example", host: "x", passes: true, why: "deeper under it"),
        Case(origin: "https://plant.example", host: "x", passes: false, why: "the domain itself"),
        Case(origin: "https://.plant.example", host: "x", passes: false, why: "an empty label"),
        Case(origin: "https://evilplant.example", host: "x", passes: false, why: "only the end is the same"),
        Case(origin: "https://a.plant.example.evil.example", host: "x", passes: false, why: "only the start"),
        Case(origin: "https://*.plant.example", host: "x", passes: false, why: "the pattern itself"),
    ]

    @Test("who passes and who does not", arguments: cases)
    func table(_ test: Case) throws {
        let rule = OriginRule(
            listenerHost: test.listener,
            patterns: try ["https://chat.example.com", "https://*.plant.example"].map(WebOriginPattern.init),
            allowsMissingOrigin: true,
            systemName: "Edge-1.site.example"
        )
        let passes = rule.accepts(origins: test.origin.map { [$0] } ?? [], host: test.host, localAddress: test.at)
        #expect(passes == test.passes)
    }

    @Test("two Origin fields never pass, and a listener may insist on one")
    func count() {
        func rule(_ allowsMissing: Bool) -> OriginRule {
            OriginRule(listenerHost: "::1", patterns: [], allowsMissingOrigin: allowsMissing, systemName: nil)
        }
        let own = "http://localhost"
        #expect(!rule(true).accepts(origins: [own, own], host: "localhost", localAddress: "::1"))
        #expect(rule(false).accepts(origins: [own], host: "localhost", localAddress: "::1"))
        #expect(!rule(false).accepts(origins: [], host: "localhost", localAddress: "::1"))
    }

    @Test("a plain GET to a loopback listener is answered under its own names only")
    func hosts() throws {
        let loopback = OriginRule(
            listenerHost: "localhost",
            patterns: [try WebOriginPattern("https://chat.example.com")],
            allowsMissingOrigin: true,
            systemName: nil
        )
        #expect(loopback.acceptsHost("localhost:8083", localAddress: "127.0.0.1"))
        #expect(loopback.acceptsHost("chat.example.com", localAddress: "127.0.0.1"))
        #expect(!loopback.acceptsHost("evil.example:8083", localAddress: "127.0.0.1"))
        let open = OriginRule(listenerHost: "::", patterns: [], allowsMissingOrigin: true, systemName: nil)
        #expect(open.acceptsHost("drawbridge:8083", localAddress: "10.0.0.7"))
    }

    @Test(
        "what is no pattern is not taken for one",
        arguments: [
            "*", "https://", "chat.example.com", "https://*", "https://*.com", "https://a.*.example", "ws://a.b",
            "https://a.b/c", "https://*.localhost", "https://*.[::1]", "https://*.*.b.c",
        ]
    )
    func badPatterns(_ text: String) {
        #expect(throws: WebOrigin.Invalid.self) { try WebOriginPattern(text) }
    }
}
