import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Shared subscriptions: rights and order")
struct SharedOrderTests {
    // MARK: Access

    @Test("a message goes to a member that may have it; one that nobody may have is denied")
    func rightsOfMembers() {
        let broker = ShardHarness(
            rules: [
                rule(.allow, .both, who: .user("admin"), topics: "#"),
                rule(.deny, .subscribe, who: .user("a"), topics: "t/secret"),
                rule(.allow, .both, "t/#"),
            ]
        ) { $0.keepsLedger = true }
        let a = broker.lets("a")
        let admin = broker.lets("admin", isDurable: true)
        a.joins("$share/g/t/+", .atLeastOnce)
        admin.joins("$share/g/t/+", .atLeastOnce)
        let p = broker.lets("p")
        p.says(1...3, to: "t/secret")
        #expect(a.texts.isEmpty)
        #expect(admin.acknowledgesAll() == ["1", "2", "3"])
        admin.vanishes()
        p.says(4...4, to: "t/secret")
        p.says(5...5, to: "t/open")
        #expect(a.acknowledgesAll() == ["5"])
        // It waited for the one who may have it.
        #expect(broker.comes("admin", isDurable: true).acknowledgesAll() == ["4"])
        #expect(broker.shard.counters.deliveriesDenied == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a subscription that rules no longer grant rests, and works again when they do")
    func suspended() {
        let all = [rule(.allow, .both, "#")]
        let broker = ShardHarness(rules: all)
        let a = broker.lets("a")
        let b = broker.lets("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        let p = broker.lets("p")
        broker.takes([rule(.deny, .subscribe, who: .user("a"), topics: "t"), rule(.allow, .both, "#")])
        p.says(1...2)
        #expect(b.acknowledgesAll() == ["1", "2"])
        broker.takes(all)
        p.says(3...4)
        #expect(Set(a.acknowledgesAll() + b.acknowledgesAll()) == ["3", "4"])
        a.receivesNothing()
    }

    // MARK: Order

    @Test("one member gets what one publisher publishes in order")
    func orderWithOneMember() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a", receiveMaximum: 2)
        a.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...20)
        var seen: [String] = []
        for _ in 0..<20 { seen += a.acknowledgesAll() }
        #expect(seen == (1...20).map { "\($0)" })
    }

    @Test("where order is kept by publisher, what one of them publishes goes to one member", arguments: [false, true])
    func orderByPublisher(_ isDurable: Bool) {
        var settings = BrokerSettings.shared
        settings.sharedOrder = .publisher
        let broker = ShardHarness(settings)
        func member(_ name: MQTTString) -> ScriptedPeer {
            isDurable ? broker.connectsDurably(name) : broker.connects(name)
        }
        let members = [member("a"), member("b"), member("c")]
        for member in members { member.joins("$share/g/#", .atLeastOnce) }
        let publishers = (0..<12).map { broker.connects(MQTTString("p\($0)")) }
        for round in 1...3 {
            for (index, publisher) in publishers.enumerated() {
                publisher.sends(
                    .publish(topic: "t", payload: "\(index)", qos: .atLeastOnce, id: UInt16(round))
                )
            }
        }
        let seen = members.map { $0.acknowledgesAll() }
        #expect(seen.allSatisfy { !$0.isEmpty })
        for index in publishers.indices {
            #expect(seen.map { texts in texts.count { $0 == "\(index)" } }.sorted() == [0, 0, 3])
        }
        #expect(broker.books.isClosed)
    }

    @Test("what comes over HTTP goes to members in turns, also where order is kept by publisher")
    func withoutPublisher() {
        var settings = BrokerSettings()
        settings.sharedOrder = .publisher
        let broker = ShardHarness(settings)
        let members = ["a", "b"].map { broker.connects(MQTTString($0)) }
        for member in members { member.joins("$share/g/t", .atLeastOnce) }
        for token in UInt64(1)...4 {
            let request = GatewayPublish(
                topic: "t", payload: ByteBuffer(string: "\(token)"), qos: .atLeastOnce, isRetained: false)
            broker.perform { shard, now in shard.publish(request, token: token, now: now) }
        }
        #expect(members.map { $0.acknowledgesAll() } == [["1", "3"], ["2", "4"]])
    }

    @Test("a publisher whose member dies stays with the next one until that has finished")
    func orderAfterDeath() {
        var settings = BrokerSettings.shared
        settings.sharedOrder = .publisher
        let broker = ShardHarness(settings)
        let (a, b) = broker.durableMembers(.atLeastOnce)
        let p = broker.connects("p")
        p.says(1...2)
        let first = a.texts
        let (chosen, other) = first.isEmpty ? (b, a) : (a, b)
        chosen.vanishes()
        let held = other.takesMessages()
        #expect(held.map(\.text) == ["1", "2"])
        let back = broker.connectsDurably(first.isEmpty ? "b" : "a")
        p.says(3...3)
        #expect(back.takesMessages().isEmpty)
        #expect(other.acknowledgesAll() == ["3"])
        for message in held { other.sends(.pubAck(id: message.packetID)) }
        p.says(4...4)
        #expect(back.acknowledgesAll() == ["4"])
    }
}
