import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("SUBSCRIBE and UNSUBSCRIBE")
struct SubscribeTests {
    @Test("a subscription is replaced, not doubled [5:MQTT-3.8.4-3]", arguments: bothVersions)
    func replaced(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connects("a", version)
        client.sends(
            .subscribe(id: 1, filters: "t", qos: .atMostOnce), .subscribe(id: 2, filters: "t", qos: .atLeastOnce))
        client.receives(.subAck(id: 1, reasons: .success), .subAck(id: 2, reasons: .grantedQoS1))
        client.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 5))
        let messages = client.takesMessages()
        #expect(messages.map(\.qos) == [.atLeastOnce])
    }

    @Test("overlapping subscriptions give one copy with all identifiers and the highest QoS [5:MQTT-3.3.4-2]")
    func overlapping() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        client.sends(
            .subscribe(id: 1, filters: "t/#", options: SubscriptionOptions(maximumQoS: .atMostOnce), identifier: 10),
            .subscribe(id: 2, filters: "t/+", options: SubscriptionOptions(maximumQoS: .atLeastOnce), identifier: 11),
            .subscribe(id: 3, filters: "t/1", options: SubscriptionOptions(maximumQoS: .atMostOnce))
        )
        _ = client.takes()
        client.sends(.publish(topic: "t/1", payload: "x", qos: .exactlyOnce, id: 5))
        let messages = client.takesMessages()
        #expect(messages.map(\.qos) == [.atLeastOnce])
        #expect(messages.map { $0.properties.subscriptionIdentifiers.sorted() } == [[10, 11]])
    }

    @Test("No Local: a message does not return to its publisher [5:MQTT-3.8.3-3]")
    func noLocal() {
        let broker = ShardHarness()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        a.sends(.subscribe(id: 1, filters: "t", options: SubscriptionOptions(noLocal: true)))
        a.receives(.subAck(id: 1, reasons: .success))
        a.sends(.publish(topic: "t", payload: "mine"))
        a.receivesNothing()
        b.sends(.publish(topic: "t", payload: "yours"))
        a.receives(.publish(topic: "t", payload: "yours"))
    }

    @Test("Retain As Published keeps the flag, without it the flag is 0 [5:MQTT-3.3.1-12] [5:MQTT-3.3.1-13]")
    func retainAsPublished() {
        let broker = ShardHarness()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        a.sends(.subscribe(id: 1, filters: "t", options: SubscriptionOptions(retainAsPublished: true)))
        b.sends(.subscribe(id: 1, filters: "t"))
        _ = (a.takes(), b.takes())
        a.sends(.publish(topic: "t", payload: "x", isRetained: true))
        a.receives(.publish(topic: "t", payload: "x", isRetained: true))
        b.receives(.publish(topic: "t", payload: "x"))
    }

    @Test("wildcards at the first level spare $ topics [5:MQTT-4.7.2-1]")
    func reserved() throws {
        var tree = RouteTable()
        tree.subscribe("#", 1)
        tree.subscribe("+/x", 2)
        tree.subscribe("$SYS/#", 3)
        #expect(tree.route("$SYS/x") == [3])
        #expect(tree.route("SYS/x") == [1, 2])
    }

    @Test("UNSUBACK says what was there [5:MQTT-3.10.4-1]", arguments: bothVersions)
    func unsubscribe(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connectsDurably("a", version)
        client.sends(.subscribe(id: 1, filters: "t", "u"))
        _ = client.takes()
        client.sends(.unsubscribe(id: 2, filters: "t", "nothing"))
        if version == .v5 {
            client.receives(.unsubAck(id: 2, reasons: .success, .noSubscriptionExisted))
        } else {
            client.receives(.unsubAck(UnsubAck(packetID: 2)))
        }
        client.sends(.publish(topic: "t", payload: "x"))
        client.receivesNothing()
        broker.restarts()
        let back = broker.connectsDurably("a", version)
        _ = back.takes()
        back.sends(.publish(topic: "t", payload: "x"), .publish(topic: "u", payload: "y"))
        back.receives(.publish(topic: "u", payload: "y"))
    }

    @Test("subscriptions of a session are bounded", arguments: bothVersions)
    func bounded(_ version: ProtocolVersion) {
        var settings = BrokerSettings()
        settings.subscriptionsMax = 2
        let broker = ShardHarness(settings)
        let client = broker.connects("a", version)
        client.sends(.subscribe(id: 1, filters: "1", "2", "3", "1"))
        let reason: ReasonCode = version == .v5 ? .quotaExceeded : .unspecifiedError
        client.receives(.subAck(id: 1, reasons: .success, .success, reason, .success))
    }

    @Test("a place that a session left is not reached by the routes of the time before")
    func slotReuse() {
        let broker = ShardHarness()
        let publisher = broker.connects("p")
        let old = broker.connects("old")
        old.sends(.subscribe(id: 1, filters: "t"))
        publisher.sends(.publish(topic: "t", payload: "1"))
        #expect(old.takesMessages().count == 1)
        old.vanishes()
        let new = broker.connects("new")
        publisher.sends(.publish(topic: "t", payload: "2"))
        new.receivesNothing()
        #expect(broker.shard.counters.qos0Dropped == 0)
    }
}

@Suite("Retained messages")
struct RetainedTests {
    @Test("the last one is kept, replayed with the flag and deleted by an empty one", arguments: bothVersions)
    func life(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (a, b) = (broker.connects("a", version), broker.connects("b", version))
        a.sends(.publish(topic: "t/1", payload: "old", isRetained: true))
        a.sends(.publish(topic: "t/1", payload: "new", isRetained: true))
        a.sends(.publish(topic: "t/2", payload: "two", isRetained: true))
        b.sends(.subscribe(id: 1, filters: "t/#"))
        b.receives(
            .subAck(id: 1, reasons: .success),
            .publish(topic: "t/1", payload: "new", isRetained: true),
            .publish(topic: "t/2", payload: "two", isRetained: true)
        )
        broker.restarts()
        let c = broker.connects("c", version)
        c.sends(.publish(topic: "t/1", payload: "", isRetained: true), .subscribe(id: 1, filters: "t/#"))
        c.receives(
            .subAck(id: 1, reasons: .success),
            .publish(topic: "t/2", payload: "two", isRetained: true)
        )
        #expect(broker.spool.retained == 1)
    }

    @Test("what is retained while the SUBACK waits comes once, as what it is: new", arguments: bothVersions)
    func retainedMeanwhile(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let publisher = broker.connects("p")
        publisher.sends(.publish(topic: "t/1", payload: "old", isRetained: true))
        publisher.sends(.publish(topic: "t/2", payload: "old", isRetained: true))
        let client = broker.connectsDurably("c", version)
        _ = client.takes()
        broker.commitsAtOnce = false
        client.sends(.subscribe(id: 1, filters: "t/#"))
        publisher.sends(.publish(topic: "t/1", payload: "new", isRetained: true))
        broker.settle()
        let messages = client.takesMessages()
        #expect(messages.map(\.text).sorted() == ["new", "old"])
        #expect(messages.first { $0.text == "new" }?.isRetained == false)
        // Another connection of the session hears what is retained by then.
        client.sends(.subscribe(id: 2, filters: "t/#"))
        client.vanishes()
        publisher.sends(.publish(topic: "t/1", payload: "newer", isRetained: true))
        let back = broker.connectsDurably("c", version)
        broker.settle()
        #expect(back.takesMessages().map(\.text).sorted() == ["newer", "old"])
    }

    @Test(
        "retained messages come behind the SUBACK, also when that waits for the disk [5:MQTT-3.8.4-1] [311:MQTT-3.8.4-1]",
        arguments: bothVersions)
    func behindSubAck(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let publisher = broker.connects("p")
        for qos in QoS.allCases {
            let id = UInt16(qos.rawValue)
            publisher.sends(
                .publish(topic: MQTTString("t/\(id)"), payload: "\(id)", qos: qos, id: id, isRetained: true))
        }
        let client = broker.connectsDurably("c", version)
        _ = client.takes()
        broker.commitsAtOnce = false
        client.sends(
            .subscribe(id: 1, filters: "t/#", qos: .exactlyOnce), .subscribe(id: 2, filters: "t/1", qos: .atMostOnce))
        client.receivesNothing()
        broker.settle()
        let packets = client.takes()
        #expect(packets.prefix(2) == [.subAck(id: 1, reasons: .grantedQoS2), .subAck(id: 2, reasons: .success)])
        let messages = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(messages.map(\.text).sorted() == ["0", "1", "1", "2"])
        #expect(messages.count == packets.count - 2)
        // One that is cut before it was answered takes nothing along.
        client.sends(.subscribe(id: 3, filters: "t/0"))
        client.vanishes()
        let back = broker.connectsDurably("c", version)
        broker.settle()
        _ = back.takes()
        back.sends(.subscribe(id: 4, filters: "t/2"))
        broker.settle()
        #expect(back.takes().first == .subAck(id: 4, reasons: .success))
        back.sends(.subscribe(id: 5, filters: "t/2"))
        broker.settle()
        #expect(back.takesMessages().map(\.text) == ["2"])
    }

    @Test("Retain Handling [5:MQTT-3.3.1-9] [5:MQTT-3.3.1-10] [5:MQTT-3.3.1-11]")
    func handling() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        client.sends(.publish(topic: "t", payload: "x", isRetained: true))
        func replays(_ handling: SubscriptionOptions.RetainHandling) -> Int {
            client.sends(.subscribe(id: 1, filters: "t", options: SubscriptionOptions(retainHandling: handling)))
            return client.takesMessages().count
        }
        #expect(replays(.doNotSend) == 0)
        #expect(replays(.sendOnNewSubscription) == 0)
        #expect(replays(.sendOnSubscribe) == 1)
        client.sends(.unsubscribe(id: 2, filters: "t"))
        #expect(replays(.sendOnNewSubscription) == 1)
    }

    @Test("a replay feeds the window and never the queue, also of a durable session", arguments: [false, true])
    func window(_ isDurable: Bool) {
        let broker = ShardHarness()
        let a = broker.connects("a", .v3_1_1)
        for number in 0..<200 {
            a.sends(
                .publish(
                    topic: MQTTString("t/\(1000 + number)"),
                    payload: "\(number)",
                    qos: number % 3 == 0 ? .exactlyOnce : number % 3 == 1 ? .atLeastOnce : .atMostOnce,
                    id: UInt16(number + 1),
                    isRetained: true
                )
            )
        }
        var client = AutomaticClient(
            isDurable ? broker.connectsDurably("b", receiveMaximum: 3) : broker.connects("b", receiveMaximum: 3)
        )
        client.peer.sends(.subscribe(id: 1, filters: "t/#", qos: .exactlyOnce))
        #expect(client.peer.connection.session?.window.count == 3)
        for _ in 0..<400 { client.acts(atMost: 2) }
        #expect(Set(client.seen).count == 200)
        #expect(client.seen.count == 200)
        #expect(broker.spool.rows == 0)
    }

    @Test("many filters that match everything hold the topics of one at a time")
    func replayIsBounded() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        for number in 0..<50 { a.sends(.publish(topic: MQTTString("t/\(number)"), payload: "x", isRetained: true)) }
        let b = broker.connects("b")
        b.becomesWritable(false)
        for _ in 0..<100 { b.sends(.subscribe(id: 1, filters: "#", "t/#", "+/+")) }
        // Replaced ones are cleared away before they are more than twice what is wanted.
        #expect((3...7).contains(b.connection.session?.waitingReplays ?? 0))
        b.becomesWritable(true)
        #expect(b.takesMessages().count == 150)
    }

    @Test("a replay larger than the write buffer waits for the peer, and nothing of it is dropped")
    func writeBuffer() {
        var settings = BrokerSettings()
        settings.writeBufferBytesMax = 200
        let broker = ShardHarness(settings)
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        for number in 0..<50 {
            let topic = MQTTString("t/\(number)")
            a.sends(.publish(topic: topic, payload: String(repeating: "x", count: 90), isRetained: true))
        }
        b.sends(.subscribe(id: 1, filters: "t/#"))
        var count = b.takesMessages().count
        #expect(count == 2)
        while count < 50 {
            // What a channel says when so many bytes were written to it, and then when they are out.
            b.becomesWritable(false)
            b.becomesWritable(true)
            let more = b.takesMessages().count
            guard more > 0 else { break }
            count += more
        }
        #expect(count == 50)
        #expect(broker.shard.counters.qos0Dropped == 0)
    }

    @Test("a durable session's replay goes on after a return")
    func resumes() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        for number in 0..<5 { a.sends(.publish(topic: MQTTString("t/\(number)"), payload: "x", isRetained: true)) }
        let b = broker.connectsDurably("b")
        b.becomesWritable(false)
        b.sends(.subscribe(id: 1, filters: "#"))
        b.vanishes()
        let back = broker.connectsDurably("b")
        #expect(back.takesMessages().count == 5)
    }

    @Test("number and size are bounded: refused with 0x97, and version 3 loses its connection")
    func limits() {
        var settings = BrokerSettings()
        settings.retainedMessagesMax = 1
        settings.retainedPayloadMax = 3
        let broker = ShardHarness(settings)
        let a = broker.connects("a")
        a.sends(.publish(topic: "t", payload: "1234", qos: .atLeastOnce, id: 1, isRetained: true))
        a.receives(.pubAck(id: 1, reason: .quotaExceeded))
        a.sends(.publish(topic: "t", payload: "123", qos: .exactlyOnce, id: 2, isRetained: true))
        a.receives(.pubRec(id: 2, reason: .noMatchingSubscribers))
        a.sends(.publish(topic: "u", payload: "1", qos: .exactlyOnce, id: 3, isRetained: true))
        a.receives(.pubRec(id: 3, reason: .quotaExceeded))
        a.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 4, isRetained: true))
        a.receives(.pubAck(id: 4, reason: .noMatchingSubscribers))
        let old = broker.connects("b", .v3_1_1)
        old.sends(.publish(topic: "u", payload: "1", qos: .atLeastOnce, id: 1, isRetained: true))
        old.receivesNothing()
        #expect(old.isClosed)
    }

    @Test("expired retained messages make room, though nobody asks for them [5:MQTT-3.3.2-5]")
    func expiredMakeRoom() {
        var settings = BrokerSettings()
        settings.retainedMessagesMax = 20
        let broker = ShardHarness(settings)
        let a = broker.connects("a")
        for number in 0..<20 {
            a.sends(.publish(topic: MQTTString("t/\(number)"), payload: "x", isRetained: true, expiry: 10))
        }
        a.sends(.publish(topic: "u", payload: "x", qos: .atLeastOnce, id: 1, isRetained: true))
        a.receives(.pubAck(id: 1, reason: .quotaExceeded))
        broker.advance(.seconds(10))
        a.sends(.publish(topic: "u", payload: "x", qos: .atLeastOnce, id: 2, isRetained: true))
        a.receives(.pubAck(id: 2, reason: .noMatchingSubscribers))
        #expect(broker.shard.retained.count == 1)
        #expect(broker.spool.retained == 1)
    }

    @Test("what has expired goes as others come, long before there is no room")
    func expiredGo() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        for number in 0..<100 {
            a.sends(.publish(topic: MQTTString("t/\(number)"), payload: "x", isRetained: true, expiry: 10))
        }
        broker.advance(.seconds(10))
        for number in 0..<50 { a.sends(.publish(topic: MQTTString("u/\(number)"), payload: "x", isRetained: true)) }
        #expect(broker.shard.retained.count == 50)
    }

    @Test("an expired retained message is neither replayed nor kept [5:MQTT-3.3.2-5]")
    func expiry() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        a.sends(.publish(topic: "t", payload: "x", isRetained: true, expiry: 10))
        broker.advance(.seconds(4))
        a.sends(.subscribe(id: 1, filters: "t"))
        a.receives(
            .subAck(id: 1, reasons: .success),
            .publish(topic: "t", payload: "x", isRetained: true, expiry: 6)
        )
        broker.advance(.seconds(6))
        a.sends(.subscribe(id: 2, filters: "t"))
        a.receives(.subAck(id: 2, reasons: .success))
        #expect(broker.spool.retained == 0)
    }
}

@Suite("Bounds towards receivers")
struct ReceiverBoundsTests {
    @Test("message expiry is counted down, rounded up and never 0 [5:MQTT-3.3.2-6]", arguments: [false, true])
    func expiry(_ isDurable: Bool) {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = isDurable ? broker.connectsDurably("b") : broker.connects("b")
        b.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        b.becomesWritable(false)
        a.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1, expiry: 5))
        a.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2, expiry: 10))
        broker.advance(.milliseconds(5_100))
        _ = b.takes()
        b.becomesWritable(true)
        let messages = b.takesMessages()
        #expect(messages.map(\.text) == ["2"])
        #expect(messages.map(\.properties.messageExpiryInterval) == [5])
        #expect(broker.shard.counters.expired == 1)
        #expect(broker.spool.givenUp == (isDurable ? [.expired] : []))
    }

    @Test("a packet over the client's Maximum Packet Size is dropped as if delivered [5:MQTT-3.1.2-25]")
    func maximumPacketSize() {
        let broker = ShardHarness()
        let a = broker.connects("a")
        let b = broker.opens()
        b.sends(.connect(clientID: "b", cleanStart: false, expiry: 60, packetBytesMax: 60))
        b.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = b.takes()
        for qos in QoS.allCases {
            a.sends(
                .publish(
                    topic: "t", payload: String(repeating: "x", count: 60), qos: qos, id: qos == .atMostOnce ? 0 : 1))
            if qos == .exactlyOnce { a.sends(.pubRel(id: 1)) }
        }
        b.receivesNothing()
        a.sends(.publish(topic: "t", payload: "small", qos: .atLeastOnce, id: 1))
        #expect(b.takesMessages().map(\.text) == ["small"])
        #expect(broker.shard.counters.tooLarge == 3)
        #expect(broker.spool.givenUp == [.tooLarge, .tooLarge])
        #expect(broker.spool.rows == 1)
    }

    @Test("never more unanswered messages than the client allows [5:MQTT-3.3.4-9]", arguments: QoS.allCases.dropFirst())
    func receiveMaximum(_ qos: QoS) {
        let broker = ShardHarness()
        let a = broker.connects("a", .v3_1_1)
        var b = AutomaticClient(broker.connects("b", receiveMaximum: 2))
        b.peer.sends(.subscribe(id: 1, filters: "t", qos: qos))
        _ = b.peer.takes()
        for number in 1...10 { a.sends(.publish(topic: "t", payload: "\(number)", qos: qos, id: UInt16(number))) }
        #expect(b.peer.connection.session?.window.count == 2)
        for _ in 0..<30 { b.acts(atMost: 1) }
        #expect(b.seen == (1...10).map(String.init))
    }

    @Test("a slow reader loses QoS 0, counted; QoS 1 waits, bounded", arguments: bothVersions)
    func slowReader(_ version: ProtocolVersion) {
        var settings = BrokerSettings()
        settings.queueMessagesMax = 3
        let broker = ShardHarness(settings)
        let (a, b) = (broker.connects("a", version), broker.connects("b", version))
        b.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        b.becomesWritable(false)
        _ = b.takes()
        a.sends(.publish(topic: "t", payload: "0"))
        for number in 1...5 {
            a.sends(.publish(topic: "t", payload: "\(number)", qos: .atLeastOnce, id: UInt16(number)))
        }
        b.receivesNothing()
        b.becomesWritable(true)
        #expect(b.takesMessages().map(\.text) == ["3", "4", "5"])
        #expect(broker.shard.counters.qos0Dropped == 1)
        #expect(broker.shard.counters.queueDropped == 2)
    }

    @Test("what waits in memory for too long goes, by a timer that is there only while something waits")
    func ages() {
        var settings = BrokerSettings()
        settings.queueAgeMax = .seconds(60)
        settings.keepsLedger = true
        let broker = ShardHarness(settings)
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        b.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        b.becomesWritable(false)
        _ = b.takes()
        broker.advance(.seconds(60))
        let timers = broker.shard.timerCount
        a.sends(.publish(topic: "t", payload: "1", qos: .atLeastOnce, id: 1))
        #expect(broker.shard.timerCount == timers + 1)
        broker.advance(.seconds(50))
        a.sends(.publish(topic: "t", payload: "2", qos: .atLeastOnce, id: 2))
        broker.advance(.seconds(9))
        #expect(broker.shard.counters.drops[.aged] == 0)
        broker.advance(.seconds(3))
        #expect(broker.shard.counters.drops[.aged] == 1)
        b.becomesWritable(true)
        #expect(b.takesMessages().map(\.text) == ["2"])
        broker.advance(.seconds(3))
        #expect(broker.shard.timerCount == timers)
        #expect(broker.books.isClosed)
    }

    @Test("another bound on age holds for what waits already, and no bound keeps it")
    func otherAge() {
        let broker = ShardHarness()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        b.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        b.becomesWritable(false)
        _ = b.takes()
        for id in UInt16(1)...3 {
            a.sends(.publish(topic: "t", payload: "\(id)", qos: .atLeastOnce, id: id))
            broker.advance(.seconds(100))
        }
        broker.reconfigures { $0.queueAgeMax = .seconds(250) }
        broker.advance(.seconds(10))
        #expect(broker.shard.counters.drops[.aged] == 1)
        broker.reconfigures { $0.queueAgeMax = nil }
        broker.advance(.seconds(1_000))
        b.becomesWritable(true)
        #expect(b.takesMessages().map(\.text) == ["2", "3"])
    }
}
