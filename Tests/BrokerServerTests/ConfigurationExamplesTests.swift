import BrokerCore
import BrokerServer
import Foundation
import MQTTCodec
import Spool
import Testing

@Suite("The configuration files and the documentation that come with the program")
struct ConfigurationExamplesTests {
    /// The repository, from Tests/BrokerServerTests/<this file>.
    private static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func load(_ path: String, _ environment: [String: String] = [:]) throws -> ConfigurationFile {
        try ConfigurationFile.load(path: Self.repository.appending(path: path).path(), environment: environment)
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
        // A cloud knows a device by its certificate, and its file has to be there.
        let folder = try TestCertificates().write()
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "/client.key")
        var environment: [String: String] = [:]
        for cloud in ["AWS", "EVENT_GRID"] {
            environment["\(cloud)_CERTIFICATE"] = "\(folder)/client.crt"
            environment["\(cloud)_KEY"] = "\(folder)/client.key"
        }
        for path in ["drawbridge.example.toml"] + bridges.map({ "bridges/\($0)" }) {
            let file = try load(path, environment)
            // The example shows rules for users, and its file of users is left for the reader to make.
            let warnings = file.warnings.filter { !$0.message.hasPrefix("rules speak of users") }
            #expect(warnings.isEmpty, "\(path)")
            #expect(!file.configuration.links.isEmpty, "\(path)")
        }
    }

    @Test("the values of the example are the defaults, save those marked as examples")
    func exampleShowsDefaults() throws {
        let example = try load("drawbridge.example.toml").configuration
        var expected = Configuration(node: NodeConfiguration(id: "edge-1"), links: example.links)
        expected.node.loopCount = 4
        expected.access = try accessOfExample(example)
        expected.durability.rules = [DurabilityRuleConfiguration(filter: "telemetry/#", mode: .normal)]
        if case .web(var web) = expected.listeners[1].kind {
            web.origins = try [WebOriginPattern("https://chat.example.com"), WebOriginPattern("https://*.example.com")]
            expected.listeners[1].kind = .web(web)
        }
        #expect(example == expected)
        #expect(example.links.map(\.name) == ["hq", "lab-mosquitto", "hub"])
        let hq = example.links[0]
        var defaults = LinkConfiguration(name: "hq", addresses: hq.addresses, clientID: "edge-1.hq")
        defaults.username = "edge-1"
        defaults.password = .text(Secret(bytes: Array("example".utf8)))
        // What goes out over `chat/#` would come back by 3.1.1.
        defaults.versions = [.v5]
        defaults.outRules = hq.outRules
        defaults.inRules = hq.inRules
        #expect(hq == defaults)
    }

    @Test("the example and the documentation name every key that this version reads, and no other")
    func complete() throws {
        let tables: [KnownKeys] = [
            .root, .node, .log, .durability, .durabilityRule, .linkSpool, .limits, .queue, .watermarks, .retained,
            .authentication,
            .authenticationUsers, .access, .accessFile, .accessRule, .accessWho, .accessTopic, .listener,
            .listenerLimits, .rate, .deflate,
            .listenerTLS,
            .linkDefaults, .link, .linkTLS, .linkStart, .linkStatus, .backoff, .password,
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

    /// Its rules are examples; the rest of `[acl]` shows the defaults.
    private func accessOfExample(_ example: Configuration) throws -> AccessConfiguration {
        var expected = AccessConfiguration()
        expected.rules = example.access.rules
        let origins = try #require(example.access.rules).map(\.origin.description)
        #expect(origins.contains { $0.contains("drawbridge.example.toml:") })
        #expect(origins.contains { $0.contains("acl.example.toml:") })
        #expect(origins.last == "preset chat")
        func isAllowed(_ user: String, _ action: AccessExplanation.Action, _ topic: String) throws -> Bool {
            try AccessExplanation(
                example.access, username: user, clientID: "c", address: "10.1.2.3", action, topic
            ).isAllowed
        }
        #expect(try isAllowed("dashboard", .subscribe, "$SYS/#"))
        #expect(try !isAllowed("alice", .subscribe, "#"))
        #expect(try isAllowed("alice", .publish, "user/bob/inbox/alice"))
        #expect(try !isAllowed("alice", .publish, "user/bob/inbox/carol"))
        #expect(try isAllowed("alice", .subscribe, "group/staff/inbox/+"))
        #expect(try !isAllowed("carol", .subscribe, "group/staff/inbox/+"))
        #expect(try isAllowed("back-end", .publish, "push/user/alice/offer"))
        return expected
    }

    @Test("a bridge as the only file brings its link and the listeners on loopback")
    func bridges() throws {
        let hub = try load("bridges/site-to-hub.toml").configuration
        #expect(hub.listeners == ListenerConfiguration.defaults)
        #expect(hub.links[0].outRules[0].map("sensors/hall") == "site/site-1/sensors/hall")
        #expect(hub.links[0].inRules[0].map("site/site-1/cmd/open") == "cmd/open")
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
        #expect(file.configuration.links.allSatisfy { $0.password == .file(folder + "/conf.d/p") })
        #expect(file.warnings.isEmpty)

        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder + "/conf.d/p")
        #expect(try ConfigurationFile.load(path: folder + "/main.toml", environment: [:]).warnings.count == 2)
        #expect(throws: ConfigurationProblems.self) { try ConfigurationFile.load(path: folder, environment: [:]) }
    }
}
