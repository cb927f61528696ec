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
        #expect(!change.changesAccess && change.changedLinks.isEmpty)
    }

    @Test("access rules are taken while it runs, also when they come or go as a whole")
    func rules() throws {
        let one = #"[acl]"# + "\n" + #"rules = [{ allow = "both", who = "all", topics = ["a"] }]"#
        let other = #"[acl]"# + "\n" + #"rules = [{ allow = "both", who = "all", topics = ["b"] }]"#
        for (old, new) in [(one, other), ("", one), (one, "")] {
            let change = try change(old, new)
            #expect(change.live == ["[acl]"])
            #expect(change.changesAccess)
            #expect(change.needingRestart.isEmpty)
        }
    }

    @Test(
        "simple values are taken while it runs, and named",
        arguments: [
            ("[limits]\ninflight = 5", "[limits]"),
            ("[limits]\nmax_packet = \"2KiB\"\nmax_connect = \"1KiB\"", "[limits]"),
            ("[log]\nlevel = \"debug\"", "[log]"), ("[log]\ndenials = \"debug\"", "[log]"),
            ("[queue]\nmax_messages = 7", "[queue]"), ("[retained]\nmax_messages = 7", "[retained]"),
            ("[subscriptions]\noverlapping = \"each\"", "[subscriptions]"),
            ("[shared_subscriptions]\norder = \"publisher\"", "[shared_subscriptions]"),
            ("[acl]\ndefault = \"allow\"\non_denied = \"disconnect\"", "[acl]"),
        ])
    func live(text: String, name: String) throws {
        let change = try change("", text)
        #expect(change.live == [name])
        #expect(change.needingRestart.isEmpty)
    }

    @Test(
        "everything else needs a restart, and is named",
        arguments: [
            ("[limits]\nmax_connections = 5", "limits.max_connections"),
            ("[limits]\nconnect_timeout = \"5s\"", "limits.connect_timeout"),
            ("[limits]\nwrite_buffer = \"5KiB\"", "limits.write_buffer"), ("[node]\nid = \"other\"", "[node]"),
            ("[log]\nformat = \"json\"", "log.format"),
            ("[durability]\nmode = \"normal\"", "[durability]"),
        ])
    func restart(text: String, name: String) throws {
        let change = try change("", text)
        #expect(change.needingRestart == [name])
        #expect(change.live.isEmpty)
    }

    @Test("what needs a restart and what does not are told apart when both changed")
    func both() throws {
        let change = try change(
            "", "[limits]\nmax_connections = 5\ninflight = 5\n[log]\nlevel = \"debug\"\nformat = \"json\"")
        #expect(change.live == ["[log]", "[limits]"])
        #expect(change.needingRestart == ["log.format", "limits.max_connections"])
    }

    private func link(_ name: String, _ more: String = "", _ after: String = "") -> String {
        "[[link]]\nname = \"\(name)\"\naddresses = [\"mqtt://127.0.0.1\"]\n\(more)\n[[link.out]]\nfilter = \"\(name)\"\n\(after)\n"
    }

    @Test("links that come, go and change are named; those that stay are not")
    func links() throws {
        let change = try change(
            link("stays") + link("goes") + link("changes"),
            link("changes", "keepalive = \"7s\"") + link("comes") + link("stays")
        )
        #expect(change.live == ["link goes removed", "link changes changed", "link comes added"])
        #expect(change.needingRestart.isEmpty)
        #expect(change.changedLinks == ["changes"])
    }

    @Test("the bounds of a link's queue change, and the link does not dial")
    func bounds() throws {
        let change = try change(link("hub"), link("hub", "", "[link.spool]\nmax_messages = 7"))
        #expect(change.live == ["[link.spool] of link hub"])
        #expect(change.needingRestart.isEmpty && change.changedLinks.isEmpty)
    }

    @Test(
        "a link dials again for whatever else it changed",
        arguments: ["client_id = \"x\"", "protocol = \"3.1.1\"", "session_expiry = \"1h\"", "username = \"u\""])
    func redialing(text: String) throws {
        #expect(try change(link("hub"), link("hub", text)).changedLinks == ["hub"])
    }

    private func listener(_ name: String, _ addresses: String, _ more: String = "") -> String {
        "[[listener]]\nname = \"\(name)\"\nbind = [\(addresses)]\n\(more)\n"
    }

    @Test("listeners open and close address by address; one whose order changed stays")
    func listeners() throws {
        let change = try change(
            listener("a", #""127.0.0.1:1", "127.0.0.1:2""#) + listener("b", #""127.0.0.1:3""#),
            listener("b", #""127.0.0.1:3""#) + listener("a", #""127.0.0.1:2", "127.0.0.1:4""#)
        )
        #expect(change.live == ["listener a at 127.0.0.1:1 closed", "listener a at 127.0.0.1:4 opened"])
        #expect(change.needingRestart.isEmpty)
        #expect(change.closingDoors.map(\.address.port) == [1] && change.openingDoors.map(\.address.port) == [4])
    }

    @Test(
        "an address that is open and would mean something else needs a restart",
        arguments: [
            (#""127.0.0.1:1""#, "type = \"web\"", "127.0.0.1:1"), (#""0.0.0.0:1""#, "", "0.0.0.0:1"),
            (#""[::]:1""#, "", "[::]:1"),
        ])
    func takenAddress(addresses: String, more: String, text: String) throws {
        let anonymous = "[auth]\nanonymous = true\n"
        let change = try change(
            anonymous + listener("a", #""127.0.0.1:1""#), anonymous + listener("a", addresses, more))
        #expect(change.needingRestart == ["listener a at \(text)"])
    }
}
