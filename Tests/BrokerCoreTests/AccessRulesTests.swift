import BrokerCore
import MQTTCodec
import TestSupport
import Testing

/// Rules in one line.
func rule(_ verdict: AccessRule.Verdict, _ actions: AccessRule.Actions, _ topics: String...) -> AccessRule {
    AccessRule(verdict, actions, topics: topics.map(topic))
}

func rule(
    _ verdict: AccessRule.Verdict,
    _ actions: AccessRule.Actions,
    who: AccessRule.Who...,
    topics: String...
) -> AccessRule {
    AccessRule(verdict, actions, who: who, topics: topics.map(topic))
}

/// `=#` is the literal filter `#`.
private func topic(_ text: String) -> AccessRule.Topic {
    text.hasPrefix("=") ? .literal(MQTTString(String(text.dropFirst()))) : .pattern(MQTTString(text))
}

extension AccessRule.Who {
    static func user(_ names: String...) -> AccessRule.Who {
        var who = AccessRule.Who()
        who.usernames = names.map { MQTTString($0) }
        return who
    }

    static func client(_ names: String...) -> AccessRule.Who {
        var who = AccessRule.Who()
        who.clientIDs = names.map { MQTTString($0) }
        return who
    }

    static func address(_ ranges: String...) -> AccessRule.Who {
        var who = AccessRule.Who()
        who.addresses = ranges.compactMap { AddressRange($0) }
        return who
    }
}

func subject(_ user: MQTTString?, _ client: MQTTString = "c", _ address: NetworkAddress? = nil) -> AccessSubject {
    AccessSubject(Principal(username: user, clientID: client, address: address))
}

extension AccessRules {
    func publishes(_ subject: AccessSubject, _ topic: MQTTString) -> Bool {
        publishDecision(for: subject, topic).isAllowed
    }

    func subscribes(_ subject: AccessSubject, _ filter: String) -> Bool {
        guard let filter = TopicFilter(filter) else { return false }
        return subscribeDecision(for: subject, filter).isAllowed
    }

    func receives(_ subject: AccessSubject, _ topic: MQTTString) -> Bool {
        receiveDecision(for: subject, topic).isAllowed
    }
}

@Suite("Access rules")
struct AccessRulesTests {
    private let alice = subject("alice")

    @Test("no rule matches: denied; no rules at all: denied")
    func closed() {
        let rules = AccessRules([rule(.allow, .publish, "a")])
        #expect(rules.publishes(alice, "a"))
        #expect(!rules.publishes(alice, "b"))
        #expect(!rules.subscribes(alice, "a"))
        #expect(!AccessRules([]).publishes(alice, "a"))
        #expect(!AccessRules([]).subscribes(alice, "a"))
        #expect(!AccessRules([]).receives(alice, "a"))
        #expect(AccessRules([], fallback: .allow).publishes(alice, "a"))
        #expect(AccessRules.open.publishes(alice, "a"))
    }

    @Test("the first rule that matches decides")
    func firstMatch() {
        let rules = AccessRules([
            rule(.allow, .both, who: .user("boss"), topics: "secret/#"),
            rule(.deny, .both, "secret/#"),
            rule(.allow, .both, "#"),
        ])
        #expect(rules.publishes(subject("boss"), "secret/x"))
        #expect(!rules.publishes(alice, "secret/x"))
        #expect(!rules.publishes(alice, "secret"))
        #expect(rules.publishes(alice, "open"))
        #expect(rules.publishDecision(for: alice, "secret/x").rule == rules.rules[1])
        #expect(rules.publishDecision(for: alice, "open").rule == rules.rules[2])
    }

    @Test("what a rule names of a client has to fit together, lists are any of them")
    func who() {
        var both = AccessRule.Who.user("alice", "bob")
        both.clientIDs = ["phone"]
        both.addresses = [AddressRange("10.0.0.0/8"), AddressRange("fd00::/8")].compactMap(\.self)
        let rules = AccessRules([AccessRule(.allow, .publish, who: [both], topics: [.pattern("t")])])
        #expect(rules.publishes(subject("alice", "phone", "10.1.2.3"), "t"))
        #expect(rules.publishes(subject("bob", "phone", "fd12::1"), "t"))
        #expect(rules.publishes(subject("bob", "phone", "::ffff:10.1.2.3"), "t"))
        #expect(!rules.publishes(subject("bob", "phone", "11.1.2.3"), "t"))
        #expect(!rules.publishes(subject("bob", "laptop", "10.1.2.3"), "t"))
        #expect(!rules.publishes(subject("carol", "phone", "10.1.2.3"), "t"))
        #expect(!rules.publishes(subject(nil, "phone", "10.1.2.3"), "t"))
        #expect(!rules.publishes(subject("bob", "phone", nil), "t"))
    }

    @Test("names are compared byte by byte: case, a trailing slash and accents make another one")
    func exact() {
        let rules = AccessRules([
            rule(.deny, .both, who: .user("Alice"), topics: "#"), rule(.deny, .both, "a", "caf\u{E9}"),
            rule(.allow, .both, "#"),
        ])
        #expect(!rules.publishes(subject("Alice"), "x"))
        #expect(rules.publishes(alice, "x"))
        #expect(!rules.publishes(alice, "a"))
        for other: MQTTString in ["A", "a/", "/a", "a//", "a/b", "cafe\u{301}"] {
            #expect(rules.publishes(alice, other))
            #expect(rules.receives(alice, other))
        }
        let allowed = AccessRules([rule(.allow, .both, "a")])
        for other: MQTTString in ["A", "a/", "/a", "a/b"] { #expect(!allowed.publishes(alice, other)) }
        #expect(!allowed.subscribes(alice, "a/"))
        #expect(!allowed.subscribes(alice, "A"))
    }

    // MARK: Names in topics

    @Test("%u and %c stand for the name of whoever asks, also within a level, and are put in once")
    func names() {
        let rules = AccessRules([rule(.allow, .both, "user/%u/#", "dev-%c/%u")])
        #expect(rules.publishes(alice, "user/alice/x"))
        #expect(!rules.publishes(alice, "user/bob/x"))
        #expect(rules.publishes(alice, "dev-c/alice"))
        #expect(rules.subscribes(alice, "user/alice/#"))
        #expect(!rules.subscribes(alice, "user/+/#"))
        #expect(!rules.subscribes(alice, "#"))
        let odd = subject("%c", "phone")
        #expect(rules.publishes(odd, "user/%c/x"))
        #expect(!rules.publishes(odd, "user/phone/x"))
    }

    static let unsafe: [MQTTString] = ["+", "#", "a/b", "a+", "/", "$a", "a\u{1}", "a\u{7F}", "a\u{85}", ""]

    @Test("a name that would change the shape of a pattern is allowed nothing by it", arguments: unsafe)
    func unsafeAllow(_ name: MQTTString) {
        let rules = AccessRules([rule(.allow, .both, "user/%u/#", "dev/%c/#")])
        for principal in [subject(name, "ok"), subject("ok", name), subject(nil, name)] {
            #expect(!rules.publishes(principal, "user/bob/x"))
            #expect(!rules.publishes(principal, "dev/other/x"))
            #expect(!rules.publishes(principal, "user/a/b"))
            #expect(!rules.subscribes(principal, "user/#"))
            #expect(!rules.subscribes(principal, "user/+/#"))
            #expect(!rules.subscribes(principal, "dev/+/#"))
            #expect(!rules.receives(principal, "user/bob/x"))
        }
    }

    @Test("nor does it evade a denial", arguments: unsafe)
    func unsafeDeny(_ name: MQTTString) {
        let rules = AccessRules([
            rule(.deny, .both, "user/%u/locked", "dev/x-%c/locked"), rule(.allow, .both, "#"),
        ])
        let byUser = subject(name, "ok")
        #expect(!rules.publishes(byUser, "user/anything/locked"))
        #expect(!rules.publishes(byUser, "user/a/b/locked"))
        #expect(!rules.subscribes(byUser, "user/#"))
        #expect(rules.publishes(byUser, "open"))
        #expect(rules.publishes(byUser, "dev/x-other/locked"))
        let byClient = subject("ok", name)
        #expect(!rules.publishes(byClient, "dev/x-other/locked"))
        #expect(!rules.receives(byClient, "dev/a"))
        #expect(!rules.publishes(subject(nil), "user/a/locked"))
    }

    @Test("a name that begins with $ opens no topics of the server")
    func dollar() {
        let rules = AccessRules([rule(.allow, .both, "%u/#", "x/%u")])
        #expect(!rules.subscribes(subject("$SYS"), "$SYS/#"))
        #expect(!rules.receives(subject("$SYS"), "$SYS/broker"))
        #expect(!rules.subscribes(subject("$SYS"), "x/$SYS"))
    }

    @Test("wildcards do not reach the topics of the server, and nobody publishes to them")
    func reserved() {
        let rules = AccessRules([
            rule(.allow, .subscribe, who: .user("ops"), topics: "$SYS/#"), rule(.allow, .both, "#", "+/broker"),
        ])
        #expect(rules.subscribes(subject("ops"), "$SYS/#"))
        #expect(rules.subscribes(subject("ops"), "$SYS/broker/+"))
        #expect(!rules.subscribes(alice, "$SYS/#"))
        #expect(!rules.subscribes(alice, "$SYS/broker"))
        #expect(!rules.receives(alice, "$SYS/broker"))
        let all = AccessRules([rule(.allow, .both, "$SYS/#", "$CONTROL/#")])
        #expect(!all.publishes(alice, "$SYS/x"))
        #expect(!all.publishes(alice, "$CONTROL/x"))
        #expect(all.publishDecision(for: alice, "$SYS/x").isReserved)
    }

    // MARK: Filters

    @Test("eq means the filter as it is written, or the same under another spelling")
    func literal() {
        let rules = AccessRules([rule(.deny, .subscribe, "=#"), rule(.allow, .subscribe, "#")])
        #expect(!rules.subscribes(alice, "#"))
        #expect(!rules.subscribes(alice, "+/#"))
        #expect(rules.subscribes(alice, "a/#"))
        #expect(rules.subscribes(alice, "+"))
        #expect(rules.subscribes(alice, "+/+/#"))
        #expect(rules.receives(alice, "a"))
        let allowing = AccessRules([rule(.allow, .subscribe, "=a/+")])
        #expect(allowing.subscribes(alice, "a/+"))
        #expect(!allowing.subscribes(alice, "a/b"))
        #expect(!allowing.subscribes(alice, "a/#"))
        #expect(allowing.receives(alice, "a/b"))
        #expect(!allowing.receives(alice, "a/b/c"))
        let names = AccessRules([rule(.allow, .both, "=%u")])
        #expect(names.publishes(alice, "%u"))
        #expect(!names.publishes(alice, "alice"))
    }

    @Test("a shared subscription is judged by the filter behind its group")
    func shared() {
        let rules = AccessRules([rule(.deny, .subscribe, "=#", "secret/#"), rule(.allow, .subscribe, "#")])
        #expect(!rules.subscribes(alice, "$share/g/#"))
        #expect(!rules.subscribes(alice, "$share/g/secret/x"))
        #expect(!rules.subscribes(alice, "$share/g/$SYS/#"))
        #expect(rules.subscribes(alice, "$share/g/open"))
        // A rule about the text of the share opens nothing.
        #expect(!AccessRules([rule(.allow, .subscribe, "$share/#")]).subscribes(alice, "$share/g/a"))
    }

    @Test("what is granted brings nothing that is forbidden: a denial inside a granted filter holds back")
    func holdsBack() {
        let rules = AccessRules([rule(.deny, .subscribe, "secret/#"), rule(.allow, .subscribe, "#")])
        #expect(rules.subscribes(alice, "#"))
        #expect(!rules.subscribes(alice, "secret/+"))
        #expect(!rules.receives(alice, "secret/x"))
        #expect(rules.receives(alice, "open"))
    }

    /// Every topic of up to four levels over a small alphabet; `z` stands for all texts that no pattern names.
    private static let topics: [MQTTString] = {
        let alphabet = ["a", "b", "", "z", "$s"]
        var topics: [[String]] = [[]]
        var all: [[String]] = []
        for _ in 0..<4 {
            topics = topics.flatMap { topic in alphabet.map { topic + [$0] } }
            all += topics
        }
        return all.map { MQTTString($0.joined(separator: "/")) }.filter { !$0.isEmpty }
    }()

    @Test("a rule covers a filter exactly when it matches every topic of it")
    func coverage() {
        var random = SeededGenerator(seed: 11)
        let subject = subject("u")
        for _ in 0..<600 {
            let pattern = Self.filter(&random)
            let asked = Self.filter(&random)
            guard let filter = TopicFilter(asked), let written = TopicFilter(pattern) else { continue }
            let rules = AccessRules([rule(.allow, .subscribe, pattern)])
            let topics = Self.topics.filter(filter.matches)
            let isCovered = topics.allSatisfy(written.matches)
            #expect(rules.subscribes(subject, asked) == isCovered, "\(pattern) for \(asked)")
            for topic in topics.prefix(5) {
                #expect(rules.receives(subject, topic) == written.matches(topic), "\(pattern) for \(topic)")
            }
        }
    }

    @Test("whatever the rules, a granted filter and a receivable topic agree with the naive reading")
    func naive() {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<400 {
            let written = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                rule(Bool.random(using: &random) ? .allow : .deny, .both, Self.filter(&random))
            }
            let rules = AccessRules(written)
            let subject = subject("u")
            for topic in Self.topics.shuffled(using: &random).prefix(40) {
                let first = written.first { rule in
                    guard case .pattern(let text)? = rule.topics.first else { return false }
                    return TopicFilter(text.string)?.matches(topic) == true
                }
                let isAllowed = first?.verdict == .allow
                #expect(rules.receives(subject, topic) == isAllowed)
                #expect(rules.publishes(subject, topic) == (isAllowed && topic.utf8.first != UInt8(ascii: "$")))
                // A topic is a filter too.
                #expect(rules.subscribes(subject, topic.string) == isAllowed)
            }
        }
    }

    private static func filter(_ random: inout SeededGenerator) -> String {
        let count = Int.random(in: 1...3, using: &random)
        var levels = (0..<count).map { _ in ["a", "b", "", "+", "+", "$s"].randomElement(using: &random) ?? "a" }
        if Bool.random(using: &random) { levels[count - 1] = "#" }
        return levels.joined(separator: "/").isEmpty ? "a" : levels.joined(separator: "/")
    }

    // MARK: Presets

    @Test("chat: a user publishes only as itself and hears only what is for it")
    func chat() {
        let rules = AccessRules(AccessPreset.chat.rules)
        let one = subject("111")
        #expect(rules.publishes(one, "user/222/inbox/111"))
        #expect(!rules.publishes(one, "user/222/inbox/333"))
        #expect(rules.publishes(one, "user/222/application/111"))
        #expect(rules.publishes(one, "group/1/inbox/111"))
        #expect(!rules.publishes(one, "group/1/inbox/222"))
        #expect(rules.publishes(one, "group/1/invitation/222/from/111"))
        #expect(!rules.publishes(one, "group/1/invitation/111/from/222"))
        #expect(rules.subscribes(one, "user/111/#"))
        #expect(!rules.subscribes(one, "user/222/#"))
        #expect(!rules.subscribes(one, "user/+/inbox/111"))
        #expect(rules.subscribes(one, "group/+/invitation/111/from/+"))
        #expect(!rules.subscribes(one, "group/1/#"))
        #expect(!rules.publishes(subject(nil), "user/222/inbox/111"))
        #expect(!rules.subscribes(subject(nil), "user/+/#"))
        #expect(!rules.publishes(subject("a/b"), "user/222/inbox/a/b"))
    }

    @Test("push: users only listen")
    func push() {
        let rules = AccessRules(AccessPreset.push.rules)
        let one = subject("111")
        #expect(rules.subscribes(one, "push/all/#"))
        #expect(rules.subscribes(one, "push/user/111/#"))
        #expect(!rules.subscribes(one, "push/user/#"))
        #expect(!rules.publishes(one, "push/user/111/x"))
    }

    // MARK: Addresses

    @Test(
        "ranges are cut at the bit",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("0.0.0.0/0", "8.8.8.8", true),
            ("192.168.1.6", "192.168.1.6", true), ("192.168.1.6", "192.168.1.7", false),
            ("192.168.1.128/25", "192.168.1.127", false), ("fe80::/10", "fe80::1%eth0", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001::", true), ("::/0", "10.0.0.1", false), ("::1", "::1", true),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("::ffff:10.0.0.0/104", "10.9.9.9", true), ("127.0.0.0/8", "::ffff:127.0.0.1", true),
        ]
    )
    func ranges(_ range: String, _ address: NetworkAddress, _ isInside: Bool) {
        let rules = AccessRules([rule(.allow, .publish, who: .address(range), topics: "t")])
        #expect(rules.publishes(subject("u", "c", address), "t") == isInside)
    }

    @Test(
        "what is no range is refused",
        arguments: [
            "", "10", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.256", "010.0.0.1", "1.2.3.4.5", ":",
            ":::", "1:2", "::1::", "12345::", "g::", "::/129", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "::ffff:10.0.0.0/8",
            "localhost", "10.0.0.0/8/8", ":1:2:3:4:5:6:7",
        ]
    )
    func noRange(_ text: String) {
        #expect(AddressRange(text) == nil)
    }

    @Test(
        "an address is written as everybody writes it, whoever wrote it before",
        arguments: [
            ("10.1.2.3", "10.1.2.3"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::FFFF:0a01:0203", "10.1.2.3"),
            ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"), ("2001:db8:0:1:0:0:0:7", "2001:db8:0:1::7"),
            ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"), ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"), ("::", "::"), ("::1", "::1"),
            ("fe80::1%eth0", "fe80::1"), ("1::", "1::"),
        ]
    )
    func text(_ text: String, _ usual: String) {
        #expect(NetworkAddress(text)?.description == usual)
    }

    @Test("an address of bytes is that of its text")
    func bytes() {
        #expect(NetworkAddress(bytes: [10, 1, 2, 3]) == "10.1.2.3")
        #expect(NetworkAddress(bytes: [0x20, 1] + Array(repeating: 0, count: 13) + [7]) == "2001::7")
        #expect(NetworkAddress(bytes: Array(repeating: 0, count: 10) + [0xFF, 0xFF, 127, 0, 0, 1]) == "127.0.0.1")
        #expect(NetworkAddress(bytes: [1, 2, 3]) == nil && NetworkAddress(bytes: [1, 2, 3, 4, 5]) == nil)
    }

    @Test("loopback is known in all its clothes")
    func loopback() {
        #expect(
            ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].allSatisfy { NetworkAddress($0)?.isLoopback == true })
        #expect(["128.0.0.1", "0.0.0.0", "::", "::2"].allSatisfy { NetworkAddress($0)?.isLoopback == false })
    }

    @Test("one customer's IPv6 addresses are one network, an IPv4 address is one by itself")
    func networks() {
        func network(_ address: NetworkAddress) -> NetworkAddress { address.network }
        #expect(network("192.0.2.7") == "192.0.2.7")
        #expect(network("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::")
        #expect(network("2001:db8::9") == "2001:db8::")
        #expect(network("::1") == "::")
    }
}
