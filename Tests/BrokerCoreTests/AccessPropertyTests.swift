import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Access: what is explained is what happens")
struct AccessPropertyTests {
    private static let names: [MQTTString] = ["alice", "bob", "+", "a/b", "#", "$SYS", "a", "%u", ""]
    private static let levels = ["a", "b", "alice", "bob", "", "%u", "%c", "x-%u"]
    private static let addresses: [NetworkAddress] = ["10.0.0.1", "10.9.0.1", "::1", "192.168.1.6"]
    private static let ranges = ["10.0.0.0/8", "10.0.0.0/16", "::/0", "0.0.0.0/0", "192.168.1.6"]

    /// 250 sets of rules with ten clients each, 40 packets of each client: a shard with its caches, suspended
    /// subscriptions and replaced rules decides as `explain` does from scratch.
    @Test("explain's decision is the real one in 100,000 random cases")
    func agrees() {
        var random = SeededGenerator(seed: 2026)
        var cases = 0
        let broker = ShardHarness(rules: [])
        for round in 0..<250 {
            let written = Self.rules(&random)
            let fallback: AccessRule.Verdict = Int.random(in: 0..<8, using: &random) == 0 ? .allow : .deny
            broker.takes(AccessRules(written, fallback: fallback))
            // Compiled anew, as the command does.
            let explained = AccessRules(written, fallback: fallback)
            for number in 0..<10 {
                let name = number == 0 ? "a/b\(round)" : number % 3 == 0 ? "a" : "c\(round)-\(number)"
                let client = MQTTString(name)
                let principal = Principal(
                    username: Bool.random(using: &random) ? Self.names.randomElement(using: &random) : nil,
                    clientID: client,
                    address: Self.addresses.randomElement(using: &random)
                )
                let peer = broker.comes(principal)
                for _ in 0..<20 {
                    cases += 2
                    let topic = Self.topic(&random)
                    peer.sends(.publish(topic: topic, qos: .atLeastOnce, id: 1))
                    let wasPublished = peer.takes().contains { packet in
                        if case .pubAck(let ack) = packet { return !ack.reason.isFailure }
                        return false
                    }
                    let publish = explained.explain(principal, .publish, topic)
                    #expect(publish?.isAllowed == wasPublished, "\(principal) publishes \(topic): \(written)")

                    let filter = Self.filter(&random)
                    peer.sends(.subscribe(id: 1, filters: filter))
                    let wasGranted = peer.takes().contains { packet in
                        if case .subAck(let ack) = packet {
                            return ack.reasons == [.success] || ack.reasons == [.sharedSubscriptionsNotSupported]
                        }
                        return false
                    }
                    let subscribe = explained.explain(principal, .subscribe, MQTTString(filter))
                    #expect(subscribe?.isAllowed == wasGranted, "\(principal) subscribes \(filter): \(written)")
                }
                peer.vanishes()
            }
        }
        #expect(cases == 100_000)
    }

    private static func rules(_ random: inout SeededGenerator) -> [AccessRule] {
        (0..<Int.random(in: 0...6, using: &random)).map { _ in
            var who: [AccessRule.Who] = []
            for _ in 0..<[0, 0, 1, 2].randomElement(using: &random, or: 0) {
                var one = AccessRule.Who()
                if Bool.random(using: &random) { one.usernames = [names.randomElement(using: &random, or: "a")] }
                if Bool.random(using: &random) { one.clientIDs = ["a"] }
                if Bool.random(using: &random) {
                    one.addresses = [AddressRange(ranges.randomElement(using: &random, or: "::/0"))].compactMap(\.self)
                }
                who.append(one)
            }
            let topics: [AccessRule.Topic] = (0..<Int.random(in: 1...2, using: &random)).map { _ in
                let text = MQTTString(pattern(&random))
                return Int.random(in: 0..<5, using: &random) == 0 ? .literal(text) : .pattern(text)
            }
            return AccessRule(
                Int.random(in: 0..<3, using: &random) == 0 ? .deny : .allow,
                [.publish, .subscribe, .both].randomElement(using: &random, or: .both),
                who: who,
                topics: topics
            )
        }
    }

    private static func pattern(_ random: inout SeededGenerator) -> String {
        text(
            (0..<Int.random(in: 1...3, using: &random)).map { _ in
                (levels + ["+", "+"]).randomElement(using: &random, or: "a")
            }, &random)
    }

    private static func filter(_ random: inout SeededGenerator) -> String {
        let prefix = Int.random(in: 0..<12, using: &random) == 0 ? "$share/g/" : ""
        return prefix + pattern(&random)
    }

    /// `#` at the end, and sometimes `$` in front.
    private static func text(_ levels: [String], _ random: inout SeededGenerator) -> String {
        var levels = levels
        if Int.random(in: 0..<4, using: &random) == 0 { levels[levels.count - 1] = "#" }
        if Int.random(in: 0..<16, using: &random) == 0 { levels[0] = "$SYS" }
        let text = levels.joined(separator: "/")
        return text.isEmpty ? "a" : text
    }

    private static func topic(_ random: inout SeededGenerator) -> MQTTString {
        let count = Int.random(in: 1...3, using: &random)
        var levels = (0..<count).map { _ in self.levels.randomElement(using: &random, or: "a") }
        if Int.random(in: 0..<20, using: &random) == 0 { levels[0] = "$SYS" }
        let text = levels.joined(separator: "/")
        return MQTTString(text.isEmpty ? "a" : text)
    }
}

extension Array {
    fileprivate func randomElement(using random: inout SeededGenerator, or fallback: Element) -> Element {
        randomElement(using: &random) ?? fallback
    }
}

extension ShardHarness {
    fileprivate func comes(_ principal: Principal) -> ScriptedPeer {
        let peer = opens(.v5, address: principal.address)
        peer.sends(
            .connect(Connect(version: .v5, clientID: principal.clientID, username: principal.username))
        )
        _ = peer.takes()
        return peer
    }
}
