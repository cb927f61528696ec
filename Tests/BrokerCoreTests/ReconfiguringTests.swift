import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Other settings for a shard that runs: links come, go and change, and who is not concerned does not notice.
@Suite("Reconfiguring")
struct ReconfiguringTests {
    /// Sends `NAME/#`, and takes `from/NAME/#`.
    private static func link(_ name: String, _ change: (inout LinkSettings) -> Void = { _ in }) throws
        -> LinkSettings
    {
        var link = LinkSettings(name: MQTTString(name), clientID: MQTTString("site.\(name)"))
        link.outRules = [LinkRule(filter: try #require(TopicFilter("\(name)/#")))]
        link.inRules = [LinkRule(filter: try #require(TopicFilter("from/\(name)/#")))]
        change(&link)
        return link
    }

    private static func site(_ links: LinkSettings...) -> ShardHarness {
        var settings = BrokerSettings()
        settings.links = links
        return ShardHarness(settings)
    }

    /// The upstream of a link that dials accepts, and grants what is subscribed.
    /// - Returns: the upstream, and what it was sent after CONNECT.
    private static func answer(
        _ broker: ShardHarness,
        _ name: MQTTString = "hub",
        isSessionPresent: Bool = false
    ) throws -> (upstream: ScriptedPeer, packets: [Packet]) {
        let dial = try #require(broker.dials.first { $0.link.settings.name == name })
        let upstream = try #require(broker.accepts(dial))
        guard case .connect(let connect)? = upstream.takes().first else {
            Issue.record("no CONNECT")
            return (upstream, [])
        }
        #expect(connect.clientID == dial.link.settings.clientID)
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: isSessionPresent)))
        let packets = upstream.takes()
        for case .subscribe(let subscribe) in packets {
            upstream.sends(
                .subAck(
                    SubAck(packetID: subscribe.packetID, reasons: subscribe.subscriptions.map { _ in .grantedQoS2 })
                )
            )
        }
        return (upstream, packets)
    }

    private static func state(_ broker: ShardHarness, _ name: MQTTString) -> Link.State? {
        broker.shard.links.first { $0.settings.name == name }?.state
    }

    // MARK: - Links that come and go

    @Test("a link that is added dials, and what matches is kept for it from that moment")
    func added() throws {
        let broker = Self.site()
        let client = broker.connects("a")
        client.sends(.publish(topic: "hub/0", payload: "too early", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        let link = try Self.link("hub")
        broker.reconfigures { $0.links = [link] }
        #expect(Self.state(broker, "hub") == .connecting)
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .atLeastOnce, id: 2))
        client.receives(.pubAck(id: 2))
        let (upstream, packets) = try Self.answer(broker)
        let messages = packets.compactMap { if case .publish(let publish) = $0 { publish.text } else { nil } }
        #expect(messages + upstream.takesMessages().map(\.text) == ["x"])
        #expect(Self.state(broker, "hub") != .connecting)
    }

    @Test("a link that is removed says DISCONNECT, does not dial again, and nothing more is kept for it")
    func removed() throws {
        let broker = Self.site(try Self.link("hub"))
        let (upstream, _) = try Self.answer(broker)
        broker.reconfigures { $0.links = [] }
        upstream.receives(.disconnect(reason: .success))
        #expect(upstream.isClosed)
        #expect(broker.shard.links.isEmpty)
        broker.advance(.seconds(1_000))
        #expect(broker.dials.isEmpty)
        let client = broker.connects("a")
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1, reason: .noMatchingSubscribers))
        #expect(broker.spool.rows == 0)
    }

    @Test("a link that is removed while it dials, shakes hands or backs off stays away", arguments: 0..<3)
    func removedEarly(_ moment: Int) throws {
        let broker = Self.site(try Self.link("hub"))
        let dial = try #require(broker.dials.first)
        let epoch = dial.link.epoch
        var upstream: ScriptedPeer?
        if moment == 1 { upstream = broker.accepts(dial) }
        if moment == 2 { broker.refuses(dial) }
        broker.reconfigures { $0.links = [] }
        if let upstream { #expect(upstream.isClosed) }
        broker.perform { shard, now in
            let connection = shard.dialed(dial.link, epoch: epoch, peer: "late", now: now)
            #expect(connection == nil)
        }
        broker.dials.removeAll()
        broker.advance(.seconds(1_000))
        #expect(broker.dials.isEmpty)
    }

    @Test("the queue of a removed link stays, and is sent when the link is named again", arguments: [false, true])
    func removedAndNamedAgain(restartsBetween: Bool) throws {
        let link = try Self.link("hub")
        let broker = Self.site(link)
        let client = broker.connects("a")
        for number in 1...3 {
            client.sends(.publish(topic: "hub/1", payload: "\(number)", qos: .atLeastOnce, id: UInt16(number)))
        }
        broker.reconfigures { $0.links = [] }
        #expect(broker.spool.rows == 3)
        if restartsBetween {
            broker.restarts()
            #expect(
                broker.notices.contains {
                    $0.text.contains("a link that is not configured") && $0.link == "hub" && $0.detail == "3 messages"
                }
            )
        }
        #expect(broker.spool.rows == 3 && broker.spool.receivers == 1)
        broker.dials.removeAll()
        broker.reconfigures { $0.links = [link] }
        let (upstream, packets) = try Self.answer(broker)
        var messages = packets + upstream.takes()
        messages.removeAll { if case .publish = $0 { false } else { true } }
        for case .publish(let publish) in messages { upstream.sends(.pubAck(id: publish.packetID)) }
        #expect(messages.count == 3)
        #expect(broker.spool.rows == 0 && broker.spool.receivers == 1)
    }

    @Test("who waited for room in the queue of a link that is removed waits no longer")
    func removedWhileFull() throws {
        let broker = Self.site(try Self.link("hub"))
        let link = try #require(broker.shard.links.first)
        broker.perform { shard, now in shard.spoolReported([.full(link.receiver, true)], now: now) }
        let client = broker.connects("a", .v3_1_1)
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receivesNothing()
        broker.reconfigures { $0.links = [] }
        client.receives(.pubAck(id: 1))
        #expect(broker.spool.rows == 0)
    }

    @Test("a queue that was full when its link was removed is full when it is named again")
    func namedAgainWhileFull() throws {
        let link = try Self.link("hub")
        let broker = Self.site(link)
        let receiver = try #require(broker.shard.links.first).receiver
        broker.reconfigures { $0.links = [] }
        broker.restarts()
        broker.perform { shard, now in shard.spoolReported([.full(receiver, true)], now: now) }
        broker.reconfigures { $0.links = [link] }
        let client = broker.connects("a")
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1, reason: .quotaExceeded))
        broker.perform { shard, now in shard.spoolReported([.full(receiver, false)], now: now) }
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1))
    }

    // MARK: - Links that stay, and links that change

    @Test("a link that is not concerned does not notice that others come, go and change")
    func unchanged() throws {
        let broker = Self.site(try Self.link("hub"), try Self.link("gone"), try Self.link("other"))
        let (hub, _) = try Self.answer(broker)
        let (gone, _) = try Self.answer(broker, "gone")
        let (other, _) = try Self.answer(broker, "other")
        let epoch = try #require(broker.shard.links.first).epoch
        _ = hub.takes()
        let links = [try Self.link("new"), try Self.link("other") { $0.inflightMax = 5 }, try Self.link("hub")]
        broker.reconfigures { $0.links = links }
        #expect(gone.isClosed && other.isClosed && !hub.isClosed)
        hub.receivesNothing()
        #expect(broker.dials.map(\.link.settings.name) == ["new", "other"])
        #expect(broker.shard.links.map(\.settings.name) == ["new", "other", "hub"])
        #expect(broker.shard.links.last?.epoch == epoch)
        let client = broker.connects("a")
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1))
        _ = hub.receivesMessage("hub/1", "x", .atLeastOnce)
    }

    @Test("a link that changed connects anew by its new rules and keeps its queue")
    func changed() throws {
        let broker = Self.site(try Self.link("hub"))
        let client = broker.connects("a")
        client.sends(.publish(topic: "hub/1", payload: "old", qos: .atLeastOnce, id: 1))
        _ = client.takes()
        let (upstream, _) = try Self.answer(broker)
        _ = upstream.takes()
        let link = try Self.link("hub") { link in
            link.outRules = [LinkRule(filter: TopicFilter("+/2") ?? link.outRules[0].filter)]
            link.outRules[0].template = TopicTemplate(prefix: "site/")
            link.keepAlive = .seconds(7)
        }
        broker.reconfigures { $0.links = [link] }
        upstream.receives(.disconnect(reason: .success))
        #expect(upstream.isClosed)
        client.sends(.publish(topic: "hub/1", payload: "matches no more", qos: .atLeastOnce, id: 2))
        client.receives(.pubAck(id: 2, reason: .noMatchingSubscribers))
        client.sends(.publish(topic: "hub/2", payload: "new", qos: .atLeastOnce, id: 3))
        client.receives(.pubAck(id: 3))
        let dial = try #require(broker.dials.first)
        #expect(dial.address == 0)
        let again = try #require(broker.accepts(dial))
        guard case .connect(let connect)? = again.takes().first else {
            Issue.record("no CONNECT")
            return
        }
        #expect(connect.keepAlive == 7 && !connect.cleanStart)
        again.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
        let messages = again.takesMessages()
        #expect(messages.map(\.text) == ["old", "new"])
        #expect(messages.map(\.topic.string) == ["hub/1", "site/hub/2"])
        for message in messages { again.sends(.pubAck(id: message.packetID)) }
        #expect(broker.spool.rows == 0)
    }

    @Test("a link whose address changed, which only the dialler knows, connects anew")
    func redialed() throws {
        let broker = Self.site(try Self.link("hub"), try Self.link("other"))
        let (hub, _) = try Self.answer(broker)
        let (other, _) = try Self.answer(broker, "other")
        broker.reconfigures(redialing: ["hub"]) { _ in }
        #expect(hub.isClosed && !other.isClosed)
        #expect(broker.dials.map(\.link.settings.name) == ["hub"])
    }

    @Test("QoS 2 both ways goes on over the connection of a changed link, exactly once")
    func exactlyOnce() throws {
        let broker = Self.site(try Self.link("hub"))
        let (upstream, _) = try Self.answer(broker)
        _ = upstream.takes()
        let client = broker.connects("a")
        client.sends(
            .subscribe(id: 1, filters: "from/#", qos: .exactlyOnce),
            .publish(topic: "hub/1", payload: "released", qos: .exactlyOnce, id: 1),
            .publish(topic: "hub/2", payload: "sent", qos: .exactlyOnce, id: 2)
        )
        _ = client.takes()
        let sent = upstream.takesMessages()
        try #require(sent.map(\.text) == ["released", "sent"])
        upstream.sends(.pubRec(id: sent[0].packetID))
        upstream.sends(.publish(topic: "from/hub/1", payload: "down", qos: .exactlyOnce, id: 9))
        _ = client.receivesMessage("from/hub/1", "down", .exactlyOnce)
        let link = try Self.link("hub") { $0.inflightMax = 7 }
        broker.reconfigures { $0.links = [link] }
        let (again, packets) = try Self.answer(broker, isSessionPresent: true)
        let all = packets + again.takes()
        #expect(all.contains(.pubRel(id: sent[0].packetID)))
        let resent = all.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(resent.map(\.text) == ["sent"])
        #expect(resent.map(\.packetID) == [sent[1].packetID] && resent.map(\.isDuplicate) == [true])
        again.sends(.publish(topic: "from/hub/1", payload: "down", qos: .exactlyOnce, id: 9, isDuplicate: true))
        again.receives(.pubRec(id: 9))
        client.receivesNothing()
        again.sends(.pubRel(id: 9), .pubComp(id: sent[0].packetID), .pubRec(id: sent[1].packetID))
        again.sends(.pubComp(id: sent[1].packetID))
        #expect(broker.spool.rows == 0)
    }

    @Test("an identifier that is still being stored when its link changes is not used before it is on disk")
    func uncommitted() throws {
        let broker = Self.site(try Self.link("hub"))
        let (upstream, _) = try Self.answer(broker)
        _ = upstream.takes()
        let client = broker.connects("a")
        broker.commitsAtOnce = false
        client.sends(.publish(topic: "hub/1", payload: "x", qos: .exactlyOnce, id: 1))
        broker.commit()
        upstream.receivesNothing()
        let link = try Self.link("hub") { $0.inflightMax = 7 }
        broker.reconfigures { $0.links = [link] }
        let (again, _) = try Self.answer(broker, isSessionPresent: true)
        again.receivesNothing()
        broker.settle()
        let messages = again.takesMessages()
        #expect(messages.map(\.text) == ["x"])
    }

    @Test("what no rule takes any more is unsubscribed at an upstream that remembers us")
    func staleFilters() throws {
        let broker = Self.site(try Self.link("hub"))
        _ = try Self.answer(broker)
        let link = try Self.link("hub") { $0.inRules = [LinkRule(filter: TopicFilter("b") ?? $0.inRules[0].filter)] }
        broker.reconfigures { $0.links = [link] }
        // The line is cut before the upstream has answered: it is asked again.
        for _ in 0..<2 {
            let (upstream, packets) = try Self.answer(broker, isSessionPresent: true)
            #expect(packets.first == .unsubscribe(id: packets.unsubscribeID, filters: "from/hub/#"))
            #expect(packets.unsubscribeID != packets.subscribeID)
            upstream.vanishes()
            broker.advance(.seconds(10))
        }
        let (upstream, asked) = try Self.answer(broker, isSessionPresent: true)
        upstream.sends(.unsubAck(id: asked.unsubscribeID, reasons: .success))
        #expect(!upstream.isClosed)
        upstream.vanishes()
        broker.advance(.seconds(10))
        let (_, packets) = try Self.answer(broker, isSessionPresent: true)
        #expect(packets.count == 1)
    }

    @Test("a filter that came back, another client id and a session that is gone need no UNSUBSCRIBE", arguments: 0..<3)
    func nothingStale(_ reason: Int) throws {
        let old = try Self.link("hub")
        let broker = Self.site(old)
        _ = try Self.answer(broker)
        var link = old
        link.inRules = []
        broker.reconfigures { $0.links = [link] }
        if reason == 0 { broker.reconfigures { $0.links = [old] } }
        if reason == 1 {
            link.clientID = "another"
            broker.reconfigures { $0.links = [link] }
        }
        let (_, packets) = try Self.answer(broker, isSessionPresent: reason != 2)
        #expect(!packets.contains { if case .unsubscribe = $0 { true } else { false } })
    }

    @Test("an UNSUBACK that nobody waits for is against the protocol")
    func strayUnsubAck() throws {
        let broker = Self.site(try Self.link("hub"))
        let (upstream, _) = try Self.answer(broker)
        upstream.sends(.unsubAck(id: 2, reasons: .success))
        #expect(upstream.isClosed)
    }

    @Test("links of a node that shuts down are left alone")
    func draining() throws {
        let broker = Self.site(try Self.link("hub"))
        broker.perform { shard, now in shard.drain(now: now) }
        broker.dials.removeAll()
        let link = try Self.link("new")
        broker.reconfigures { $0.links = [link] }
        #expect(broker.dials.isEmpty)
    }

    /// The upstream of the hub, over as many connections as it takes.
    private struct Hub {
        let broker: ShardHarness
        var client: AutomaticClient

        init(_ broker: ShardHarness) throws {
            self.broker = broker
            client = AutomaticClient(try ReconfiguringTests.answer(broker).upstream)
        }

        /// Takes the line up again when the link asks for it.
        mutating func returns() throws {
            guard let dial = broker.dials.first, let upstream = broker.accepts(dial) else { return }
            _ = upstream.takes()
            upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
            client.returns(over: upstream)
        }
    }

    @Test("each message crosses once and in order, whenever its link changes, goes and comes back", arguments: 0..<40)
    func anyMoment(_ seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let qos: QoS = seed % 2 == 0 ? .atLeastOnce : .exactlyOnce
        let broker = Self.site(try Self.link("hub") { $0.inflightMax = 3 })
        var hub = try Hub(broker)
        broker.commitsAtOnce = false
        var publisher = broker.connects("publisher")
        var published = 0
        for step in 0..<400 {
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<3:
                let isKept = !broker.shard.links.isEmpty
                let id = UInt16(step + 1)
                let text = isKept ? "\(published + 1)" : "nobody's"
                publisher.sends(.publish(topic: "hub/t", payload: text, qos: qos, id: id))
                if qos == .exactlyOnce { publisher.sends(.pubRel(id: id)) }
                if isKept { published += 1 }
            case 3..<6: broker.commit(batches: Int.random(in: 1...3, using: &random))
            case 6..<9: hub.client.acts(atMost: Int.random(in: 1...4, using: &random))
            case 9:
                let link = try Self.link("hub") { $0.inflightMax = 1 + step % 7 }
                broker.reconfigures { $0.links = [link] }
            case 10: broker.reconfigures { $0.links = [] }
            default:
                if step % 3 == 0 {
                    broker.settle()
                    broker.restarts()
                    broker.commitsAtOnce = false
                    publisher = broker.connects("publisher")
                } else if step % 3 == 1 {
                    hub.client.peer.vanishes()
                    broker.advance(.seconds(10))
                }
            }
            // Half of the time the line is down.
            if Bool.random(using: &random) { try hub.returns() }
        }
        let link = try Self.link("hub") { $0.inflightMax = 3 }
        broker.reconfigures { $0.links = [link] }
        for _ in 0..<5_000 where hub.client.seen.count < published || broker.spool.rows + broker.spool.identifiers > 0 {
            try hub.returns()
            broker.settle()
            hub.client.acts(atMost: 100)
        }
        #expect(hub.client.peer.failure == nil)
        #expect(published > 20)
        #expect(hub.client.firstArrivals == (1...published).map(String.init))
        if qos == .exactlyOnce { #expect(hub.client.seen.count == published) }
        #expect(broker.spool.rows == 0 && broker.spool.identifiers == 0)
        #expect(broker.spool.receivers == 1)
    }

    // MARK: - Limits

    @Test("a client may go on with what its CONNACK promised; the next one hears the new limits")
    func promises() throws {
        var settings = BrokerSettings()
        settings.receiveMaximum = 3
        let broker = ShardHarness(settings)
        broker.commitsAtOnce = false
        let early = broker.opens()
        let client = broker.connects("a")
        broker.reconfigures {
            $0.receiveMaximum = 1
            $0.packetBytesMax = 2_048
        }
        client.sends(.subscribe(id: 1, filters: "t"))
        for id: UInt16 in 1...3 { client.sends(.publish(topic: "t", qos: .exactlyOnce, id: id)) }
        #expect(!client.isClosed)
        // Its decoder is of the time before.
        early.sends(.connect(clientID: "early"))
        broker.settle()
        let promised = try #require(early.receivesConnAck())
        #expect(promised.properties.receiveMaximum == 3)
        #expect(promised.properties.maximumPacketSize == UInt32(settings.packetBytesMax))
        let next = broker.opens()
        next.sends(.connect(clientID: "b"))
        broker.settle()
        let ack = try #require(next.receivesConnAck())
        #expect(ack.properties.receiveMaximum == 1)
        #expect(ack.properties.maximumPacketSize == 2_048)
    }

    @Test("new limits count for what is decided from now on")
    func limits() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "1", "2"))
        client.receives(.subAck(id: 1, reasons: .success, .success))
        broker.reconfigures {
            $0.subscriptionsMax = 2
            $0.retainedMessagesMax = 0
        }
        client.sends(.subscribe(id: 2, filters: "2", "3"))
        client.receives(.subAck(id: 2, reasons: .success, .quotaExceeded))
        client.sends(.publish(topic: "r", payload: "x", qos: .atLeastOnce, id: 3, isRetained: true))
        client.receives(.pubAck(id: 3, reason: .quotaExceeded))
    }
}
