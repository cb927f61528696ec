import BrokerServer
import Testing

@Suite("Rings of links")
struct LinkMapTests {
    /// A node that listens on a port, with links to others.
    private static func node(_ name: String, port: Int, _ links: String...) throws -> Configuration {
        let listener = "[[listener]]\ntype = \"mqtt\"\nbind = [\"127.0.0.1:\(port)\"]\n"
        return try read("[node]\nid = \"\(name)\"\n" + listener + links.joined()).configuration
    }

    private static func link(_ name: String, _ port: Int, _ rules: String = "[[link.both]]\nfilter = \"chat/#\"\n")
        -> String
    {
        "[[link]]\nname = \"\(name)\"\naddresses = [\"mqtt://127.0.0.1:\(port)\"]\n\(rules)"
    }

    private static func rings(_ nodes: Configuration...) -> [[String]] {
        LinkMap(nodes).rings().map(\.steps)
    }

    @Test("a ring of three goes round, a chain and a star do not")
    func shapes() throws {
        let a = try Self.node("a", port: 1001, Self.link("to-b", 1002))
        let b = try Self.node("b", port: 1002, Self.link("to-c", 1003))
        let c = try Self.node("c", port: 1003)
        let closing = try Self.node("c", port: 1003, Self.link("to-a", 1001))
        #expect(Self.rings(a, b, c).isEmpty)
        #expect(
            Self.rings(a, b, closing) == [
                [
                    "\"chat/#\" goes from a to b over \"to-b\"",
                    "\"chat/#\" goes from b to c over \"to-c\"",
                    "\"chat/#\" goes from c to a over \"to-a\"",
                    "\"chat/#\" goes from a to b over \"to-b\"",
                ]
            ]
        )
        let star = try Self.node("hub", port: 1000, Self.link("to-b", 1002), Self.link("to-c", 1003))
        #expect(Self.rings(star, c).isEmpty)
    }

    @Test("distinct topics, one direction and exclusions open a ring")
    func opened() throws {
        let b = try Self.node("b", port: 1002, Self.link("to-c", 1003))
        let c = try Self.node("c", port: 1003, Self.link("to-a", 1001))
        for rules in [
            "[[link.both]]\nfilter = \"talk/#\"\n",
            "[[link.out]]\nfilter = \"chat/#\"\nexclude = [\"#\"]\n",
            "[[link.out]]\nfilter = \"chat/#\"\nto = \"from/a/{topic}\"\n",
        ] {
            let a = try Self.node("a", port: 1001, Self.link("to-b", 1002, rules))
            #expect(Self.rings(a, b, c).isEmpty, "\(rules)")
        }
        // One direction all the way round is a ring as well.
        let out = "[[link.out]]\nfilter = \"chat/#\"\n"
        let a = try Self.node("a", port: 1001, Self.link("to-b", 1002, out))
        #expect(Self.rings(a, b, c).count == 1)
    }

    /// A ring of three in which everything goes everywhere; each node believes the user `link`, if `believes` says so.
    private static func ring(_ rules: String = "", believes: [Bool] = [true, true, true]) throws -> [LinkMap.Ring] {
        let nodes = try [("a", 1001, 1002), ("b", 1002, 1003), ("c", 1003, 1001)].enumerated().map { place, node in
            let (name, own, next) = node
            let auth = "[auth]\nlinks = [\"\(believes[place] ? "link" : "other")\"]\n"
            let login = "username = \"link\"\npassword = \"secret\"\n"
            let way = rules.isEmpty ? "[[link.both]]\nfilter = \"chat/#\"\n" : rules
            return try Self.node(name, port: own, auth, Self.link("up", next, login + way))
        }
        return LinkMap(nodes).rings()
    }

    @Test(
        "marks stop a ring when every node on it believes the link that leads to it, and no rule renames what comes round"
    )
    func marks() throws {
        #expect(try Self.ring().map(\.isStopped) == [true])
        for stranger in 0..<3 {
            var believes = [true, true, true]
            believes[stranger] = false
            #expect(try Self.ring(believes: believes).map(\.isStopped) == [false])
        }
        #expect(
            try Self.ring("protocol = \"3.1.1\"\nbridge_bit = true\n[[link.both]]\nfilter = \"chat/#\"\n")
                .map(\.isStopped) == [false])
        #expect(try Self.ring("[[link.out]]\nfilter = \"chat/#\"\nto = \"chat/x/{#}\"\n").map(\.isStopped) == [false])
    }

    @Test("two links to one upstream send round what no No Local keeps: refused with 3.1.1, warned about with 5")
    func parallel() throws {
        let two = Self.link("one", 2000) + Self.link("two", 2000)
        let message =
            "messages go round: \"chat/#\" goes from n to 127.0.0.1:2000 over \"one\", "
            + "\"chat/#\" goes from 127.0.0.1:2000 to n over \"two\", "
            + "\"chat/#\" goes from n to 127.0.0.1:2000 over \"one\""
        #expect(complaints("[node]\nid = \"n\"\n" + two) == ["warning: drawbridge.toml:3: link[0]: \(message)"])
        let old = two.replacingOccurrences("[[link.both]]", "protocol = \"3.1.1\"\nbridge_bit = true\n[[link.both]]")
        #expect(complaints("[node]\nid = \"n\"\n" + old) == ["drawbridge.toml:3: link[0]: \(message)"])
        let apart =
            Self.link("one", 2000, "[[link.out]]\nfilter = \"up/#\"\n")
            + Self.link("two", 2000, "[[link.in]]\nfilter = \"down/#\"\n")
        #expect(complaints(apart).isEmpty)
    }

    @Test("a full mesh is looked through within its bounds")
    func mesh() throws {
        let ports = 1001...1006
        let nodes = try ports.map { own in
            try Self.node("n\(own)", port: own, ports.filter { $0 > own }.map { Self.link("to-\($0)", $0) }.joined())
        }
        #expect(!LinkMap(nodes).rings().isEmpty)
    }
}

extension String {
    fileprivate func replacingOccurrences(_ old: String, _ new: String) -> String {
        split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
    }
}
