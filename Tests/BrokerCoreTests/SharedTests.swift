import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Shared subscriptions")
struct SharedTests {
    // MARK: What everybody may see

    @Test("they are not announced as missing [5:§3.2.2.3.13]")
    func announced() {
        let broker = ShardHarness()
        let a = broker.opens()
        a.sends(.connect(clientID: "a"))
        #expect(a.receivesConnAck()?.properties.sharedSubscriptionAvailable ?? true)
    }

    @Test("each message goes to one member, in turns", arguments: bothVersions)
    func oneMember(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let members = ["a", "b", "c"].map { broker.connects(MQTTString($0), version) }
        for member in members { member.joins("$share/g/t", .atLeastOnce) }
        broker.connects("p", version).says(1...9)
        let texts = members.map { $0.acknowledgesAll() }
        #expect(texts == [["1", "4", "7"], ["2", "5", "8"], ["3", "6", "9"]])
    }

    @Test("SUBACK grants what was asked for; a version 3 client is a member too", arguments: bothVersions)
    func granted(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let a = broker.connects("a", version)
        a.sends(.subscribe(id: 1, filters: "$share/g/t", qos: .exactlyOnce))
        a.receives(.subAck(id: 1, reasons: .grantedQoS2))
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        if version == .v5 {
            a.receives(.unsubAck(id: 2, reasons: .success))
        } else {
            a.receives(.unsubAck(id: 2))
        }
    }

    @Test("groups of other names and other filters each get a copy")
    func otherGroups() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = broker.connects("b")
        let c = broker.connects("c")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/h/t", .atLeastOnce)
        c.joins("$share/g/+", .atLeastOnce)
        broker.connects("p").says(1...2)
        for member in [a, b, c] { #expect(member.acknowledgesAll() == ["1", "2"]) }
    }

    @Test("a member that also subscribes by itself gets both copies")
    func ownSubscription() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        a.joins("$share/g/t", .atLeastOnce)
        a.joins("t", .atLeastOnce)
        broker.connects("p").says(1...1)
        #expect(a.acknowledgesAll() == ["1", "1"])
    }

    @Test("a member gets no more than the QoS it was granted [5:MQTT-4.8.2-3]")
    func qualityOfMembers() {
        let broker = ShardHarness()
        let members = [QoS.atMostOnce, .atLeastOnce, .exactlyOnce].map { qos in
            let member = broker.connects(MQTTString("m\(qos.rawValue)"))
            member.joins("$share/g/t", qos)
            return member
        }
        let p = broker.connects("p")
        p.says(1...3, .exactlyOnce)
        #expect(members.map { $0.takesMessages().map(\.qos) } == [[.atMostOnce], [.atLeastOnce], [.exactlyOnce]])
        p.says(4...6, .atLeastOnce)
        #expect(members.map { $0.takesMessages().map(\.qos) } == [[.atMostOnce], [.atLeastOnce], [.atLeastOnce]])
        p.says(7...9, .atMostOnce)
        #expect(members.map { $0.takesMessages().map(\.qos) } == [[.atMostOnce], [.atMostOnce], [.atMostOnce]])
    }

    @Test("identifier and RETAIN are those of the member's own subscription")
    func ownOptions() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = broker.connects("b")
        a.joins("$share/g/t", .atLeastOnce, identifier: 7)
        b.joins("$share/g/t", .atLeastOnce, identifier: 9, retainAsPublished: true)
        let p = broker.connects("p")
        for id in UInt16(1)...2 { p.sends(.publish(topic: "t", qos: .atLeastOnce, id: id, isRetained: true)) }
        let messages = [a, b].map { $0.takesMessages() }
        #expect(messages.map { $0.map(\.properties.subscriptionIdentifiers) } == [[[7]], [[9]]])
        #expect(messages.map { $0.map(\.isRetained) } == [[false], [true]])
    }

    @Test("retained messages are not replayed to a group [5:§4.8.2]")
    func retained() {
        let broker = ShardHarness()
        broker.connects("p").sends(.publish(topic: "t", payload: "old", qos: .atLeastOnce, id: 1, isRetained: true))
        let a = broker.connects("a")
        a.sends(.subscribe(id: 1, filters: "$share/g/t", qos: .atLeastOnce))
        a.receives(.subAck(id: 1, reasons: .grantedQoS1))
    }

    @Test("wildcards at the first level of a group's filter spare topics of the server [5:MQTT-4.7.2-1]")
    func serverTopics() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        a.joins("$share/g/#", .atLeastOnce)
        broker.perform { shard, now in shard.tell("$SYS/broker/x", "1", now: now) }
        broker.connects("p").says(1...1, to: "x")
        #expect(a.acknowledgesAll() == ["1"])
    }

    @Test("a publisher hears that nobody subscribes when the last member has left")
    func nobodyLeft() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let p = broker.connects("p")
        a.joins("$share/g/t", .atLeastOnce)
        p.sends(.publish(topic: "t", qos: .atLeastOnce, id: 1))
        p.receives(.pubAck(id: 1))
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        p.sends(.publish(topic: "t", qos: .atLeastOnce, id: 2))
        p.receives(.pubAck(id: 2, reason: .noMatchingSubscribers))
    }

    @Test("a session is a member of so many groups and no more")
    func bounded() {
        var settings = BrokerSettings()
        settings.sharesMax = 1
        let broker = ShardHarness(settings)
        let a = broker.connects("a")
        a.sends(.subscribe(id: 1, filters: "$share/g/t", "$share/h/t", "$share/g/t", qos: .atLeastOnce))
        a.receives(.subAck(id: 1, reasons: .grantedQoS1, .quotaExceeded, .grantedQoS1))
    }

    @Test("there are as many groups as there may be sessions that outlive their connection, and no more")
    func boundedGroups() {
        var settings = BrokerSettings()
        settings.sessionsMax = 2
        let broker = ShardHarness(settings)
        let a = broker.connectsDurably("a")
        _ = a.takes()
        a.sends(.subscribe(id: 1, filters: "$share/g/t", "$share/h/t", "$share/i/t", qos: .atLeastOnce))
        a.receives(.subAck(id: 1, reasons: .grantedQoS1, .grantedQoS1, .quotaExceeded))
        // Groups do not take the places of sessions.
        let b = broker.connectsDurably("b")
        b.receivesConnAck()
        // Joining one that is there takes nothing.
        b.sends(.subscribe(id: 1, filters: "$share/g/t", qos: .atLeastOnce))
        b.receives(.subAck(id: 1, reasons: .grantedQoS1))
    }

    // MARK: Room

    @Test("members take from the queue as their windows have room")
    func room() {
        let broker = ShardHarness()
        let narrow = broker.connects("narrow", receiveMaximum: 1)
        let wide = broker.connects("wide", receiveMaximum: 3)
        narrow.joins("$share/g/t", .atLeastOnce)
        wide.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...6)
        let first = narrow.takesMessages()
        #expect(first.map(\.text) == ["1"])
        #expect(wide.acknowledgesAll() == ["2", "3", "4"])
        #expect(wide.texts == ["5", "6"])
        narrow.sends(.pubAck(id: first[0].packetID))
        narrow.receivesNothing()
    }

    @Test("a full queue in memory gives up its oldest message")
    func fullQueue() {
        var settings = BrokerSettings.shared
        settings.queueMessagesMax = 2
        let broker = ShardHarness(settings)
        let a = broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...5)
        #expect(broker.shard.counters.queueDropped == 2)
        #expect(a.acknowledgesAll() == ["1"])
        #expect(a.acknowledgesAll() == ["4"])
        #expect(a.acknowledgesAll() == ["5"])
        #expect(broker.books.isClosed)
    }

    @Test("what waits in memory for a group for too long goes")
    func ages() {
        var settings = BrokerSettings.shared
        settings.queueAgeMax = .seconds(60)
        let broker = ShardHarness(settings)
        let a = broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.says(1...3)
        broker.advance(.seconds(50))
        p.says(4...4)
        broker.advance(.seconds(12))
        #expect(broker.shard.counters.drops[.aged] == 2)
        #expect(a.acknowledgesAll() == ["1"])
        #expect(a.acknowledgesAll() == ["4"])
        #expect(broker.books.isClosed)
    }

    @Test("QoS 0 goes to a member that is there and writable, or to nobody")
    func atMostOnce() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .atMostOnce)
        b.joins("$share/g/t", .atMostOnce)
        b.vanishes()
        let p = broker.connects("p")
        p.says(1...2, .atMostOnce)
        #expect(a.texts == ["1", "2"])
        a.becomesWritable(false)
        p.says(3...3, .atMostOnce)
        #expect(broker.shard.counters.qos0Dropped == 1)
        #expect(broker.connectsDurably("b").takes().count == 1)
    }

    @Test("a message that is too large for one member goes to another, and counts when it is for all [5:MQTT-3.1.2-25]")
    func tooLarge() {
        let broker = ShardHarness()
        let small = broker.connects("small", packetBytesMax: 20)
        let p = broker.connects("p")
        small.joins("$share/g/t", .atLeastOnce)
        let text = String(repeating: "x", count: 40)
        p.sends(.publish(topic: "t", payload: text, qos: .atLeastOnce, id: 1))
        #expect(broker.shard.counters.tooLarge == 1)
        let large = broker.connects("large")
        large.joins("$share/g/t", .atLeastOnce)
        for id in UInt16(2)...4 { p.sends(.publish(topic: "t", payload: text, qos: .atLeastOnce, id: id)) }
        #expect(large.acknowledgesAll().count == 3)
        small.receivesNothing()
        p.sends(.publish(topic: "t", payload: "y", qos: .atLeastOnce, id: 5))
        #expect(small.acknowledgesAll() == ["y"])
    }

    @Test("what has expired is not dealt out [5:MQTT-3.3.2-5]", arguments: [false, true])
    func expired(_ isDurable: Bool) {
        let broker = ShardHarness(.shared)
        let a = isDurable ? broker.connectsDurably("a", receiveMaximum: 1) : broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1, expiry: 5))
        p.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2, expiry: 5))
        p.sends(.publish(topic: "t", payload: "3", qos: .atLeastOnce, id: 3, expiry: 50))
        broker.advance(.seconds(10))
        #expect(a.acknowledgesAll() == ["1"])
        #expect(a.acknowledgesAll() == ["3"])
        #expect(broker.shard.counters.expired == 1)
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }
}
