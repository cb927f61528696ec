import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

extension ScriptedPeer {
    /// Subscribes, and reads the SUBACK away.
    func joins(_ filter: String, _ qos: QoS, identifier: UInt32? = nil, retainAsPublished: Bool = false) {
        sends(
            .subscribe(
                id: 60_000,
                filters: filter,
                options: SubscriptionOptions(maximumQoS: qos, retainAsPublished: retainAsPublished),
                identifier: identifier
            )
        )
        _ = takes()
    }

    /// Publishes numbered messages, one after the other.
    func says(_ numbers: ClosedRange<Int>, to topic: MQTTString = "t", _ qos: QoS = .atLeastOnce) {
        for number in numbers {
            let id = qos == .atMostOnce ? 0 : UInt16(number)
            sends(.publish(topic: topic, payload: "\(number)", qos: qos, id: id))
            if qos == .exactlyOnce { sends(.pubRel(id: id)) }
        }
        _ = takes()
    }

    var texts: [String] { takesMessages().map(\.text) }

    /// Acknowledges what came with QoS 1, and says what it was.
    func acknowledgesAll() -> [String] {
        let messages = takesMessages()
        for message in messages where message.qos == .atLeastOnce { sends(.pubAck(id: message.packetID)) }
        return messages.map(\.text)
    }
}

@Suite("Shared subscriptions")
struct SharedTests {
    private static let settings: BrokerSettings = {
        var settings = BrokerSettings()
        settings.keepsLedger = true
        return settings
    }()

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
        var settings = Self.settings
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
        var settings = Self.settings
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
        let broker = ShardHarness(Self.settings)
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

    // MARK: A member dies

    @Test("what a dead member had of QoS 1 goes to another, before what came later", arguments: [false, true])
    func redelivery(_ isDurable: Bool) {
        let broker = ShardHarness(Self.settings)
        func member(_ name: MQTTString) -> ScriptedPeer {
            isDurable ? broker.connectsDurably(name, receiveMaximum: 2) : broker.connects(name, receiveMaximum: 2)
        }
        let a = member("a")
        let b = member("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...6)
        #expect(a.texts == ["1", "3"])
        let held = b.takesMessages()
        #expect(held.map(\.text) == ["2", "4"])
        a.vanishes()
        b.receivesNothing()
        for message in held { b.sends(.pubAck(id: message.packetID)) }
        #expect(b.acknowledgesAll() == ["1", "3"])
        #expect(b.acknowledgesAll() == ["5", "6"])
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("when the node says goodbye, what one member had does not go through the hands of the others")
    func draining() {
        let broker = ShardHarness()
        let members = ["a", "b", "c"].map { broker.connectsDurably(MQTTString($0)) }
        for member in members { member.joins("$share/g/t", .atLeastOnce) }
        broker.connects("p").says(1...3)
        for member in members { #expect(member.texts.count == 1) }
        broker.perform { shard, now in shard.drain(now: now) }
        for member in members { member.receives(.disconnect(reason: .serverShuttingDown)) }
        #expect(broker.spool.rows == 3)
    }

    @Test("what no member is there for waits for the next one, in order")
    func nobodyThere() {
        let broker = ShardHarness(Self.settings)
        let a = broker.connectsDurably("a")
        a.joins("$share/g/t", .atLeastOnce)
        a.vanishes()
        broker.connects("p").says(1...3)
        #expect(broker.spool.rows == 3)
        let b = broker.connects("b")
        b.sends(.subscribe(id: 1, filters: "$share/g/t", qos: .atLeastOnce))
        #expect(b.acknowledgesAll() == ["1", "2", "3"])
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a session that returns finds what its group has waiting")
    func returning() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        a.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.says(1...1)
        a.vanishes()
        p.says(2...3)
        let back = broker.connectsDurably("a")
        #expect(back.acknowledgesAll() == ["1", "2", "3"])
        #expect(broker.spool.rows == 0)
    }

    @Test("QoS 2 that was sent is finished with the same client when it returns [5:MQTT-4.8.2-4]")
    func exactlyOnceIsFinished() {
        let broker = ShardHarness(Self.settings)
        let a = broker.connectsDurably("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .exactlyOnce)
        b.joins("$share/g/t", .exactlyOnce)
        let p = broker.connects("p")
        p.says(1...2, .exactlyOnce)
        let id = a.receivesMessage("t", "1", .exactlyOnce)
        let other = b.receivesMessage("t", "2", .exactlyOnce)
        a.vanishes()
        b.sends(.pubRec(id: other), .pubComp(id: other))
        b.receives(.pubRel(id: other))
        let back = broker.connectsDurably("a")
        #expect(
            back.takes().dropFirst() == [
                .publish(topic: "t", payload: "1", qos: .exactlyOnce, id: id, isDuplicate: true)
            ]
        )
        back.sends(.pubRec(id: id))
        back.receives(.pubRel(id: id))
        back.vanishes()
        let again = broker.connectsDurably("a")
        #expect(again.takes().dropFirst() == [.pubRel(id: id)])
        again.sends(.pubComp(id: id))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
        #expect(broker.books.isClosed)
    }

    @Test("QoS 2 of a session that ends goes to nobody else [5:MQTT-4.8.2-5]", arguments: [false, true])
    func exactlyOnceEnds(_ isDurable: Bool) {
        let broker = ShardHarness(Self.settings)
        let a = isDurable ? broker.connectsDurably("a") : broker.connects("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .exactlyOnce)
        b.joins("$share/g/t", .exactlyOnce)
        broker.connects("p").says(1...2, .exactlyOnce)
        _ = a.receivesMessage("t", "1", .exactlyOnce)
        let other = b.receivesMessage("t", "2", .exactlyOnce)
        a.vanishes()
        if isDurable { broker.connects("a").vanishes() }
        b.receivesNothing()
        b.sends(.pubRec(id: other), .pubComp(id: other))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
        #expect(broker.spool.givenUp == [.ended])
        #expect(broker.books.isClosed)
    }

    @Test("QoS 2 that was not sent yet goes to another member")
    func unsentExchange() {
        let broker = ShardHarness(Self.settings)
        let a = broker.connectsDurably("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .exactlyOnce)
        b.joins("$share/g/t", .exactlyOnce)
        let p = broker.connects("p")
        broker.commitsAtOnce = false
        p.sends(.publish(topic: "t", payload: "1", qos: .exactlyOnce, id: 1))
        broker.commit()
        // Its identifier is not on disk yet.
        a.vanishes()
        broker.settle()
        a.receivesNothing()
        let id = b.receivesMessage("t", "1", .exactlyOnce)
        b.sends(.pubRec(id: id), .pubComp(id: id))
        broker.settle()
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a failing answer of a member settles a message for the group [5:MQTT-4.8.2-6]", arguments: [false, true])
    func failingAnswer(_ isDurable: Bool) {
        let broker = ShardHarness(Self.settings)
        let members = ["a", "b"].map {
            isDurable ? broker.connectsDurably(MQTTString($0)) : broker.connects(MQTTString($0))
        }
        for member in members { member.joins("$share/g/t", .exactlyOnce) }
        let p = broker.connects("p")
        p.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        members[0].sends(.pubAck(id: members[0].receivesMessage("t", "1", .atLeastOnce), reason: .unspecifiedError))
        p.sends(.publish(topic: "t", payload: "2", qos: .exactlyOnce, id: 2), .pubRel(id: 2))
        members[1].sends(.pubRec(id: members[1].receivesMessage("t", "2", .exactlyOnce), reason: .quotaExceeded))
        for member in members { member.receivesNothing() }
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
        #expect(broker.books.isClosed)
    }

    // MARK: Leaving

    @Test("a member that unsubscribes finishes what it was sent [5:MQTT-3.10.4-3]")
    func unsubscribing() {
        let broker = ShardHarness(Self.settings)
        let a = broker.connectsDurably("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.says(1...2)
        let id = a.receivesMessage("t", "1", .atLeastOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        a.receives(.unsubAck(id: 2, reasons: .success))
        p.says(3...3)
        #expect(b.acknowledgesAll() == ["2", "3"])
        a.sends(.pubAck(id: id))
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    @Test("the last member that leaves takes the queue with it", arguments: [false, true])
    func lastMember(_ isDurable: Bool) {
        let broker = ShardHarness(Self.settings)
        let a = isDurable ? broker.connectsDurably("a", receiveMaximum: 1) : broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .exactlyOnce)
        broker.connects("p").says(1...3)
        let id = a.receivesMessage("t", "1", .atLeastOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        _ = a.takes()
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
        a.sends(.pubAck(id: id))
        a.receivesNothing()
        a.joins("$share/g/t", .exactlyOnce)
        broker.connects("q").says(4...4)
        #expect(a.acknowledgesAll() == ["4"])
    }

    @Test("an exchange whose group is gone is released when its client returns")
    func exchangeWithoutGroup() {
        let broker = ShardHarness(Self.settings)
        let a = broker.connectsDurably("a")
        a.joins("$share/g/t", .exactlyOnce)
        broker.connects("p").says(1...1, .exactlyOnce)
        let id = a.receivesMessage("t", "1", .exactlyOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        _ = a.takes()
        a.vanishes()
        let back = broker.connectsDurably("a")
        #expect(back.takes().dropFirst() == [.pubRel(id: id)])
        back.sends(.pubComp(id: id))
        #expect(broker.spool.identifiers == 0)
        #expect(broker.books.isClosed)
    }

    @Test("a group is durable from its first durable member on; what memory has goes out first")
    func becomesDurable() {
        let broker = ShardHarness(Self.settings)
        let a = broker.connects("a", receiveMaximum: 1)
        a.joins("$share/g/t", .atLeastOnce)
        let p = broker.connects("p")
        p.says(1...3)
        #expect(broker.spool.rows == 0)
        let b = broker.connectsDurably("b")
        b.joins("$share/g/t", .atLeastOnce)
        b.vanishes()
        p.says(4...5)
        #expect(broker.spool.rows > 0)
        var seen: [String] = []
        for _ in 0..<8 { seen += a.acknowledgesAll() }
        #expect(seen == ["1", "2", "3", "4", "5"])
        #expect(broker.spool.rows == 0)
        #expect(broker.books.isClosed)
    }

    // MARK: Restart

    @Test("a restart keeps the queue of a group and what its members had")
    func restart() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        let b = broker.connects("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        broker.connects("p").says(1...4)
        #expect(a.acknowledgesAll() == ["1", "3"])
        #expect(b.texts == ["2", "4"])
        broker.restarts()
        #expect(broker.spool.rows == 2)
        #expect(broker.connectsDurably("a").acknowledgesAll() == ["2", "4"])
        #expect(broker.spool.rows == 0)
    }

    @Test("after a restart QoS 2 is finished with the client that had it; what only the dead had is over")
    func restartOfExchanges() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        let b = broker.connectsDurably("b")
        let c = broker.connects("c")
        for member in [a, b, c] { member.joins("$share/g/t", .exactlyOnce) }
        broker.connects("p").says(1...3, .exactlyOnce)
        let first = a.receivesMessage("t", "1", .exactlyOnce)
        let second = b.receivesMessage("t", "2", .exactlyOnce)
        _ = c.receivesMessage("t", "3", .exactlyOnce)
        a.sends(.pubRec(id: first))
        broker.restarts()
        #expect(broker.spool.givenUp == [.ended])
        let back = broker.connectsDurably("a")
        #expect(back.takes().dropFirst() == [.pubRel(id: first)])
        back.sends(.pubComp(id: first))
        let other = broker.connectsDurably("b")
        #expect(
            other.takes().dropFirst() == [
                .publish(topic: "t", payload: "2", qos: .exactlyOnce, id: second, isDuplicate: true)
            ]
        )
        other.sends(.pubRec(id: second), .pubComp(id: second))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("a group without durable members ends with the process")
    func restartWithoutMembers() {
        let broker = ShardHarness()
        let a = broker.connectsDurably("a")
        let b = broker.connects("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
        a.sends(.unsubscribe(id: 2, filters: "$share/g/t"))
        broker.connects("p").says(1...2)
        #expect(b.texts == ["1", "2"])
        #expect(broker.spool.rows == 2)
        broker.restarts()
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.receivers == 1)
    }

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
        var settings = Self.settings
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
        var settings = Self.settings
        settings.sharedOrder = .publisher
        let broker = ShardHarness(settings)
        let a = broker.connectsDurably("a")
        let b = broker.connectsDurably("b")
        a.joins("$share/g/t", .atLeastOnce)
        b.joins("$share/g/t", .atLeastOnce)
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
