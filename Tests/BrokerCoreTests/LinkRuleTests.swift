import BrokerCore
import MQTTCodec
import TestSupport
import Testing

@Suite("Rules of links")
struct LinkRuleTests {
    private static func rule(_ filter: String, _ pieces: [TopicTemplate.Piece]) throws -> LinkRule {
        var rule = LinkRule(filter: try #require(TopicFilter(filter)))
        rule.template = TopicTemplate(pieces)
        return rule
    }

    @Test(
        "a template puts together what the filter captured",
        arguments: [
            ("+/x/+", [.level(2), .text("/"), .level(1)], "a/x/b", "b/a"),
            ("+/x/+", [.level(1), .text("-"), .level(1)], "/x/b", "-"),
            ("+/+", [.level(1)], "/b", nil),
            ("user/+/inbox/+", [.text("u/"), .level(1)], "user/é/inbox/7", "u/é"),
            ("cmd/#", [.text("x/"), .tail], "cmd/a/b", "x/a/b"),
            ("cmd/#", [.text("x/"), .tail], "cmd/", "x/"),
            ("cmd/#", [.text("x/"), .tail], "cmd", "x"),
            ("cmd/#", [.text("x/"), .tail, .text("/y")], "cmd", "x/y"),
            ("cmd/#", [.text("x"), .tail], "cmd", nil),
            ("cmd/#", [.tail], "cmd", nil),
            ("cmd/#", [.text("/"), .tail], "cmd", nil),
            ("+/#", [.tail, .text("/"), .level(1)], "a/b/c", "b/c/a"),
            ("#", [.topic, .text("/"), .tail], "a", "a/a"),
            ("#", [.text("$aws/"), .topic], "a", "$aws/a"),
            ("a", [.text("everything")], "a", "everything"),
            ("a", [.text("everything")], "b", nil),
            ("#", [.topic], "$SYS/x", nil),
        ] as [(String, [TopicTemplate.Piece], MQTTString, MQTTString?)]
    )
    func templates(_ filter: String, _ pieces: [TopicTemplate.Piece], _ topic: MQTTString, _ name: MQTTString?) throws {
        #expect(try Self.rule(filter, pieces).map(topic) == name)
    }

    @Test(
        "a name has its publisher in it where there is one, and where that is a level",
        arguments: [("c-1", "by/c-1/t"), ("a/b", nil), ("a+", nil), ("#", nil), ("", nil), (nil, nil)]
            as [(MQTTString?, MQTTString?)]
    )
    func publishers(_ clientID: MQTTString?, _ name: MQTTString?) throws {
        let rule = try Self.rule("#", [.text("by/"), .clientID, .text("/"), .topic])
        #expect(rule.map("t", from: clientID) == name)
    }

    @Test("a name that no topic may have is refused: too long, too deep")
    func bounds() throws {
        let long = MQTTString(String(repeating: "x", count: 40_000))
        let twice = try Self.rule("#", [.topic, .topic])
        #expect(twice.verdict(on: long) == .unnamed(.tooLong))
        let deep = MQTTString(Array(repeating: "d", count: 100).joined(separator: "/"))
        guard case .unnamed(.invalid) = try Self.rule("#", [.topic, .text("/"), .topic]).verdict(on: deep) else {
            Issue.record("a name of 200 levels")
            return
        }
    }

    @Test("what is excluded is left to others, whatever else matches it")
    func exclusion() throws {
        var rule = LinkRule(filter: try #require(TopicFilter("sensors/#")))
        let debug = try #require(TopicFilter("sensors/+/debug"))
        rule.exclude = [debug, try #require(TopicFilter("sensors/secret/#"))]
        #expect(rule.verdict(on: "sensors/1/debug") == .excluded(by: debug))
        #expect(rule.map("sensors/secret") == nil)
        #expect(rule.map("sensors/1/x") == "sensors/1/x")
    }

    @Test(
        "the way back finds the topic that has a name, where the name tells",
        arguments: [
            ("a/#", [.text("x/"), .topic], "x/a/b", "a/b"),
            ("a/#", [.text("x/"), .topic], "x/b", nil),
            ("a/#", [.text("x/"), .topic, .text("/y")], "x/a/y", "a"),
            ("cmd/#", [.text("x/"), .tail], "x/1", "cmd/1"),
            ("cmd/#", [.text("x/"), .tail], "x/", "cmd/"),
            ("cmd/#", [.text("x/"), .tail], "x", "cmd"),
            ("+/in/+", [.level(2), .text("/"), .level(1)], "1/2", "2/in/1"),
            ("+/in/+", [.level(2), .text("-"), .level(1)], "1-2", "2/in/1"),
            ("+/in/+", [.level(2)], "1", nil),
            ("+/#", [.tail, .text("/"), .level(1)], "b/c/a", "a/b/c"),
            ("+/#", [.level(1), .text("/"), .tail], "a/b/c", "a/b/c"),
            ("a", [.text("all")], "all", "a"),
            ("#", [.clientID, .text("/"), .topic], "c/a", nil),
            ("#", [.topic, .text("/"), .tail], "a/a", nil),
        ] as [(String, [TopicTemplate.Piece], MQTTString, MQTTString?)]
    )
    func back(_ filter: String, _ pieces: [TopicTemplate.Piece], _ name: MQTTString, _ topic: MQTTString?) throws {
        #expect(try Self.rule(filter, pieces).topic(named: name) == topic)
    }

    // MARK: - Whatever comes

    private static let letters = ["a", "b", "", "é", "x-1", "$", "long-name-of-a-level"]

    private static func topic(_ dice: inout SeededGenerator) -> String {
        let levels = (0...dice.below(5)).map { _ in letters[dice.below(letters.count)] }
        let text = levels.joined(separator: "/")
        return text.isEmpty ? "a" : text
    }

    private static func filter(_ dice: inout SeededGenerator) -> String {
        var levels = topic(&dice).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        for index in levels.indices where dice.oneIn(3) { levels[index] = "+" }
        if dice.oneIn(2) { levels[levels.count - 1] = "#" }
        return levels.joined(separator: "/")
    }

    private static func pieces(_ dice: inout SeededGenerator) -> [TopicTemplate.Piece] {
        (0...dice.below(4)).map { _ in
            switch dice.below(6) {
            case 0: .topic
            case 1: .tail
            case 2: .clientID
            case 3: .level(1 + dice.below(9))
            case 4: .text("/")
            default: .text(MQTTString(letters[1 + dice.below(letters.count - 1)] + "/"))
            }
        }
    }

    @Test("captures match what the filter matches, and lie where its wildcards are")
    func captures() throws {
        var dice = SeededGenerator(seed: 11)
        for _ in 0..<20_000 {
            let topic = MQTTString(Self.topic(&dice))
            let filter = try #require(TopicFilter(Self.filter(&dice)))
            let captures = FilterCaptures(topic, matching: filter)
            #expect((captures != nil) == filter.matches(topic), "\(filter) and \(topic)")
            guard let captures else { continue }
            // What was captured, put back into the filter, is the topic.
            var number = 0
            var rebuilt: [String] = []
            for level in filter.text.string.split(separator: "/", omittingEmptySubsequences: false) {
                if level == "+" {
                    number += 1
                    rebuilt.append(String(decoding: Array(topic.utf8)[captures.level(number)], as: UTF8.self))
                } else if level == "#" {
                    guard let tail = captures.tail else { continue }
                    rebuilt.append(String(decoding: Array(topic.utf8)[tail], as: UTF8.self))
                } else {
                    rebuilt.append(String(level))
                }
            }
            #expect(rebuilt.joined(separator: "/") == topic.string)
        }
    }

    @Test("no template makes a name that no topic may have, of whatever topic and publisher")
    func validity() throws {
        var dice = SeededGenerator(seed: 12)
        var named = 0
        for _ in 0..<20_000 {
            var rule = try Self.rule(Self.filter(&dice), Self.pieces(&dice))
            if dice.oneIn(3) { rule.stripPrefix = MQTTString(Self.letters[dice.below(3)] + "/") }
            let clientID: MQTTString? = dice.oneIn(3) ? nil : MQTTString(Self.topic(&dice))
            guard let name = rule.map(MQTTString(Self.topic(&dice)), from: clientID) else { continue }
            named += 1
            #expect(TopicName.isValid(name))
        }
        #expect(named > 500)
    }

    @Test("out and in again by both gives the topic back")
    func both() throws {
        var dice = SeededGenerator(seed: 13)
        let prefixes = ["", "l/", "site/é/", "/", "a/"]
        var crossed = 0
        for _ in 0..<20_000 {
            let local = prefixes[dice.below(prefixes.count)]
            let remote = prefixes[dice.below(prefixes.count)]
            let filter = Self.filter(&dice)
            guard let out = TopicFilter(local + filter), let incoming = TopicFilter(remote + filter) else { continue }
            var outward = LinkRule(filter: out)
            outward.stripPrefix = MQTTString(local)
            outward.template = TopicTemplate(prefix: MQTTString(remote))
            var inward = LinkRule(filter: incoming)
            inward.stripPrefix = MQTTString(remote)
            inward.template = TopicTemplate(prefix: MQTTString(local))
            let topic = MQTTString(local + Self.topic(&dice))
            guard let name = outward.map(topic) else { continue }
            // `$` in front is what wildcards spare, with the prefix or without.
            if name.utf8.first == UInt8(ascii: "$") || topic.utf8.first == UInt8(ascii: "$") { continue }
            crossed += 1
            #expect(inward.map(name) == topic, "\(local) \(remote) \(filter) \(topic)")
        }
        #expect(crossed > 1_000)
    }

    @Test("the way back leads to a topic of that name, and finds it where every wildcard is in the name once")
    func wayBack() throws {
        var dice = SeededGenerator(seed: 14)
        var found = 0
        for _ in 0..<20_000 {
            let rule = try Self.rule(Self.filter(&dice), Self.pieces(&dice))
            let topic = MQTTString(Self.topic(&dice))
            guard let name = rule.map(topic) else { continue }
            if let back = rule.topic(named: name) {
                #expect(rule.map(back) == name)
                found += 1
            } else {
                #expect(rule.template.pieces != [.topic])
            }
        }
        #expect(found > 200)
        for _ in 0..<5_000 {
            let filter = Self.filter(&dice)
            let prefix = MQTTString("p-\(dice.below(9))/")
            let rule = try Self.rule(filter, [.text(prefix), .topic])
            let topic = MQTTString(Self.topic(&dice))
            if let name = rule.map(topic) { #expect(rule.topic(named: name) == topic) }
        }
    }
}
