import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Links")
struct LinkTests {
    /// Sends `out/#` as `site/...`, takes the upstream's `in/#` as `hub/...`.
    private static func settings(
        _ version: ProtocolVersion = .v5,
        _ change: (inout LinkSettings) -> Void = { _ in }
    ) throws -> BrokerSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.version = version
        var out = LinkRule(filter: try #require(TopicFilter("out/#")))
        out.stripPrefix = "out/"
        out.template = TopicTemplate(prefix: "site/")
        var incoming = LinkRule(filter: try #require(TopicFilter("in/#")))
        incoming.stripPrefix = "in/"
        incoming.template = TopicTemplate(prefix: "hub/")
        link.outRules = [out]
        link.inRules = [incoming]
        change(&link)
        var settings = BrokerSettings()
        settings.links = [link]
        return settings
    }

    private static func accept(_ broker: ShardHarness) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        return try #require(broker.accepts(dial))
    }

    /// The upstream accepts and grants what is subscribed.
    private static func connect(_ broker: ShardHarness, isSessionPresent: Bool = false) throws -> ScriptedPeer {
        let upstream = try accept(broker)
        guard case .connect(let connect)? = upstream.takes().first else {
            Issue.record("no CONNECT")
            return upstream
        }
        #expect(connect.clientID == "site-7")
        #expect(!connect.cleanStart)
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: isSessionPresent)))
        return upstream
    }

    private static func grant(_ upstream: ScriptedPeer) {
        upstream.sends(.subAck(id: upstream.takes().subscribeID, reasons: .grantedQoS2))
    }

    @Test("CONNECT, CONNACK, SUBSCRIBE with No Local, SUBACK: live", arguments: bothVersions)
    func handshake(_ version: ProtocolVersion) throws {
        let broker = ShardHarness(try Self.settings(version))
        let link = try #require(broker.shard.links.first)
        #expect(link.state == .connecting)
        let upstream = try Self.connect(broker)
        #expect(link.state == .probing)
        var options = SubscriptionOptions(maximumQoS: .exactlyOnce)
        if version == .v5 {
            options = SubscriptionOptions(
                maximumQoS: .exactlyOnce,
                noLocal: true,
                retainAsPublished: true,
                retainHandling: .sendOnNewSubscription
            )
        }
        let packets = upstream.takes()
        let id = packets.subscribeID
        #expect(packets == [.subscribe(id: id, filters: "in/#", options: options)])
        upstream.sends(.subAck(id: id, reasons: .grantedQoS2))
        #expect(link.state == .live)
        #expect(link.lastError == nil)
    }

    /// `max_inflight`, what the upstream says that it takes, and how many are in flight then.
    private static let windows: [(version: ProtocolVersion, configured: Int?, said: UInt16?, inFlight: Int)] = [
        (.v5, nil, nil, 1_024), (.v5, nil, 20, 20), (.v5, nil, 65_535, 1_024), (.v5, 2_000, nil, 2_000),
        (.v5, 3, nil, 3), (.v5, 2_000, 5, 5), (.v3_1_1, nil, nil, 64), (.v3_1_1, 100, nil, 100),
    ]

    @Test("as many are in flight as max_inflight and the upstream say, the other way too", arguments: windows)
    func window(_ version: ProtocolVersion, _ configured: Int?, _ said: UInt16?, _ inFlight: Int) throws {
        let broker = ShardHarness(try Self.settings(version) { $0.inflightMax = configured })
        let writer = broker.connects("writer")
        for number in 1...2_100 as ClosedRange<UInt16> {
            writer.sends(.publish(topic: "out/a", payload: "x", qos: .atLeastOnce, id: number))
        }
        let upstream = try Self.accept(broker)
        guard case .connect(let connect)? = upstream.takes().first else {
            Issue.record("no CONNECT")
            return
        }
        #expect(connect.properties.receiveMaximum == (version == .v5 ? UInt16(configured ?? 1_024) : nil))
        var properties = Properties()
        properties.receiveMaximum = said
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: false, properties: properties)))
        let packets = upstream.takes()
        let early = packets.count { if case .publish = $0 { true } else { false } }
        upstream.sends(.subAck(id: packets.subscribeID, reasons: .grantedQoS2))
        #expect(early + upstream.takesMessages().count == inFlight)
    }

    @Test(
        """
        an upstream is sent no higher QoS than it takes and no RETAIN that it does not \
        [5:MQTT-3.2.2-11] [5:MQTT-3.2.2-14]
        """, arguments: [QoS.atMostOnce, .atLeastOnce])
    func limitedUpstream(_ maximum: QoS) throws {
        let broker = ShardHarness(try Self.settings { $0.outRules[0].retain = .keep })
        let upstream = try Self.accept(broker)
        _ = upstream.takes()
        var ack = ConnAck(reason: .success)
        ack.properties.maximumQoS = maximum
        ack.properties.retainAvailable = false
        upstream.sends(.connAck(ack))
        Self.grant(upstream)
        let client = broker.connects("a")
        for (text, qos) in [("0", .atMostOnce), ("1", .atLeastOnce), ("2", .exactlyOnce)] as [(String, QoS)] {
            let id: UInt16 = qos == .atMostOnce ? 0 : 1
            client.sends(.publish(topic: "out/1", payload: text, qos: qos, id: id, isRetained: true))
            let packetID = upstream.receivesMessage("site/1", text, min(qos, maximum))
            if maximum < qos, maximum == .atMostOnce { #expect(broker.spool.rows == 0) }
            if maximum == .atLeastOnce, qos == .exactlyOnce {
                // Sent again as what it was sent.
                upstream.vanishes()
                broker.advance(.seconds(10))
                let again = try Self.connect(broker, isSessionPresent: true)
                let messages = again.takesMessages()
                #expect(messages.map(\.packetID) == [packetID])
                #expect(messages.map(\.qos) == [.atLeastOnce])
                again.sends(.pubAck(id: packetID))
            } else if packetID > 0 {
                upstream.sends(.pubAck(id: packetID))
            }
            #expect(broker.spool.rows == 0)
        }
    }

    @Test("what a link asks for has an identifier that no message of it has [5:MQTT-2.2.1-3] [311:MQTT-2.3.1-2]")
    func requestIdentifiers() throws {
        let broker = ShardHarness(try Self.settings())
        var upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connects("a")
        // Exchanges stay open all around the circle of identifiers, while the line comes and goes.
        for round in 0..<200 {
            client.sends(.publish(topic: "out/1", payload: "\(round)", qos: .exactlyOnce, id: UInt16(round + 1)))
            upstream.vanishes()
            broker.advance(.seconds(120))
            upstream = try Self.connect(broker, isSessionPresent: true)
            let packets = upstream.takes()
            let used = packets.compactMap { if case .publish(let publish) = $0 { publish.packetID } else { nil } }
            #expect(packets.subscribeID > 0 && !used.contains(packets.subscribeID))
            upstream.sends(.subAck(id: packets.subscribeID, reasons: .grantedQoS2))
            if round % 3 > 0, let last = used.last { upstream.sends(.pubRec(id: last), .pubComp(id: last)) }
        }
    }

    @Test("a message leaves the spool only after the upstream's PUBACK", arguments: bothVersions)
    func qos1(_ version: ProtocolVersion) throws {
        let broker = ShardHarness(try Self.settings(version))
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connects("a")
        client.sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1))
        client.receives(.pubAck(id: 1))
        let id = upstream.receivesMessage("site/1", "x", .atLeastOnce)
        #expect(broker.spool.rows == 1)
        upstream.sends(.pubAck(id: id))
        #expect(broker.spool.rows == 0)
        client.sends(.publish(topic: "out/0", payload: "y"))
        _ = upstream.receivesMessage("site/0", "y")
        client.sends(.publish(topic: "out", payload: "no name at the upstream", qos: .atLeastOnce, id: 2))
        client.receives(.pubAck(id: 2, reason: .noMatchingSubscribers))
        upstream.receivesNothing()
    }

    @Test("QoS 2 to the upstream: each step waits for its commit", arguments: bothVersions)
    func qos2(_ version: ProtocolVersion) throws {
        let broker = ShardHarness(try Self.settings(version))
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connects("a")
        broker.commitsAtOnce = false
        client.sends(.publish(topic: "out/1", payload: "x", qos: .exactlyOnce, id: 1))
        broker.commit()
        client.receives(.pubRec(id: 1))
        upstream.receivesNothing()
        broker.commit()
        let id = upstream.receivesMessage("site/1", "x", .exactlyOnce)
        upstream.sends(.pubRec(id: id))
        upstream.receivesNothing()
        broker.commit()
        upstream.receives(.pubRel(id: id))
        upstream.sends(.pubComp(id: id))
        broker.settle()
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("what waited while the line was down is sent in order, and resumed with the same identifiers")
    func storeAndForward() throws {
        let broker = ShardHarness(try Self.settings())
        let client = broker.connects("a")
        for number in 1...5 {
            let qos: QoS = number % 2 == 0 ? .exactlyOnce : .atLeastOnce
            client.sends(.publish(topic: "out/t", payload: "\(number)", qos: qos, id: UInt16(number)))
        }
        let upstream = try Self.connect(broker)
        // Order is a promise per topic and QoS [5:MQTT-4.6.0-5]: QoS 2 waits for the commit of its identifiers.
        let taken = upstream.takesMessages()
        #expect(taken.map(\.qos) == [.atLeastOnce, .atLeastOnce, .atLeastOnce, .exactlyOnce, .exactlyOnce])
        let first = taken.sorted { $0.text < $1.text }
        try #require(first.map(\.text) == (1...5).map(String.init))
        upstream.sends(.pubRec(id: first[1].packetID))
        upstream.receives(.pubRel(id: first[1].packetID))
        upstream.vanishes()
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, isSessionPresent: true)
        let packets = again.takes().dropFirst()
        #expect(packets.first == .pubRel(id: first[1].packetID))
        let resent = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(resent.map(\.packetID) == [0, 2, 3, 4].map { first[$0].packetID })
        #expect(resent.map(\.isDuplicate) == [true, true, true, true])
        again.sends(.pubComp(id: first[1].packetID))
        for publish in resent {
            if publish.qos == .atLeastOnce { again.sends(.pubAck(id: publish.packetID)) }
            if publish.qos == .exactlyOnce {
                again.sends(.pubRec(id: publish.packetID), .pubComp(id: publish.packetID))
            }
        }
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("an upstream that forgot the session gets what is open as new, and not what it has taken")
    func forgotten() throws {
        let broker = ShardHarness(try Self.settings())
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connects("a")
        client.sends(
            .publish(topic: "out/1", payload: "1", qos: .exactlyOnce, id: 1),
            .publish(topic: "out/2", payload: "2", qos: .exactlyOnce, id: 2)
        )
        let messages = upstream.takesMessages()
        try #require(messages.count == 2)
        upstream.sends(.pubRec(id: messages[0].packetID))
        upstream.vanishes()
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, isSessionPresent: false)
        let resent = again.takesMessages()
        #expect(resent.map(\.text) == ["2"])
        try #require(resent.map(\.isDuplicate) == [false])
        again.sends(.pubRec(id: resent[0].packetID))
        again.sends(.pubComp(id: resent[0].packetID))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("what comes in gets its local name, is answered after the commit and does not go back")
    func inbound() throws {
        let broker = ShardHarness(
            try Self.settings { link in
                // Everything would go out again, were it not for where it came from.
                link.outRules = [LinkRule(filter: TopicFilter("#") ?? link.inRules[0].filter)]
            }
        )
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connectsDurably("a")
        client.sends(.subscribe(id: 1, filters: "hub/#", qos: .exactlyOnce))
        _ = client.takes()
        broker.commitsAtOnce = false
        upstream.sends(.publish(topic: "in/1", payload: "x", qos: .atLeastOnce, id: 1))
        upstream.receivesNothing()
        broker.settle()
        upstream.receives(.pubAck(id: 1))
        _ = client.receivesMessage("hub/1", "x", .atLeastOnce)
        upstream.sends(.publish(topic: "in/2", payload: "y", qos: .exactlyOnce, id: 2))
        client.receivesNothing()
        broker.settle()
        upstream.receives(.pubRec(id: 2))
        _ = client.receivesMessage("hub/2", "y", .exactlyOnce)
        upstream.sends(.publish(topic: "in/2", payload: "y", qos: .exactlyOnce, id: 2, isDuplicate: true))
        broker.settle()
        upstream.receives(.pubRec(id: 2))
        client.receivesNothing()
        upstream.sends(.pubRel(id: 2))
        broker.settle()
        upstream.receives(.pubComp(id: 2))
        upstream.sends(.publish(topic: "elsewhere", payload: "not asked for", qos: .atLeastOnce, id: 3))
        broker.settle()
        upstream.receives(.pubAck(id: 3))
        client.receivesNothing()
    }

    @Test("$SYS of the upstream may be taken under another name, and nothing may be put under $")
    func reserved() throws {
        let broker = ShardHarness(
            try Self.settings { link in
                var system = LinkRule(filter: TopicFilter("$SYS/#") ?? link.inRules[0].filter)
                system.template = TopicTemplate(prefix: "hub/")
                var bad = LinkRule(filter: TopicFilter("bad/#") ?? link.inRules[0].filter)
                bad.template = TopicTemplate(prefix: "$")
                link.inRules = [system, bad]
            }
        )
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "#", "$bad/#"))
        _ = client.takes()
        upstream.sends(.publish(topic: "$SYS/uptime", payload: "1"))
        upstream.sends(.publish(topic: "bad/x", payload: "2"))
        #expect(client.takesMessages().map(\.topic) == ["hub/$SYS/uptime"])
    }

    @Test("the RETAIN flag crosses as the rule says", arguments: [LinkRule.Retain.keep, .set, .clear])
    func retain(_ retain: LinkRule.Retain) throws {
        let broker = ShardHarness(try Self.settings { $0.outRules[0].retain = retain })
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        let client = broker.connects("a")
        for isRetained in [false, true] {
            client.sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1, isRetained: isRetained))
            let expected = retain == .keep ? isRetained : retain == .set
            _ = upstream.receivesMessage("site/1", "x", .atLeastOnce, isRetained: expected)
        }
    }

    @Test("failed dials back off, a refusal too, and the reason is kept")
    func backoff() throws {
        let broker = ShardHarness(try Self.settings())
        let link = try #require(broker.shard.links.first)
        for _ in 0..<5 {
            let dial = try #require(broker.dials.first)
            broker.refuses(dial)
            #expect(link.state == .backingOff)
            #expect(link.lastError == "nobody there")
            #expect(broker.dials.isEmpty)
            broker.advance(.milliseconds(999))
            #expect(broker.dials.isEmpty)
            broker.advance(.seconds(120))
        }
        let upstream = try Self.accept(broker)
        _ = upstream.takes()
        upstream.sends(.connAck(ConnAck(reason: .badUserNameOrPassword)))
        #expect(upstream.isClosed)
        #expect(link.state == .refused)
        broker.advance(.seconds(107))
        #expect(broker.dials.isEmpty, "a password is not better a second later")
        broker.advance(.seconds(13))
        let silent = try Self.accept(broker)
        broker.advance(.seconds(10))
        #expect(silent.isClosed)
        #expect(link.state == .stalled)
        #expect(broker.shard.timerCount < 50)
    }

    @Test("an answer to a dial of the time before is not wanted")
    func staleDial() throws {
        let broker = ShardHarness(try Self.settings())
        let link = try #require(broker.shard.links.first)
        let old = link.epoch
        let dial = try #require(broker.dials.first)
        broker.refuses(dial)
        broker.advance(.seconds(120))
        broker.perform { shard, now in
            let connection = shard.dialed(link, epoch: old, peer: "late", now: now)
            #expect(connection == nil)
        }
    }

    @Test("a quiet upstream that answers pings lives for days", arguments: [2, 20, 30, 600])
    func pings(_ keepAlive: Int64) throws {
        let broker = ShardHarness(try Self.settings { $0.keepAlive = .seconds(keepAlive) })
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        for _ in 0..<20_000 {
            broker.advance(.milliseconds(500))
            for packet in upstream.takes() where packet == .pingReq { upstream.sends(.pingResp) }
            if upstream.isClosed { break }
        }
        #expect(!upstream.isClosed)
        #expect(broker.shard.links.first?.state == .live)
    }

    @Test("an upstream that answers no ping is left")
    func pingTimeout() throws {
        let broker = ShardHarness(try Self.settings())
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        broker.advance(.seconds(29))
        #expect(!upstream.isClosed)
        broker.advance(.seconds(2))
        #expect(upstream.isClosed)
    }

    @Test("an upstream that answers pings and acknowledges nothing is left, one that was just given something is not")
    func acknowledgementTimeout() throws {
        let broker = ShardHarness(try Self.settings { $0.keepAlive = .seconds(600) })
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        func pass(_ seconds: Int) {
            for _ in 0..<seconds {
                broker.advance(.seconds(1))
                for packet in upstream.takes() where packet == .pingReq { upstream.sends(.pingResp) }
            }
        }
        pass(299)
        broker.connects("a").sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1))
        pass(20)
        #expect(!upstream.isClosed)
        pass(60)
        #expect(upstream.isClosed)
        #expect(broker.shard.links.first?.lastError == "the upstream acknowledges nothing")
    }

    @Test("a link that is stopped says DISCONNECT and does not dial again")
    func drain() throws {
        let broker = ShardHarness(try Self.settings())
        let upstream = try Self.connect(broker)
        Self.grant(upstream)
        broker.perform { shard, now in shard.drain(now: now) }
        upstream.receives(.disconnect(reason: .success))
        #expect(upstream.isClosed)
        broker.advance(.seconds(1000))
        #expect(broker.dials.isEmpty)
        #expect(broker.shard.links.first?.state == .disabled)
    }

    @Test("QoS 2 to and from the upstream survives a crash after every step, exactly once")
    func crashes() throws {
        for step in 1...80 {
            let broker = ShardHarness(try Self.settings())
            var link = AutomaticClient(try Self.connect(broker))
            Self.grant(link.peer)
            let client = broker.connects("a")
            var local = AutomaticClient(broker.connectsDurably("b"))
            local.peer.sends(.subscribe(id: 1, filters: "hub/#", qos: .exactlyOnce))
            local.acts(atMost: 10)
            broker.commitsAtOnce = false
            // Durable for the link, though its publisher is not: the publisher's half is another test's.
            client.sends(.publish(topic: "out/1", payload: "up", qos: .exactlyOnce, id: 1))
            broker.commit()
            broker.crashesAfter = broker.steps + step
            func converse() {
                for _ in 0..<20 where !broker.hasCrashed {
                    link.acts(atMost: 10)
                    local.acts(atMost: 10)
                    broker.commit()
                }
            }
            var isReleasing = false
            func publishDown() {
                if isReleasing {
                    link.peer.sends(.pubRel(id: 9))
                } else {
                    link.peer.sends(
                        .publish(topic: "in/1", payload: "down", qos: .exactlyOnce, id: 9, isDuplicate: true))
                    broker.commit()
                    guard !broker.hasCrashed else { return }
                    isReleasing = true
                    link.peer.sends(.pubRel(id: 9))
                }
            }
            publishDown()
            converse()
            let didCrash = broker.hasCrashed
            if didCrash {
                link.acts(atMost: 10)
                local.acts(atMost: 10)
                broker.restarts()
                local.returns(over: broker.connectsDurably("b"))
                link.returns(over: try Self.connect(broker, isSessionPresent: true))
                publishDown()
                converse()
            }
            broker.settle()
            #expect(link.seen == ["up"], "crash after step \(step)")
            #expect(local.seen == ["down"], "crash after step \(step)")
            #expect(broker.spool.rows == 0 && broker.spool.identifiers == 0, "crash after step \(step)")
            if !didCrash { return }
        }
        Issue.record("the conversation has more steps than were tried")
    }
}
