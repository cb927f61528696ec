import BrokerServer
import Foundation
import MQTTCodec
import Testing

@Suite("The configuration files and the documentation that come with the program")
struct ConfigurationExamplesTests {
    /// The repository, from Tests/BrokerServerTests/<this file>.
    private static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func load(_ path: String) throws -> ConfigurationFile {
        try ConfigurationFile.load(path: Self.repository.appending(path: path).path(), environment: [:])
    }

    private func text(_ path: String) throws -> String {
        try String(contentsOf: Self.repository.appending(path: path), encoding: .utf8)
    }

    @Test("the example and every bridge can be loaded as they are, without a warning")
    func loadable() throws {
        let bridges = try FileManager.default.contentsOfDirectory(
            atPath: Self.repository.appending(path: "bridges").path()
        ).filter { $0.hasSuffix(".toml") }.sorted()
        #expect(bridges.contains("mosquitto-upstream.toml") && bridges.contains("site-to-hub.toml"))
        for path in ["drawbridge.example.toml"] + bridges.map({ "bridges/\($0)" }) {
            let file = try load(path)
            #expect(file.warnings.isEmpty, "\(path)")
            #expect(!file.configuration.links.isEmpty, "\(path)")
        }
    }

    @Test("the values of the example are the defaults, save those marked as examples")
    func exampleShowsDefaults() throws {
        let example = try load("drawbridge.example.toml").configuration
        var expected = Configuration(node: NodeConfiguration(id: "edge-1"), links: example.links)
        if case .web(var web) = expected.listeners[1].kind {
            web.origins = ["https://chat.example.com", "https://*.example.com"]
            expected.listeners[1].kind = .web(web)
        }
        #expect(example == expected)
        #expect(example.links.map(\.name) == ["hq", "lab-mosquitto", "hub"])
        let hq = example.links[0]
        var defaults = LinkConfiguration(name: "hq", addresses: hq.addresses, clientID: "edge-1.hq")
        defaults.username = "edge-1"
        defaults.password = Secret(bytes: Array("example".utf8))
        defaults.outRules = hq.outRules
        defaults.inRules = hq.inRules
        #expect(hq == defaults)
    }

    @Test("the example and the documentation name every key that this version reads, and no other")
    func complete() throws {
        let tables: [KnownKeys] = [
            .root, .node, .log, .limits, .queue, .retained, .authentication, .listener, .linkDefaults, .link, .backoff,
            .rule,
            .bothRule,
        ]
        let example = try text("drawbridge.example.toml")
        let documentation = try text("docs/configuration.md")
        for key in Set(tables.flatMap(\.available)) {
            #expect(example.contains(try Regex("(?m)(^|[\\[{,. ])\(key)( *=|\\]|\\.)")), "\(key) in the example")
            #expect(
                documentation.contains("`\(key)`") || documentation.contains(".\(key)`")
                    || documentation.contains("[\(key)")
                    || documentation.contains(".\(key)]"),
                "\(key) in the documentation"
            )
        }
    }

    @Test("a bridge as the only file brings its link and the listeners on loopback")
    func bridges() throws {
        let hub = try load("bridges/site-to-hub.toml").configuration
        #expect(hub.listeners == ListenerConfiguration.defaults)
        #expect(hub.links[0].outRules[0].target(of: "sensors/hall") == "site/site-1/sensors/hall")
        #expect(hub.links[0].inRules[0].target(of: "site/site-1/cmd/open") == "cmd/open")
        let mosquitto = try load("bridges/mosquitto-upstream.toml").configuration.links[0]
        #expect(mosquitto.version == .v3_1_1 && mosquitto.usesBridgeBit)
        #expect(mosquitto.addresses == [LinkAddress(host: "127.0.0.1", port: 1884)])
    }

    @Test("patterns and missing files mean on the disk what they mean elsewhere")
    func disk() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "drawbridge-\(UUID().uuidString)").path()
        try FileManager.default.createDirectory(atPath: folder + "/conf.d", withIntermediateDirectories: true)
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        let link =
            "[[link]]\nname = \"NAME\"\naddresses = [\"mqtt://NAME\"]\npassword = { file = \"p\" }\n"
            + "[[link.out]]\nfilter = \"a\"\n"
        for (path, text) in [
            ("main.toml", "node.include = [\"conf.d/*.toml\"]"), ("conf.d/p", "x\n"), ("conf.d/skipped.txt", "?"),
            ("conf.d/b.toml", link.replacing("NAME", with: "b")), ("conf.d/a.toml", link.replacing("NAME", with: "a")),
        ] {
            try text.write(toFile: "\(folder)/\(path)", atomically: false, encoding: .utf8)
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "/conf.d/p")
        let file = try ConfigurationFile.load(path: folder + "/main.toml", environment: [:])
        #expect(file.configuration.links.map(\.name) == ["a", "b"])
        #expect(file.configuration.links.allSatisfy { $0.password == Secret(bytes: [0x78]) })
        #expect(file.warnings.isEmpty)

        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder + "/conf.d/p")
        #expect(try ConfigurationFile.load(path: folder + "/main.toml", environment: [:]).warnings.count == 2)
        #expect(throws: ConfigurationProblems.self) { try ConfigurationFile.load(path: folder, environment: [:]) }
    }
}

@Suite("Configuration files that were damaged")
struct ConfigurationDamageTests {
    /// A small generator with a known start, so that a failure can be repeated.
    private struct Seeded: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    @Test("damage anywhere ends in a configuration or in problems that have a line, never in a crash", arguments: 1...8)
    func damage(seed: UInt64) throws {
        let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "drawbridge.example.toml")
        let original = Array(try Data(contentsOf: url))
        let alphabet = Array("\"'[]{}=.,#\n\\$ a0-\u{0}é".utf8)
        var generator = Seeded(state: seed)
        for _ in 0..<50 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let position = Int.random(in: 0..<bytes.count, using: &generator)
                let byte = alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[position] = byte
                case 1: bytes.insert(byte, at: position)
                default: bytes.removeSubrange(position..<min(bytes.count, position + 40))
                }
            }
            let damaged = bytes
            let files = ConfigurationFiles(
                content: { path throws(ConfigurationFiles.Unreadable) in
                    guard path == "x.toml" else { throw ConfigurationFiles.Unreadable(reason: "absent") }
                    return ConfigurationFiles.Content(bytes: damaged)
                },
                matches: { _ in [] }
            )
            do throws(ConfigurationProblems) {
                _ = try ConfigurationFile.load(path: "x.toml", environment: [:], files: files)
            } catch {
                #expect(!error.problems.isEmpty)
                let isPlaced = error.problems.allSatisfy {
                    $0.line != nil || $0.message.hasPrefix("cannot be read") || $0.message == "is not UTF-8 text"
                }
                #expect(isPlaced, "\(error)")
            }
        }
    }
}
