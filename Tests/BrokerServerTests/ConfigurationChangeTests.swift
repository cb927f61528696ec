import BrokerServer
import Testing

@Suite("Configuration change")
struct ConfigurationChangeTests {
    private func change(_ old: String, _ new: String) throws -> ConfigurationChange {
        ConfigurationChange(from: try read(old).configuration, to: try read(new).configuration)
    }

    @Test("the same file changes nothing")
    func same() throws {
        let change = try change("[acl]\ndefault = \"allow\"", "[acl]\ndefault = \"allow\" # and a remark")
        #expect(change.live.isEmpty)
        #expect(change.needingRestart.isEmpty)
    }

    @Test("access rules are taken while it runs, also when they come or go as a whole")
    func rules() throws {
        let one = #"[acl]"# + "\n" + #"rules = [{ allow = "both", who = "all", topics = ["a"] }]"#
        let other = #"[acl]"# + "\n" + #"rules = [{ allow = "both", who = "all", topics = ["b"] }]"#
        for (old, new) in [(one, other), ("", one), (one, "")] {
            let change = try change(old, new)
            #expect(change.live == ["[acl]"])
            #expect(change.needingRestart.isEmpty)
        }
    }

    @Test(
        "everything else needs a restart, and is named",
        arguments: [
            ("[limits]\ninflight = 5", "[limits]"), ("[node]\nid = \"other\"", "[node]"),
            ("[log]\nlevel = \"debug\"", "[log]"), ("[queue]\nmax_messages = 7", "[queue]"),
            ("[retained]\nmax_messages = 7", "[retained]"), ("[durability]\nmode = \"normal\"", "[durability]"),
            ("[acl]\non_denied = \"disconnect\"", "acl.on_denied or acl.on_denied_v3"),
        ])
    func restart(text: String, name: String) throws {
        #expect(try change("", text).needingRestart == [name])
    }
}
