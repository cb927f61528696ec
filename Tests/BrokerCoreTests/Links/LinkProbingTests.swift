import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Links that ask whether anything moves")
struct LinkProbingTests {
    private static let topic: MQTTString = "$drawbridge/probe/site-7"

    private static func site(_ change: (inout LinkSettings) -> Void = { _ in }) throws -> ShardHarness {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        link.probe = LinkProbeSettings(.auto)
        link.probe.every = .seconds(5)
        change(&link)
        var settings = BrokerSettings()
        settings.links = [link]
        return ShardHarness(settings)
    }

    private static func link(_ broker: ShardHarness) throws -> Link { try #require(broker.shard.links.first) }

    private static func accepts(_ broker: ShardHarness) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        upstream.sends(.connAck(ConnAck(reason: .success)))
        return upstream
    }

    /// What an upstream does that answers everything, with probes that return if it likes.
    private static func answers(_ upstream: ScriptedPeer, returning: Bool = true, granting: Bool = true) {
        for packet in upstream.takes() {
            switch packet {
            case .subscribe(let subscribe):
                let reasons = subscribe.subscriptions.map { _ in granting ? ReasonCode.success : .notAuthorized }
                upstream.sends(.subAck(SubAck(packetID: subscribe.packetID, reasons: reasons)))
                answers(upstream, returning: returning)
            case .pingReq: upstream.sends(.pingResp)
            case .publish(let publish) where publish.topic == topic && returning: upstream.sends(.publish(publish))
            default: break
            }
        }
    }

    @Test("a link is live when the upstream has answered, not when it has accepted", arguments: [5, 3] as [UInt8])
    func live(_ version: UInt8) throws {
        let broker = try Self.site { if version == 3 { $0.version = .v3_1_1 } }
        let upstream = try Self.accepts(broker)
        let link = try Self.link(broker)
        #expect(link.state == .probing)
        let packets = upstream.takes()
        let options =
            version == 5
            ? SubscriptionOptions(maximumQoS: .atMostOnce, retainHandling: .doNotSend) : SubscriptionOptions()
        let id = packets.subscribeID
        #expect(packets == [.subscribe(id: id, filters: Self.topic.string, options: options), .pingReq])
        upstream.sends(.pingResp)
        #expect(link.state == .live)
        upstream.sends(.subAck(id: id, reasons: .success))
        let probe = upstream.receivesMessage(Self.topic, "\(link.epoch)-1")
        #expect(probe == 0)
        upstream.sends(.publish(topic: Self.topic, payload: "\(link.epoch)-1"))
        #expect(link.probe.roundTrip == .returns)
        broker.advance(.seconds(5))
        _ = upstream.receivesMessage(Self.topic, "\(link.epoch)-2")
    }

    @Test("with the bridge bit nothing can return, and is not asked for")
    func bridgeBit() throws {
        let broker = try Self.site {
            $0.version = .v3_1_1
            $0.usesBridgeBit = true
        }
        let upstream = try Self.accepts(broker)
        upstream.receives(.pingReq)
        upstream.sends(.pingResp)
        #expect(try Self.link(broker).state == .live)
    }

    @Test("an upstream that accepts and answers nothing is stalled within two probes")
    func blackHole() throws {
        let broker = try Self.site()
        let upstream = try Self.accepts(broker)
        broker.advance(.seconds(10))
        #expect(upstream.isClosed)
        let link = try Self.link(broker)
        #expect(link.lastError == "the upstream does not answer")
        #expect([.stalled, .connecting].contains(link.state))
    }

    @Test("an upstream that takes the connection and says nothing is stalled in the time of two probes")
    func silence() throws {
        let broker = try Self.site { $0.probe.every = .seconds(2) }
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        broker.advance(.milliseconds(3_999))
        #expect(!upstream.isClosed)
        broker.advance(.milliseconds(1))
        #expect(upstream.isClosed)
        #expect(try Self.link(broker).state == .stalled)
    }

    @Test("when one address stalls the next is dialled at once, and what waited goes there")
    func nextAddress() throws {
        let broker = try Self.site { $0.addressCount = 2 }
        let upstream = try Self.accepts(broker)
        Self.answers(upstream)
        let link = try Self.link(broker)
        #expect(link.state == .live)
        // It goes silent in mid-stream.
        broker.connects("a").sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1))
        broker.advance(.seconds(10))
        #expect(upstream.isClosed)
        let dial = try #require(broker.dials.first)
        #expect(dial.address == 1)
        let other = try Self.accepts(broker)
        #expect(other.takesMessages().contains { $0.text == "x" })
    }

    @Test("an upstream that answers pings and returns no probe any more is stalled")
    func onlyPings() throws {
        let broker = try Self.site()
        let upstream = try Self.accepts(broker)
        Self.answers(upstream)
        for _ in 0..<10 {
            broker.advance(.seconds(5))
            Self.answers(upstream)
        }
        #expect(!upstream.isClosed)
        for _ in 0..<2 {
            broker.advance(.seconds(5))
            Self.answers(upstream, returning: false)
            if !upstream.isClosed { upstream.sends(.pingResp) }
        }
        #expect(upstream.isClosed)
    }

    @Test("where no probe returns, or none may, answers to pings are enough", arguments: [false, true])
    func noRoundTrip(_ isGranted: Bool) throws {
        let broker = try Self.site()
        let upstream = try Self.accepts(broker)
        for _ in 0..<100 {
            Self.answers(upstream, returning: false, granting: isGranted)
            broker.advance(.seconds(5))
        }
        #expect(!upstream.isClosed)
        let link = try Self.link(broker)
        #expect(link.state == .live)
        #expect(link.probe.roundTrip == (isGranted ? .missing : .impossible))
        broker.advance(.seconds(10))
        #expect(upstream.isClosed)
    }

    @Test("an upstream that closes over the probe instead of refusing it is not asked a third time")
    func closesOverProbe() throws {
        let broker = try Self.site()
        for _ in 0..<2 {
            let upstream = try Self.accepts(broker)
            #expect(upstream.takes().subscribeID > 0)
            upstream.vanishes()
            broker.advance(.seconds(10))
        }
        let upstream = try Self.accepts(broker)
        upstream.receives(.pingReq)
        upstream.vanishes()
        // Under other settings it may be another upstream.
        broker.reconfigures { $0.links[0].keepAlive = .seconds(20) }
        let other = try Self.accepts(broker)
        #expect(other.takes().subscribeID > 0)
    }

    @Test("an upstream that never answers SUBSCRIBE is stalled, however well it answers pings")
    func noSubAck() throws {
        let broker = try Self.site { link in
            link.version = .v3_1_1
            link.usesBridgeBit = true
            link.inRules = link.outRules
        }
        let upstream = try Self.accepts(broker)
        let link = try Self.link(broker)
        for _ in 0..<8 {
            #expect(link.state == .probing || upstream.isClosed)
            for packet in upstream.takes() where packet == .pingReq { upstream.sends(.pingResp) }
            broker.advance(.seconds(5))
        }
        #expect(upstream.isClosed)
        #expect(link.lastError == "the upstream acknowledges nothing")
    }

    @Test("a probe is nobody's message, neither here nor at an upstream of ours")
    func unseen() throws {
        let everything = try #require(TopicFilter("#"))
        let broker = try Self.site { $0.outRules = [LinkRule(filter: everything)] }
        let upstream = try Self.accepts(broker)
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "#", "$drawbridge/#"))
        _ = client.takes()
        Self.answers(upstream)
        broker.advance(.seconds(5))
        Self.answers(upstream)
        client.receivesNothing()
        // The other end, whatever the rules say.
        let strict = ShardHarness(rules: [])
        let edge = strict.connectsDurably("site-7")
        _ = edge.takes()
        edge.sends(.subscribe(id: 2, filters: Self.topic.string))
        edge.receives(.subAck(id: 2, reasons: .success))
        edge.sends(.publish(topic: Self.topic, payload: "1-1"))
        edge.receives(.publish(topic: Self.topic, payload: "1-1"))
        edge.sends(.publish(topic: "$drawbridge/probe/other", payload: "1-1"))
        edge.receivesNothing()
        edge.sends(.publish(topic: Self.topic, payload: "1-1", qos: .atLeastOnce, id: 3))
        edge.receives(.pubAck(id: 3, reason: .notAuthorized))
    }

    @Test("a topic of one's own may be probed, and is unsubscribed when it is not wanted any more")
    func ownTopic() throws {
        let broker = try Self.site { $0.probe.topic = "probes/site-7" }
        let upstream = try Self.accepts(broker)
        let packets = upstream.takes()
        upstream.sends(.subAck(id: packets.subscribeID, reasons: .success))
        let link = try Self.link(broker)
        _ = upstream.receivesMessage("probes/site-7", "\(link.epoch)-1")
        broker.reconfigures { $0.links[0].probe = LinkProbeSettings(.off) }
        let dial = try #require(broker.dials.first)
        let again = try #require(broker.accepts(dial))
        _ = again.takes()
        again.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
        let asked = again.takes()
        #expect(asked == [.unsubscribe(id: asked.unsubscribeID, filters: "probes/site-7")])
        #expect(link.state == .live)
    }
}
