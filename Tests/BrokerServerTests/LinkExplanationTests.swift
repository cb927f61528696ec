import BrokerServer
import Testing

@Suite("What is said of a topic and a link")
struct LinkExplanationTests {
    private static let text = """
        [node]
        id = "edge"
        [[link]]
        name = "hq"
        addresses = ["mqtt://hq"]
        [[link.out]]
        filter = "sensors/#"
        exclude = ["sensors/debug/#"]
        to = "site/{node}/{topic}"
        qos = 1
        retain = "set"
        expiry = "1d"
        [[link.out]]
        filter = "+/by"
        to = "{clientid}/{1}"
        [[link.in]]
        filter = "site/edge/cmd/#"
        to = "cmd/{#}"
        """

    private func explain(_ topic: String, _ clientID: String? = nil) throws -> LinkExplanation {
        try LinkExplanation(try read(Self.text).configuration, link: "hq", topic: topic, clientID: clientID)
    }

    @Test("out: the rule, the name, what becomes of it, and why the other direction is none")
    func out() throws {
        let explanation = try explain("sensors/1")
        #expect(!explanation.stays)
        #expect(
            explanation.lines == [
                "out: goes to \"hq\" as site/edge/sensors/1",
                "  QoS 1 at most, RETAIN set, expires 1d after it came",
                "  rule 1, \"sensors/#\": takes it",
                "in:  does not come from \"hq\"",
                "  rule 1, \"site/edge/cmd/#\": does not match",
            ]
        )
    }

    @Test("in: its name here, and what it would be called as a Response Topic")
    func incoming() throws {
        #expect(
            try explain("site/edge/cmd/open").lines == [
                "out: does not go to \"hq\"",
                "  rule 1, \"sensors/#\": does not match",
                "  rule 2, \"+/by\": does not match",
                "in:  comes from \"hq\" as cmd/open",
                "  QoS as it is, RETAIN as it is",
                "  rule 1, \"site/edge/cmd/#\": takes it",
            ]
        )
        #expect(
            try explain("cmd/open").lines.contains(
                "  as a Response Topic of ours it is called site/edge/cmd/open")
        )
        #expect(
            try explain("site/edge/sensors/1").lines.contains(
                "  as a Response Topic of the upstream it becomes sensors/1")
        )
    }

    @Test("what is excluded or has no name says so, and that it stays")
    func stays() throws {
        let debug = try explain("sensors/debug/1")
        #expect(debug.stays)
        #expect(debug.out.rules.map(\.says) == ["excluded by \"sensors/debug/#\"", "does not match"])
        #expect(try explain("x/by").out.rules[1].says == "has no name for it: {clientid}: its publisher has none")
        #expect(try explain("x/by", "c").out.name == "c/x")
    }

    @Test("what is no topic, and a link that is none, cannot be asked about")
    func unaskable() throws {
        let configuration = try read(Self.text).configuration
        #expect(throws: LinkExplanation.Unaskable(message: "there is no link \"hub\"; there are \"hq\"")) {
            try LinkExplanation(configuration, link: "hub", topic: "a", clientID: nil)
        }
        #expect(throws: LinkExplanation.Unaskable(message: "\"a/#\" is no topic")) {
            try LinkExplanation(configuration, link: "hq", topic: "a/#", clientID: nil)
        }
    }

    @Test("the document that a node answers is read back as it was")
    func document() throws {
        let explanation = try explain("sensors/1", "c")
        #expect(try LinkExplanation.decoded(try explanation.encoded()) == explanation)
    }
}
