import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// In which order a link sends what waits and what comes meanwhile.
@Suite("Lanes of a link")
struct LinkLanesTests {
    private static func broker(
        _ limits: LaneLimits = LaneLimits(),
        linkUsers: Set<MQTTString> = [],
        _ change: (inout LinkSettings) -> Void = { _ in }
    ) throws -> ShardHarness {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        change(&link)
        var settings = BrokerSettings()
        settings.links = [link]
        settings.linkLanes = limits
        settings.linkUsers = linkUsers
        return ShardHarness(settings)
    }

    /// - Parameter window: the upstream's Receive Maximum.
    private static func connect(
        _ broker: ShardHarness,
        window: UInt16,
        isSessionPresent: Bool = false
    ) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.last)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        var ack = ConnAck(reason: .success, isSessionPresent: isSessionPresent)
        ack.properties.receiveMaximum = window
        upstream.sends(.connAck(ack))
        return upstream
    }

    private static func publish(_ client: ScriptedPeer, _ topic: MQTTString, _ texts: [String], first: UInt16 = 1) {
        for (text, id) in zip(texts, first...) {
            client.sends(.publish(topic: topic, payload: text, qos: .atLeastOnce, id: id))
        }
        _ = client.takes()
    }

    /// Acknowledges one after the other what comes, and says what that was.
    private static func hear(_ upstream: ScriptedPeer, most: Int = .max) -> [String] {
        var heard: [String] = []
        var open = upstream.takesMessages()
        while !open.isEmpty, heard.count < most {
            let next = open.removeFirst()
            heard.append(next.text)
            upstream.sends(.pubAck(id: next.packetID))
            open += upstream.takesMessages()
        }
        return heard
    }

    private static func numbers(_ range: ClosedRange<Int>) -> [String] { range.map { "\($0)" } }

    @Test("what comes on a topic and from a publisher with nothing waiting takes every other place of the window")
    func live() throws {
        let broker = try Self.broker()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        Self.publish(a, "out/a", Self.numbers(1...12))
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(b, "out/b", ["x", "y", "z"])
        #expect(Self.hear(upstream) == ["1", "2", "x", "3", "y", "4", "z"] + Self.numbers(5...12))
        #expect(broker.spool.rows == 0)
        #expect(broker.shard.links.first?.state == .live)
    }

    @Test("a topic with little waiting does not wait for one with much")
    func light() throws {
        let broker = try Self.broker()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        let many = LaneLimits().light + 40
        for number in 1...many {
            a.sends(.publish(topic: "out/a", payload: "\(number)", qos: .atLeastOnce, id: UInt16(number)))
        }
        Self.publish(b, "out/b", ["x"])
        Self.publish(a, "out/b", ["later"], first: 5_000)
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(b, "out/b", ["latest"], first: 2)
        let heard = Self.hear(upstream)
        #expect(heard.count == many + 3)
        #expect(heard.firstIndex(of: "x") == LaneLimits().light)
        #expect(heard.suffix(3) == ["\(many)", "later", "latest"])
        #expect(heard.filter { UInt(String($0)) != nil } == Self.numbers(1...many))
    }

    @Test("a topic keeps its order, whoever publishes to it")
    func topic() throws {
        let broker = try Self.broker { $0.queueOrder = .topic }
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        Self.publish(a, "out/a", Self.numbers(1...5))
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(b, "out/a", ["6"])
        #expect(Self.hear(upstream) == Self.numbers(1...6))
    }

    @Test("a publisher keeps its order over all its topics, unless the link looks at topics only")
    func publisher() throws {
        for (order, expected) in [
            (LinkSettings.QueueOrder.publisher, Self.numbers(1...6)),
            (.topic, ["1", "2", "6", "3", "4", "5"]),
        ] {
            let broker = try Self.broker { $0.queueOrder = order }
            let a = broker.connects("a")
            Self.publish(a, "out/a", Self.numbers(1...5))
            let upstream = try Self.connect(broker, window: 2)
            Self.publish(a, "out/b", ["6"], first: 6)
            #expect(Self.hear(upstream) == expected)
        }
    }

    @Test("what was published at another node keeps its order, by whichever link each comes", arguments: [false, true])
    func published(isRestarted: Bool) throws {
        let broker = try Self.broker(linkUsers: ["link"])
        func link(_ id: MQTTString) -> ScriptedPeer {
            let link = broker.opens(.v5)
            link.sends(.connect(clientID: id, expiry: 3_600, username: "link"))
            _ = link.takes()
            return link
        }
        func publish(_ link: ScriptedPeer, _ topic: MQTTString, _ number: Int, atNode node: UInt64) {
            let id = MessageID(high: UInt64(number), low: node << 16)
            let mark = LinkMark(id: id, hops: 1, stream: StreamID(node: 1, receiver: 1))
            link.sends(
                .publish(
                    Publish(
                        topic: topic, payload: ByteBuffer(string: "\(number)"), qos: .atLeastOnce,
                        packetID: UInt16(number), mark: mark)))
        }
        let one = link("one")
        for number in 1...5 { publish(one, "out/a", number, atNode: 0xA) }
        if isRestarted { broker.restarts() }
        let other = link("other")
        let upstream = try Self.connect(broker, window: 2)
        publish(other, "out/b", 6, atNode: 0xA)
        publish(other, "out/c", 7, atNode: 0xC)
        #expect(Self.hear(upstream) == ["1", "2", "7", "3", "4", "5", "6"])
    }

    @Test("what went ahead and was not settled goes first over the next connection, under its identifier, and once")
    func resumed() throws {
        let broker = try Self.broker()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        Self.publish(a, "out/a", Self.numbers(1...6))
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(b, "out/b", ["x"])
        let first = upstream.takesMessages()
        upstream.sends(.pubAck(id: first[0].packetID))
        let ahead = try #require(upstream.takesMessages().first)
        #expect(ahead.text == "x")
        upstream.vanishes()
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, window: 2, isSessionPresent: true)
        let repeated = again.takesMessages()
        #expect(repeated.map(\.text) == ["2", "x"])
        #expect(repeated.map(\.packetID) == [first[1].packetID, ahead.packetID])
        #expect(repeated.map(\.isDuplicate) == [true, true])
        for message in repeated { again.sends(.pubAck(id: message.packetID)) }
        #expect(Self.hear(again) == Self.numbers(3...6))
        #expect(broker.spool.rows == 0)
    }

    @Test("what waited in memory while the upstream was silent goes before what came later, however much that is")
    func silent() throws {
        // Four wait in memory and the rest in the spool: with the four, too much to be light.
        var limits = LaneLimits()
        (limits.live, limits.light) = (4, 6)
        let broker = try Self.broker(limits)
        let a = broker.connects("a")
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(a, "out/a", Self.numbers(1...11))
        #expect(upstream.takesMessages().map(\.text) == ["1", "2"])
        upstream.vanishes()
        broker.advance(.seconds(10))
        Self.publish(a, "out/b", Self.numbers(12...14), first: 12)
        let again = try Self.connect(broker, window: 2, isSessionPresent: true)
        #expect(Self.hear(again) == Self.numbers(1...14))
        #expect(broker.spool.rows == 0)
    }

    @Test("an upstream that forgot the session is sent as new what was not settled, before anything else")
    func forgotten() throws {
        let broker = try Self.broker()
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        Self.publish(a, "out/a", Self.numbers(1...6))
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(b, "out/b", ["x"])
        let first = upstream.takesMessages()
        upstream.sends(.pubAck(id: first[0].packetID))
        upstream.vanishes()
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, window: 2)
        #expect(Self.hear(again) == ["2", "x"] + Self.numbers(3...6))
    }

    @Test("after a restart the spool says what waits: other topics go ahead, its own wait, and nothing comes twice")
    func restarted() throws {
        let broker = try Self.broker()
        let a = broker.connects("a")
        Self.publish(a, "out/a", Self.numbers(1...6))
        broker.restarts()
        let (b, c) = (broker.connects("b"), broker.connects("c"))
        let upstream = try Self.connect(broker, window: 2)
        Self.publish(b, "out/b", ["x"])
        Self.publish(c, "out/a", ["7"])
        #expect(Self.hear(upstream) == ["1", "2", "x"] + Self.numbers(3...7))
        #expect(broker.spool.rows == 0)
    }

    @Test("what waits by a rule with a priority goes first, the highest before all, in the order of each")
    func priority() throws {
        let broker = try Self.broker { link in
            for (filter, priority) in [("out/low/#", 2), ("out/high/#", 7)] {
                guard let filter = TopicFilter(filter) else { continue }
                var rule = LinkRule(filter: filter)
                rule.priority = priority
                link.outRules.insert(rule, at: 0)
            }
        }
        let a = broker.connects("a")
        Self.publish(a, "out/a", ["1", "2"])
        Self.publish(a, "out/low/1", ["low 1", "low 2"], first: 3)
        Self.publish(a, "out/high/1", ["high 1", "high 2"], first: 5)
        Self.publish(a, "out/a", ["3"], first: 7)
        var restarts = 0
        for _ in 0..<2 {
            if restarts == 1 { broker.restarts() }
            restarts += 1
            let upstream = try Self.connect(broker, window: 1)
            #expect(upstream.takesMessages().map(\.text) == ["high 1"])
            upstream.vanishes()
            broker.advance(.seconds(10))
        }
        let upstream = try Self.connect(broker, window: 1)
        #expect(Self.hear(upstream) == ["high 1", "high 2", "low 1", "low 2", "1", "2", "3"])
        #expect(broker.spool.rows == 0)
    }

    @Test("catchup_rate holds back what had waited, and not what comes")
    func catchUp() throws {
        let broker = try Self.broker { $0.catchUpRate = 10 }
        let (a, b) = (broker.connects("a"), broker.connects("b"))
        Self.publish(a, "out/a", Self.numbers(1...30))
        let upstream = try Self.connect(broker, window: 20)
        #expect(Self.hear(upstream) == ["1"])
        Self.publish(b, "out/b", ["x", "y"])
        #expect(Self.hear(upstream) == ["x", "y"])
        var heard: [String] = []
        for _ in 0..<10 {
            broker.advance(.milliseconds(100))
            heard += Self.hear(upstream)
        }
        #expect((8...11).contains(heard.count), "\(heard)")
        // What came later has waited for those before it only.
        Self.publish(a, "out/a", Self.numbers(31...60), first: 31)
        var seconds = 0
        while heard.count < 59, seconds < 10 {
            broker.advance(.seconds(1))
            heard += Self.hear(upstream)
            seconds += 1
        }
        #expect(heard == Self.numbers(2...60))
        #expect(seconds <= 4)
    }

    @Test("a full window keeps what comes in memory, and no page is read for it")
    func burst() throws {
        let broker = try Self.broker()
        let a = broker.connects("a")
        let upstream = try Self.connect(broker, window: 2)
        #expect(Self.hear(upstream).isEmpty)
        Self.publish(a, "out/a", Self.numbers(1...20))
        #expect(Self.hear(upstream) == Self.numbers(1...20))
        #expect(broker.spool.rows == 0)
        #expect(broker.shard.links.first?.state == .live)
    }

    @Test("a topic alias stands for a long topic where the upstream takes them, anew over each connection")
    func aliases() throws {
        let broker = try Self.broker()
        let a = broker.connects("a")
        let (long, longer): (MQTTString, MQTTString) = ("out/a/topic/that/is/long/enough", "out/a/topic/that/is/longer")
        for round in 0..<2 {
            let dial = try #require(broker.dials.last)
            let upstream = try #require(broker.accepts(dial))
            _ = upstream.takes()
            var ack = ConnAck(reason: .success, isSessionPresent: round > 0)
            ack.properties.topicAliasMaximum = 1
            upstream.sends(.connAck(ack))
            let topics: [MQTTString] = [long, "out/short", long, longer]
            for (index, topic) in topics.enumerated() {
                a.sends(.publish(topic: topic, payload: "\(index)", qos: .atLeastOnce, id: UInt16(index + 1)))
            }
            let messages = upstream.takesMessages()
            #expect(messages.map(\.topic) == [long, "out/short", "", longer])
            #expect(messages.map(\.properties.topicAlias) == [1, nil, 1, nil])
            for message in messages { upstream.sends(.pubAck(id: message.packetID)) }
            upstream.vanishes()
            broker.advance(.seconds(10))
        }
    }

    // MARK: - What they are made of

    @Test("a key waits until the cursor has passed its last position, or the list if it is light")
    func keys() {
        var keys = WaitingKeys()
        let (a, b) = (WaitingKeys.key(ofTopic: "a"), WaitingKeys.key(ofPublisher: "a", nil))
        #expect(a != b)
        var isLight = keys.wait(a, nil, at: Position(3))
        isLight = keys.wait(a, nil, at: Position(7)) && isLight
        #expect(isLight)
        #expect(keys.waits(a, after: Position(6)))
        #expect(!keys.waits(a, after: Position(7)))
        #expect(!keys.waits(a, after: .zero, listedThrough: Position(7)))
        #expect(!keys.waits(b, after: .zero))
        keys.isUnknown(through: Position(9))
        #expect(keys.waits(b, after: Position(8)))
        #expect(!keys.waits(b, after: Position(9)))
    }

    @Test("what has much waiting is heavy, and makes heavy whoever has a message with it, until the cursor is there")
    func heavyKeys() {
        var keys = WaitingKeys()
        var position: UInt64 = 0
        func wait(_ topic: UInt64, _ publisher: UInt64) -> Bool {
            position += 1
            return keys.wait(topic, publisher, at: Position(position))
        }
        for _ in 0..<LaneLimits().light { #expect(wait(1, 100)) }
        #expect(!wait(1, 100))
        // Another topic of that publisher, another publisher of that topic, and what hangs on it.
        #expect(!wait(2, 100))
        #expect(!wait(2, 200))
        #expect(!wait(3, 200))
        #expect(wait(4, 300))
        #expect(keys.waits(3, after: .zero, listedThrough: Position(position)))
        #expect(!keys.waits(4, after: .zero, listedThrough: Position(position)))
        let isLightAgain = keys.wait(3, 400, at: Position(position + 1), cursor: Position(position))
        #expect(isLightAgain)
    }

    @Test("with more keys than are kept everything waits, until the cursor has passed them")
    func manyKeys() {
        var keys = WaitingKeys()
        let count = LaneLimits().keys - 1
        for number in 1...count { _ = keys.wait(UInt64(number), nil, at: Position(UInt64(number))) }
        #expect(!keys.waits(0, after: .zero))
        let isLight = keys.wait(UInt64(count + 1), nil, at: Position(UInt64(count + 1)))
        #expect(!isLight)
        #expect(keys.waits(0, after: .zero))
        let cursor = Position(UInt64(count + 1))
        _ = keys.wait(UInt64(count + 2), nil, at: Position(UInt64(count + 2)), cursor: cursor)
        #expect(!keys.waits(0, after: cursor))
        #expect(keys.waits(UInt64(count + 2), after: cursor))
    }

    @Test("a rate lets so many through a second, and a tenth of a second at once at most")
    func rate() {
        func instant(_ milliseconds: UInt64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }
        var rate = CatchUpRate(perSecond: 100, through: Position(1_000), instant(0))
        var taken = 0
        for millisecond in 0..<UInt64(1_000) where rate.take(at: Position(1), instant(millisecond)) { taken += 1 }
        #expect((99...101).contains(taken))
        taken = 0
        while rate.take(at: Position(1), instant(60_000)) { taken += 1 }
        #expect(taken == 10)
        #expect(rate.next > instant(60_000))
        let isLater = rate.take(at: Position(1_001), instant(60_000))
        #expect(isLater)
    }
}
