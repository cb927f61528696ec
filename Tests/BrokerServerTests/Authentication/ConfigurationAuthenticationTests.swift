import BrokerCore
import BrokerServer
import Testing

@Suite("[auth] in the configuration")
struct ConfigurationAuthenticationTests {
    private static let users = [
        "users":
            "ann:$6$I2QYoL0tfnQhV4lK$Lne+c1Bem7/6kA5wjAOJ/zsYcoYrYJqAaxzP0BgMUiV8Vc0wAaV9yvbMfnAyHqDBXrckgMDuPz3f72jkqQhlmQ==\n"
    ]

    @Test("a file of users is all that it takes")
    func users() throws {
        let file = try read("auth.users.file = \"users\"\n[[listener]]\nbind = [\"[::]:1883\"]", Self.users)
        #expect(file.warnings.isEmpty)
        let authentication = file.configuration.authentication
        #expect(authentication.chain == [.cert, .users])
        #expect(authentication.usersFile == "users" && !authentication.allowsAnonymous)
        #expect(BrokerSettings(file.configuration).admission == .asking)
    }

    @Test("without anybody to ask everybody is anonymous")
    func nobody() throws {
        for text in ["", "auth.anonymous = true", "auth.chain = []"] {
            let configuration = try read(text).configuration
            #expect(configuration.authentication.chain.isEmpty)
            #expect(BrokerSettings(configuration).admission == .anonymous)
        }
    }

    @Test("the chain is asked in its order")
    func chain() throws {
        let file = try read(
            "[auth]\nchain = [\"users\", \"cert\"]\nanonymous = true\nusers.file = \"users\"", Self.users)
        #expect(file.configuration.authentication.chain == [.users, .cert])
        #expect(file.configuration.authentication.allowsAnonymous)
        let certificates = try read("auth.chain = [\"cert\"]\n[[listener]]\nbind = [\"0.0.0.0:1883\"]")
        #expect(certificates.configuration.authentication.chain == [.cert])
    }

    @Test("the file lies beside the one that names it")
    func place() throws {
        let written = WrittenFiles(texts: [
            "/etc/d/main.toml": "auth.users.file = \"users\"", "/etc/d/users": Self.users["users"] ?? "",
        ])
        let file = try ConfigurationFile.load(
            path: "/etc/d/main.toml", environment: [:], files: written.files, hostName: "host")
        #expect(file.configuration.authentication.usersFile == "/etc/d/users")
    }

    @Test("what is wrong is said with its place, lines of the file of users included")
    func problems() {
        #expect(
            complaints("auth.users.file = \"users\"").first?.hasPrefix(
                "drawbridge.toml:1: auth.users.file: users cannot") == true)
        #expect(
            complaints("auth.users.file = \"users\"", ["users": "ann:$6$x\n\nbob\n"]) == [
                "users:1: the password hash is cut short or has too many parts",
                "users:3: a line is `name:hash`, and this one has no colon",
            ]
        )
        #expect(complaints("[auth.users]") == ["drawbridge.toml:1: auth.users: needs a file, as in file = \"users\""])
        #expect(
            complaints("auth.chain = [\"users\"]") == [
                "drawbridge.toml:1: auth.chain: names \"users\", and there is no [auth.users] with a file"
            ]
        )
        #expect(
            complaints("auth.chain = [\"jwt\", \"ldap\", \"cert\", \"cert\"]") == [
                "drawbridge.toml:1: auth.chain[0]: \"jwt\" is not available in this version, use \"cert\" or "
                    + "\"users\"",
                "drawbridge.toml:1: auth.chain[1]: must be \"cert\" or \"users\", found \"ldap\"",
                "drawbridge.toml:1: auth.chain[3]: \"cert\" stands here twice",
            ]
        )
        #expect(
            complaints("[auth.jwt]\naudience = \"x\"") == ["drawbridge.toml:1: auth.jwt: not available in this version"]
        )
        #expect(complaints("auth.users.path = \"x\"").contains { $0.contains("auth.users.path: unknown key") })
    }

    @Test("what is odd is warned about")
    func warnings() throws {
        #expect(complaints("auth.users.file = \"users\"", ["users": "# nobody\n"]).count == 1)
        #expect(
            complaints("[auth]\nchain = [\"cert\"]\nusers.file = \"users\"", Self.users) == [
                "warning: drawbridge.toml:2: auth.chain: does not name \"users\": the file of [auth.users] is not asked"
            ]
        )
        var written = WrittenFiles(
            texts: Self.users.merging(["drawbridge.toml": "auth.users.file = \"users\""]) { a, _ in a })
        written.readableByAll = ["users"]
        let file = try ConfigurationFile.load(
            path: "drawbridge.toml", environment: [:], files: written.files, hostName: "host")
        #expect(file.warnings.count == 1)
    }
}
