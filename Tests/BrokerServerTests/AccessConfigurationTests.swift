import BrokerCore
import BrokerServer
import MQTTCodec
import Testing

@Suite("[acl]: rules, files of rules, presets, and what they mean")
struct AccessConfigurationTests {
    private func explain(
        _ configuration: Configuration,
        _ user: String?,
        _ action: AccessExplanation.Action,
        _ topic: String,
        client: String = "c",
        address: String? = nil
    ) throws -> AccessExplanation {
        try AccessExplanation(
            configuration.access, username: user, clientID: client, address: address, action, topic)
    }

    @Test("without [acl] nothing is asked; with an empty one nobody may do anything")
    func none() throws {
        let open = try read("").configuration
        #expect(open.access.compiled.isOpen)
        #expect(try explain(open, nil, .publish, "a").isAllowed)
        let empty = try read("[acl]")
        #expect(
            empty.warnings.map(\.description) == [
                "drawbridge.toml:1: acl: has no rules: nobody may publish or subscribe"
            ])
        #expect(!empty.configuration.access.compiled.isOpen)
        #expect(try !explain(empty.configuration, "root", .publish, "a").isAllowed)
        #expect(BrokerSettings(empty.configuration).access.isOpen == false)
    }

    @Test("the rules of this file come first, then those of the other file, then the presets")
    func order() throws {
        let file = try read(
            """
            [acl]
            rules = [
              { deny  = "publish", who = { user = "eve" }, topics = ["#"] },
              { allow = "both",    who = [{ user = ["ann", "ben"], address = "10.0.0.0/8" }, { client = "kiosk" }], topics = ["shop/#", { eq = "#" }] },
            ]
            file = "rules/acl.toml"
            presets = ["chat", "push"]
            on_denied = "disconnect"
            on_denied_v3 = "disconnect"
            [log]
            denials = "warning"
            """,
            ["rules/acl.toml": "# rules\n\n[[rules]]\nallow = \"publish\"\nwho = \"all\"\ntopics = [\"t/%u\"]\n"]
        )
        #expect(
            file.warnings.map(\.message) == [
                "rules speak of users, but [auth] asks nobody who they are: everybody is anonymous"
            ]
        )
        let access = file.configuration.access
        let rules = try #require(access.rules)
        #expect(
            rules.map(\.origin.description) == ["drawbridge.toml:3", "drawbridge.toml:4", "rules/acl.toml:3"]
                + Array(repeating: "preset chat", count: 3) + ["preset push"]
        )
        #expect(
            rules[1].description
                == "allow both, who user ann|ben and address 10.0.0.0/8 or client kiosk, topics shop/#, { eq = \"#\" }")
        #expect(access.deniedPublish == .disconnect)
        #expect(access.deniedPublishOfVersion3 == .disconnect)
        #expect(file.configuration.log.denials == .warning)
        let settings = BrokerSettings(file.configuration)
        #expect(settings.deniedPublish == .disconnect && settings.deniedPublishOfVersion3 == .disconnect)
        #expect(try !explain(file.configuration, "eve", .publish, "t/eve").isAllowed)
        #expect(try explain(file.configuration, "ann", .publish, "shop/1", address: "10.1.1.1").isAllowed)
        #expect(try !explain(file.configuration, "ann", .publish, "shop/1", address: "11.1.1.1").isAllowed)
        #expect(try explain(file.configuration, nil, .subscribe, "#", client: "kiosk").isAllowed)
        #expect(try explain(file.configuration, "111", .publish, "user/222/inbox/111").isAllowed)
        #expect(try explain(file.configuration, "111", .subscribe, "push/all/#").isAllowed)
    }

    @Test("a file that cannot be read stops the start, with the key and the file")
    func missing() {
        #expect(
            complaints("[acl]\nfile = \"acl.toml\"") == [
                "acl.toml: cannot be read: No such file or directory",
                "warning: drawbridge.toml:1: acl: has no rules: nobody may publish or subscribe",
            ]
        )
    }

    @Test(
        "an empty file, or one without rules, allows nobody anything", arguments: ["", "\n# nothing\n", "rules = []"])
    func empty(_ text: String) throws {
        let file = try read("[acl]\nfile = \"acl.toml\"", ["acl.toml": text])
        #expect(file.warnings.last?.message.contains("has no rules") == true)
        #expect(try !explain(file.configuration, "alice", .publish, "a").isAllowed)
        #expect(try !explain(file.configuration, "alice", .subscribe, "a").isAllowed)
    }

    @Test(
        "a broken line stops the start, with file and line",
        arguments: [
            (
                "{ allow = \"publish\", topics = [\"a\"] }",
                "acl.toml:2: rules[0]: a rule needs `who`, as in who = \"all\""
            ),
            (
                "{ allow = \"publish\", who = \"all\" }",
                "acl.toml:2: rules[0]: a rule needs `topics`, as in topics = [\"user/%u/#\"]"
            ),
            (
                "{ who = \"all\", topics = [\"a\"] }",
                "acl.toml:2: rules[0]: a rule needs `allow` or `deny`, as in allow = \"publish\""
            ),
            (
                "{ allow = \"publish\", deny = \"both\", who = \"all\", topics = [\"a\"] }",
                "acl.toml:2: rules[0]: a rule has `allow` or `deny`, not both"
            ),
            (
                "{ allow = \"write\", who = \"all\", topics = [\"a\"] }",
                "acl.toml:2: rules[0].allow: must be \"publish\" or \"subscribe\" or \"both\", found \"write\""
            ),
            (
                "{ allow = \"both\", who = \"everybody\", topics = [\"a\"] }",
                "acl.toml:2: rules[0].who: must be \"all\" or a table such as { user = \"alice\" }, found \"everybody\""
            ),
            (
                "{ allow = \"both\", who = {}, topics = [\"a\"] }",
                "acl.toml:2: rules[0].who: must name a `user`, a `client` or an `address`; everybody is \"all\""
            ),
            (
                "{ allow = \"both\", who = [], topics = [\"a\"] }",
                "acl.toml:2: rules[0].who: must be \"all\" or a table such as { user = \"alice\" }, found a list"
            ),
            (
                "{ allow = \"both\", who = { user = \"\" }, topics = [\"a\"] }",
                "acl.toml:2: rules[0].who.user: must not be empty"
            ),
            (
                "{ allow = \"both\", who = { usr = \"a\" }, topics = [\"a\"] }",
                "acl.toml:2: rules[0].who.usr: unknown key (did you mean `user`?)"
            ),
            (
                "{ allow = \"both\", who = { address = \"10.0.0.0/33\" }, topics = [\"a\"] }",
                "acl.toml:2: rules[0].who.address: must be an address or a range such as \"10.0.0.0/8\", found \"10.0.0.0/33\""
            ),
            (
                "{ allow = \"both\", who = \"all\", topics = [] }",
                "acl.toml:2: rules[0].topics: must be a list of topics that is not empty, found a list"
            ),
            (
                "{ allow = \"both\", who = \"all\", topics = [\"a#\"] }",
                "acl.toml:2: rules[0].topics[0]: `#` must be the whole last level, as in a/b/#; found `a#`"
            ),
            (
                "{ allow = \"both\", who = \"all\", topics = [\"$share/g/a\"] }",
                "acl.toml:2: rules[0].topics[0]: a rule is about what is behind $share and the name of the group: leave them out"
            ),
            (
                "{ allow = \"both\", who = \"all\", topics = [{ equal = \"#\" }] }",
                "acl.toml:2: rules[0].topics[0].equal: unknown key (known here: eq)"
            ),
            (
                "{ allow = \"both\", who = \"all\", topics = [7] }",
                "acl.toml:2: rules[0].topics[0]: must be text in quotes, found 7"
            ),
            (
                "{ allow = \"both\", who = \"all\", topics = [\"a\"], when = \"noon\" }",
                "acl.toml:2: rules[0].when: unknown key (known here: allow, deny, who, topics)"
            ),
            ("7", "acl.toml:2: rules[0]: must be a table: write [[rules]], found 7"),
        ]
    )
    func broken(_ rule: String, _ complaint: String) {
        let lines = complaints("[acl]\nfile = \"acl.toml\"", ["acl.toml": "rules = [\n\(rule)\n]"])
        #expect(lines.contains(complaint), "\(lines)")
        #expect(throws: ConfigurationProblems.self) {
            try read("[acl]\nfile = \"acl.toml\"", ["acl.toml": "rules = [\n\(rule)\n]"])
        }
    }

    @Test("what is no rule file is not read as one")
    func foreign() {
        #expect(
            complaints("[acl]\nfile = \"acl.toml\"", ["acl.toml": "{allow, all}."]).first?.hasPrefix("acl.toml:1")
                == true)
        #expect(
            complaints("[acl]\nfile = \"acl.toml\"", ["acl.toml": "user alice\ntopic read #\n"]).first?
                .hasPrefix("acl.toml:1") == true)
        #expect(
            complaints("[acl]\nfile = \"acl.toml\"", ["acl.toml": "[acl]\nrules = []"]).first
                == "acl.toml:1: acl: unknown key (known here: rules)")
    }

    @Test("a preset beside default = \"allow\" would promise what it does not keep")
    func presetAndDefault() throws {
        #expect(
            complaints("[acl]\ndefault = \"allow\"\npresets = [\"chat\"]") == [
                "drawbridge.toml:3: acl.presets[0]: a preset needs default = \"deny\"",
                "warning: drawbridge.toml:1: acl: rules speak of users, but [auth] asks nobody who they are: everybody is anonymous",
            ]
        )
        #expect(
            complaints("[acl]\npresets = [\"chats\"]").first
                == "drawbridge.toml:2: acl.presets[0]: must be \"chat\" or \"push\", found \"chats\"")
        let allowing = try read("[acl]\ndefault = \"allow\"").configuration
        #expect(try explain(allowing, nil, .publish, "a").isAllowed)
        #expect(try !explain(allowing, nil, .publish, "$SYS/a").isAllowed)
    }

    @Test("an explanation names the rule with file and line, and what is held back")
    func explanation() throws {
        let configuration = try read(
            """
            [acl]
            rules = [
              { deny = "subscribe", who = "all", topics = ["secret/%u"] },
              { allow = "both", who = "all", topics = ["#"] },
            ]
            """
        ).configuration
        #expect(
            try explain(configuration, "alice", .subscribe, "#").lines == [
                "allowed: subscribe #",
                "  drawbridge.toml:4: allow both, who all, topics #",
                "  except what this denies: drawbridge.toml:3: deny subscribe, who all, topics secret/%u",
            ]
        )
        #expect(
            try explain(configuration, "alice", .subscribe, "secret/alice").lines == [
                "denied: subscribe secret/alice", "  drawbridge.toml:3: deny subscribe, who all, topics secret/%u",
            ]
        )
        #expect(
            try explain(configuration, "a/b", .subscribe, "secret/x").lines.last
                == "  the user name cannot stand for %u: rules with it allow nothing and deny all they could")
        #expect(
            try explain(configuration, "alice", .publish, "$SYS/x").lines == [
                "denied: publish $SYS/x", "  topics that begin with $ belong to the server",
            ]
        )
        let closed = try read("acl = { rules = [] }").configuration
        #expect(
            try explain(closed, "alice", .publish, "x").lines
                == ["denied: publish x", "  no rule matches: default = \"deny\""])
        #expect(throws: AccessExplanation.Unaskable.self) { try explain(closed, "alice", .publish, "a/#") }
        #expect(throws: AccessExplanation.Unaskable.self) { try explain(closed, "alice", .subscribe, "a#") }
    }
}
