import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Marks: exactly once over links, and no loops")
struct LinkMarkTests {
    private static let stream = StreamID(node: 0xABC, receiver: 7)

    private static func settings(_ change: (inout BrokerSettings) -> Void = { _ in }) -> BrokerSettings {
        var settings = BrokerSettings()
        settings.linkUsers = ["edge"]
        change(&settings)
        return settings
    }

    /// A link of another node; its session outlives the connection unless told otherwise.
    private static func link(
        _ broker: ShardHarness,
        user: MQTTString? = "edge",
        id: MQTTString = "edge.hub",
        cleanStart: Bool = false
    ) -> ScriptedPeer {
        let peer = broker.opens(.v5)
        peer.sends(.connect(clientID: id, cleanStart: cleanStart, expiry: 3_600, username: user))
        return peer
    }

    /// A client that hears everything.
    private static func reader(_ broker: ShardHarness) -> ScriptedPeer {
        let reader = broker.connects("reader")
        reader.sends(.subscribe(id: 1, filters: "#", options: SubscriptionOptions(maximumQoS: .exactlyOnce)))
        _ = reader.takes()
        return reader
    }

    private static func id(_ number: UInt64, node: UInt64 = 0xABC) -> MessageID {
        MessageID(high: number, low: node << 16 | 1)
    }

    private static func publish(
        _ mark: LinkMark?,
        topic: MQTTString = "t",
        _ qos: QoS = .exactlyOnce,
        packetID: UInt16 = 1,
        isDuplicate: Bool = false,
        others: [Properties.UserProperty] = []
    ) -> Packet {
        var properties = Properties()
        properties.userProperties = others
        return .publish(
            Publish(
                topic: topic, payload: ByteBuffer(string: "x"), qos: qos,
                packetID: qos == .atMostOnce ? 0 : packetID, isDuplicate: isDuplicate, properties: properties,
                mark: mark))
    }

    @Test("what came from a node goes on to another one when it is on disk, since that one does not send it back")
    func passedOn() throws {
        let broker = ShardHarness(Self.settings())
        let (one, other) = (Self.link(broker), Self.link(broker, id: "other.hub"))
        other.sends(.subscribe(id: 1, filters: "#", options: SubscriptionOptions(maximumQoS: .exactlyOnce)))
        let reader = Self.reader(broker)
        _ = (one.takes(), other.takes())
        broker.commitsAtOnce = false
        one.sends(Self.publish(LinkMark(id: Self.id(1), hops: 1, stream: Self.stream), .atLeastOnce))
        #expect(reader.takesMessages().count == 1)
        #expect(other.takesMessages().isEmpty)
        #expect(one.takes().isEmpty)
        broker.commit()
        #expect(other.takesMessages().count == 1)
        #expect(one.takes().count == 1)
        // What is published here is not known anywhere else: it need not wait.
        broker.connects("client").sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        #expect(other.takesMessages().count == 1)
    }

    @Test("a link may have as many unanswered as are known again; a client may not")
    func window() throws {
        let broker = ShardHarness(Self.settings { $0.awaitingReleaseMax = 10 })
        let link = Self.link(broker)
        let answer = link.takes().first
        guard case .connAck(let ack)? = answer else {
            Issue.record("no CONNACK")
            return
        }
        #expect(ack.properties.receiveMaximum == 1_024)
        for number in 1...1_024 as ClosedRange<UInt16> {
            let mark = LinkMark(id: Self.id(UInt64(number)), hops: 1, stream: Self.stream)
            link.sends(Self.publish(mark, packetID: number))
        }
        #expect(link.takes().count == 1_024)
        link.sends(Self.publish(LinkMark(id: Self.id(2_000), hops: 1, stream: Self.stream), packetID: 2_000))
        #expect(link.isClosed)

        let stranger = Self.link(broker, user: "somebody", id: "stranger")
        guard case .connAck(let ack)? = stranger.takes().first else {
            Issue.record("no CONNACK")
            return
        }
        #expect(ack.properties.receiveMaximum == 256)
    }

    @Test("what a link sends again in a new session was here already: answered, and delivered to nobody")
    func repeats() throws {
        let broker = ShardHarness(Self.settings())
        let reader = Self.reader(broker)
        let mark = LinkMark(id: Self.id(1), hops: 1, stream: Self.stream)
        for qos in [QoS.atLeastOnce, .exactlyOnce] {
            let mark = LinkMark(id: Self.id(UInt64(qos.rawValue)), hops: 1, stream: Self.stream)
            Self.link(broker, cleanStart: true).sends(Self.publish(mark, qos))
            #expect(reader.takesMessages().count == 1)
            let again = Self.link(broker, cleanStart: true)
            _ = again.takes()
            again.sends(Self.publish(mark, qos))
            #expect(reader.takesMessages().isEmpty)
            let answer: Packet =
                qos == .atLeastOnce ? .pubAck(PublishAck(packetID: 1)) : .pubRec(PublishAck(packetID: 1))
            #expect(again.takes() == [answer])
        }
        #expect(broker.shard.counters.repeatsOfLinks == 2)
        // A crash does not make it new, be it ever so late.
        broker.restarts()
        broker.advance(.seconds(86_400 * 3))
        let late = Self.reader(broker)
        Self.link(broker, cleanStart: true).sends(
            Self.publish(LinkMark(id: Self.id(2), hops: 1, stream: Self.stream)))
        #expect(late.takesMessages().isEmpty)
        // The same message of another stream, a day later, is another story: nobody knows it any more.
        Self.link(broker, cleanStart: true).sends(
            Self.publish(LinkMark(id: mark.id, hops: 1, stream: StreamID(node: 1, receiver: 1)), packetID: 9))
        #expect(late.takesMessages().count == 1)
    }

    @Test("what a crash took back is taken again")
    func crash() throws {
        let broker = ShardHarness(Self.settings(), commitsAtOnce: false)
        let link = Self.link(broker)
        broker.settle()
        link.sends(Self.publish(LinkMark(id: Self.id(1), hops: 1, stream: Self.stream)))
        broker.restarts()
        broker.commitsAtOnce = true
        let reader = Self.reader(broker)
        Self.link(broker).sends(Self.publish(LinkMark(id: Self.id(1), hops: 1, stream: Self.stream)))
        #expect(reader.takesMessages().count == 1)
    }

    @Test("only links are believed, and nobody else sees a mark")
    func trust() throws {
        let broker = ShardHarness(Self.settings())
        let reader = Self.reader(broker)
        let stranger = Self.link(broker, user: "somebody", id: "stranger")
        let own = Properties.UserProperty("colour", "red")
        for _ in 0..<2 {
            stranger.sends(Self.publish(LinkMark(id: Self.id(1), hops: 99), .atMostOnce, others: [own]))
            #expect(reader.takesMessages().map(\.properties.userProperties) == [[own]])
        }
        let link = Self.link(broker)
        link.sends(Self.publish(LinkMark(id: Self.id(2), hops: 1), .atMostOnce, others: [own]))
        #expect(reader.takesMessages().map(\.properties.userProperties) == [[own]])
        #expect(broker.shard.counters.loopsCut == 0)
    }

    @Test("a link is told that a Drawbridge is here, and nobody else is")
    func announcement() throws {
        let broker = ShardHarness(Self.settings())
        func announced(_ peer: ScriptedPeer) -> Bool {
            for case .connAck(let ack) in peer.takes() {
                return ack.properties.userProperties.contains { $0.name == LinkMark.name }
            }
            return false
        }
        #expect(announced(Self.link(broker)))
        #expect(!announced(Self.link(broker, user: "somebody", id: "x")))
        #expect(!announced(Self.link(broker, user: nil, id: "y")))
    }

    @Test("a message that leaves for a link has its name, one hop more, and a stream where it may be sent again")
    func outgoing() throws {
        let broker = ShardHarness(Self.settings())
        let other = Self.link(broker, id: "other")
        other.sends(.subscribe(id: 1, filters: "#", options: SubscriptionOptions(maximumQoS: .exactlyOnce)))
        _ = other.takes()
        let link = Self.link(broker)
        link.sends(Self.publish(LinkMark(id: Self.id(1), hops: 3, stream: Self.stream), .atMostOnce))
        #expect(other.takesMessages().first?.mark == LinkMark(id: Self.id(1), hops: 4))
        link.sends(Self.publish(LinkMark(id: Self.id(2), hops: 3, stream: Self.stream), .exactlyOnce))
        let durable = try #require(other.takesMessages().first?.mark)
        #expect(durable.id == Self.id(2) && durable.hops == 4)
        #expect(durable.stream != nil && durable.stream != Self.stream)
        let client = broker.connects("client")
        client.sends(.publish(topic: "t", payload: "y", qos: .atLeastOnce, id: 1))
        let fresh = try #require(other.takesMessages().first?.mark)
        #expect(fresh.hops == 1 && fresh.stream == durable.stream)
    }

    @Test("a message of QoS 2 keeps its mark where a rule lets it leave with QoS 0", arguments: [false, true])
    func lowered(keepsLedger: Bool) throws {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        var rule = LinkRule(filter: try #require(TopicFilter("#")))
        rule.qosCap = .atMostOnce
        link.outRules = [rule]
        let broker = ShardHarness(
            Self.settings {
                $0.links = [link]
                $0.keepsLedger = keepsLedger
            }
        )
        let dial = try #require(broker.dials.last)
        let upstream = try #require(broker.accepts(dial))
        var ack = ConnAck(reason: .success)
        ack.properties.userProperties = [.init(LinkMark.name, "node=abc")]
        upstream.sends(.connAck(ack))
        _ = upstream.takes()
        let edge = Self.link(broker)
        for (qos, number) in [(QoS.exactlyOnce, UInt64(1)), (.atLeastOnce, 2), (.atMostOnce, 3)] {
            edge.sends(Self.publish(LinkMark(id: Self.id(number), hops: 2), qos, packetID: UInt16(number)))
            broker.settle()
            let sent = upstream.takesMessages().first
            #expect(sent?.qos == .atMostOnce && sent?.mark == LinkMark(id: Self.id(number), hops: 3))
        }
    }

    @Test("what is sent again does not push out what came before it")
    func repeatsDoNotPush() throws {
        let broker = ShardHarness(Self.settings { $0.loop.window = .milliseconds(1) })
        let reader = broker.connects("reader")
        reader.sends(.subscribe(id: 1, filters: "#", qos: .atMostOnce))
        _ = reader.takes()
        let link = Self.link(broker)
        func send(_ number: UInt64) {
            let mark = LinkMark(id: Self.id(number), hops: 1, stream: Self.stream)
            link.sends(Self.publish(mark, .atLeastOnce, packetID: UInt16(number)))
            broker.settle()
        }
        for number in UInt64(1)...1_024 { send(number) }
        #expect(reader.takesMessages().count == 1_024)
        for _ in 0..<3 { for number in UInt64(1)...1_000 { send(number) } }
        broker.advance(.seconds(1))
        for number in UInt64(1_001)...1_024 { send(number) }
        #expect(reader.takesMessages().isEmpty)
    }

    @Test("a message that comes back to its node, by a second way, or over too many links is answered and goes nowhere")
    func loops() throws {
        let broker = ShardHarness(Self.settings { $0.loop.hopsMax = 3 })
        let reader = Self.reader(broker)
        let first = Self.link(broker, id: "first")
        let second = Self.link(broker, id: "second")
        // By a second way.
        for link in [first, second] { link.sends(Self.publish(LinkMark(id: Self.id(1), hops: 1), .atMostOnce)) }
        #expect(reader.takesMessages().count == 1)
        // Under another name it is meant.
        second.sends(Self.publish(LinkMark(id: Self.id(1), hops: 1), topic: "other", .atMostOnce))
        #expect(reader.takesMessages().count == 1)
        // Its own.
        let node = broker.spool.contents().nodeNumber
        first.sends(Self.publish(LinkMark(id: Self.id(2, node: node), hops: 1), .atMostOnce))
        // Too far.
        first.sends(Self.publish(LinkMark(id: Self.id(3), hops: 4), .atMostOnce))
        #expect(reader.takesMessages().isEmpty)
        first.sends(Self.publish(LinkMark(id: Self.id(4), hops: 3), .atMostOnce))
        #expect(reader.takesMessages().count == 1)
        #expect(broker.shard.counters.loopsCut == 3)
        // What is old enough is forgotten, and the memory for it bounded.
        broker.advance(.seconds(1_300))
        second.sends(Self.publish(LinkMark(id: Self.id(1), hops: 1), .atMostOnce))
        #expect(reader.takesMessages().count == 1)
    }

    @Test("a new message under the identifier of one that a link left open over an earlier connection is another one")
    func forgottenIdentifier() throws {
        let broker = ShardHarness(Self.settings { $0.awaitingReleaseMax = 10 })
        let reader = Self.reader(broker)
        let before = Self.link(broker)
        for number in 1...1_024 as ClosedRange<UInt16> {
            let mark = LinkMark(id: Self.id(UInt64(number)), hops: 1, stream: Self.stream)
            before.sends(Self.publish(mark, packetID: number))
        }
        #expect(reader.takesMessages().count == 32)
        before.vanishes()
        // It was elsewhere meanwhile, and knows nothing of them.
        let link = Self.link(broker)
        _ = link.takes()
        let mark = LinkMark(id: Self.id(2_000), hops: 1, stream: Self.stream)
        link.sends(Self.publish(mark, packetID: 5))
        link.sends(Self.publish(LinkMark(id: Self.id(2_001), hops: 1, stream: Self.stream), packetID: 2_001))
        #expect(link.takes() == [.pubRec(id: 5), .pubRec(id: 2_001)])
        #expect(broker.shard.counters.received == 1_026)
        // That one is sent again.
        link.sends(Self.publish(mark, packetID: 5, isDuplicate: true))
        #expect(link.takes() == [.pubRec(id: 5)])
        #expect(broker.shard.counters.received == 1_026)
    }

    @Test("what a link sent behind a message that was refused is refused as well, or it would go first")
    func refusedInOrder() throws {
        let broker = ShardHarness(Self.settings())
        let reader = Self.reader(broker)
        let link = Self.link(broker)
        _ = link.takes()
        func send(_ number: UInt16, to link: ScriptedPeer) {
            let mark = LinkMark(id: Self.id(UInt64(number)), hops: 1, stream: Self.stream)
            link.sends(Self.publish(mark, packetID: number))
        }
        func isRefused(_ number: UInt16, by link: ScriptedPeer) -> Bool {
            guard case .pubRec(let answer)? = link.takes().first else { return false }
            return answer.packetID == number && answer.reason == .quotaExceeded
        }
        broker.perform { shard, now in shard.spoolReported([.refusing(.full)], now: now) }
        send(1, to: link)
        #expect(isRefused(1, by: link))
        broker.perform { shard, now in shard.spoolReported([.refusing(nil)], now: now) }
        send(2, to: link)
        #expect(isRefused(2, by: link))
        #expect(reader.takesMessages().isEmpty)
        link.vanishes()
        let again = Self.link(broker)
        _ = again.takes()
        for number in 1...2 as ClosedRange<UInt16> { send(number, to: again) }
        #expect(again.takes() == [.pubRec(id: 1), .pubRec(id: 2)])
        #expect(reader.takesMessages().count == 2)
    }

    @Test("a refused message is not remembered: it is taken when there is room")
    func refused() throws {
        let broker = ShardHarness(Self.settings())
        let link = Self.link(broker)
        _ = link.takes()
        broker.perform { shard, now in shard.spoolReported([.refusing(.full)], now: now) }
        link.sends(Self.publish(LinkMark(id: Self.id(1), hops: 1, stream: Self.stream)))
        guard case .pubRec(let refusal)? = link.takes().first else {
            Issue.record("no PUBREC")
            return
        }
        #expect(refusal.reason == .quotaExceeded)
        broker.perform { shard, now in shard.spoolReported([.refusing(nil)], now: now) }
        let reader = Self.reader(broker)
        link.vanishes()
        Self.link(broker).sends(Self.publish(LinkMark(id: Self.id(1), hops: 1, stream: Self.stream)))
        #expect(reader.takesMessages().count == 1)
    }
}
