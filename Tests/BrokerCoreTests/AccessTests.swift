import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

extension ShardHarness {
    /// A broker with rules.
    convenience init(rules: [AccessRule], _ change: (inout BrokerSettings) -> Void = { _ in }) {
        var settings = BrokerSettings()
        settings.access = AccessRules(rules)
        change(&settings)
        self.init(settings)
    }

    /// A client with a user name; what it was sent after CONNACK is kept.
    func comes(
        _ user: MQTTString?,
        _ client: MQTTString? = nil,
        _ version: ProtocolVersion = .v5,
        isDurable: Bool = false,
        will: Connect.Will? = nil
    ) -> ScriptedPeer {
        let peer = opens(version)
        var properties = Properties()
        if isDurable, version == .v5 { properties.sessionExpiryInterval = 3600 }
        peer.sends(
            .connect(
                Connect(
                    version: version,
                    clientID: client ?? user ?? "anonymous",
                    cleanStart: !isDurable,
                    will: will,
                    username: user,
                    properties: properties
                )
            )
        )
        return peer
    }

    /// The same, with CONNACK read.
    func lets(
        _ user: MQTTString?,
        _ client: MQTTString? = nil,
        _ version: ProtocolVersion = .v5,
        isDurable: Bool = false
    ) -> ScriptedPeer {
        let peer = comes(user, client, version, isDurable: isDurable)
        _ = peer.takes()
        return peer
    }

    func takes(_ rules: [AccessRule]) { takes(AccessRules(rules)) }
    func takes(_ rules: AccessRules) { perform { shard, now in shard.setAccess(rules, now: now) } }

    var denials: [Notice] { notices.filter { $0.level == .denial } }
}

@Suite("Access in a shard")
struct AccessTests {
    private static let rules = [
        rule(.allow, .both, who: .user("admin"), topics: "#"),
        rule(.deny, .both, "secret/#"),
        rule(.allow, .publish, "user/+/inbox/%u"),
        rule(.allow, .subscribe, "user/%u/#"),
        rule(.allow, .both, "open/#"),
    ]

    // MARK: Publishing

    @Test("a denied PUBLISH of version 5 is answered with 0x87 and reaches nobody")
    func publishDenied() {
        let broker = ShardHarness(rules: Self.rules)
        let admin = broker.lets("admin")
        admin.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        _ = admin.takes()
        let alice = broker.lets("alice")
        alice.sends(.publish(topic: "secret/x", payload: "0"))
        alice.receivesNothing()
        alice.sends(.publish(topic: "secret/x", payload: "1", qos: .atLeastOnce, id: 1))
        alice.receives(.pubAck(id: 1, reason: .notAuthorized))
        alice.sends(.publish(topic: "user/bob/inbox/bob", payload: "2", qos: .exactlyOnce, id: 2, isRetained: true))
        alice.receives(.pubRec(id: 2, reason: .notAuthorized))
        // A failing PUBREC frees the identifier.
        alice.sends(.publish(topic: "user/bob/inbox/alice", payload: "3", qos: .exactlyOnce, id: 2))
        alice.receives(.pubRec(id: 2))
        #expect(admin.takesMessages().map(\.text) == ["3"])
        #expect(broker.shard.retained.count == 0)
        #expect(broker.shard.counters.publishesDenied == 3)
    }

    @Test("version 3 is acknowledged as its QoS asks, and nothing is published [311:MQTT-3.3.5-2]")
    func publishDeniedVersion3() {
        let broker = ShardHarness(rules: Self.rules)
        let admin = broker.lets("admin")
        admin.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        _ = admin.takes()
        let alice = broker.lets("alice", nil, .v3_1_1)
        alice.sends(.publish(topic: "secret/x"))
        alice.sends(.publish(topic: "secret/x", qos: .atLeastOnce, id: 1))
        alice.receives(.pubAck(id: 1))
        alice.sends(.publish(topic: "secret/x", qos: .exactlyOnce, id: 2))
        alice.receives(.pubRec(id: 2))
        alice.sends(.pubRel(id: 2))
        alice.receives(.pubComp(id: 2))
        admin.receivesNothing()
        #expect(!alice.isClosed)
    }

    @Test(
        "or disconnected, where it is so configured [311:MQTT-3.3.5-2]", arguments: bothVersions,
        [QoS.atMostOnce, .atLeastOnce, .exactlyOnce])
    func publishDisconnects(_ version: ProtocolVersion, _ qos: QoS) {
        let broker = ShardHarness(rules: Self.rules) {
            $0.deniedPublish = .disconnect
            $0.deniedPublishOfVersion3 = .disconnect
        }
        let alice = broker.lets("alice", nil, version)
        alice.sends(.publish(topic: "secret/x", qos: qos, id: qos == .atMostOnce ? 0 : 1))
        if version == .v5 {
            alice.receives(.disconnect(reason: .notAuthorized))
        } else {
            alice.receivesNothing()
        }
        #expect(alice.isClosed)
        let other = broker.lets("alice", nil, version)
        other.sends(.publish(topic: "open/x", qos: .atLeastOnce, id: 1))
        #expect(other.takes().count == 1)
        #expect(!other.isClosed)
    }

    @Test("without rules all is allowed but the topics of the server")
    func open() {
        let broker = ShardHarness()
        let alice = broker.lets("alice")
        alice.sends(.subscribe(id: 1, filters: "#", "$SYS/#"))
        alice.receives(.subAck(id: 1, reasons: .success, .success))
        alice.sends(.publish(topic: "any/thing", payload: "x"))
        #expect(alice.takesMessages().count == 1)
        alice.sends(.publish(topic: "$SYS/x", qos: .atLeastOnce, id: 1))
        alice.receives(.pubAck(id: 1, reason: .notAuthorized))
    }

    @Test("HTTP asks the same rules for its principal, and without a client id no %c is its own")
    func gateway() {
        let broker = ShardHarness(rules: Self.rules + [rule(.allow, .publish, "dev/%c", "dev/+/%c")])
        func refusal(_ topic: MQTTString, _ user: MQTTString?) -> ReasonCode? {
            var answer: ReasonCode?
            broker.perform { shard, now in
                let principal = Principal(username: user, clientID: "", address: "127.0.0.1")
                answer = shard.refusal(
                    of: GatewayPublish(
                        topic: topic,
                        payload: ByteBuffer(),
                        qos: .atMostOnce,
                        isRetained: false,
                        principal: principal
                    ),
                    now: now
                )
            }
            return answer
        }
        #expect(refusal("secret/x", "alice") == .notAuthorized)
        #expect(refusal("secret/x", "admin") == nil)
        #expect(refusal("user/bob/inbox/alice", "alice") == nil)
        #expect(refusal("user/bob/inbox/alice", nil) == .notAuthorized)
        #expect(refusal("user/bob/inbox/bob", "alice") == .notAuthorized)
        #expect(refusal("dev/", "alice") == .notAuthorized)
        #expect(refusal("dev/x/", "alice") == .notAuthorized)
        #expect(refusal("$SYS/x", "admin") == .notAuthorized)
        #expect(refusal("open/x", nil) == nil)
        #expect(broker.denials.count == 6)
        broker.takes([])
        #expect(refusal("open/x", nil) == .notAuthorized)
    }

    // MARK: Subscribing

    @Test("a denied filter fails alone: 0x87, and 0x80 for version 3", arguments: bothVersions)
    func subscribeDenied(_ version: ProtocolVersion) {
        let broker = ShardHarness(rules: Self.rules)
        let alice = broker.lets("alice", nil, version)
        let admin = broker.lets("admin")
        let no: ReasonCode = version == .v5 ? .notAuthorized : .unspecifiedError
        alice.sends(
            .subscribe(id: 1, filters: "open/#", "#", "secret/x", "user/alice/+", "user/+/#", "open", qos: .atLeastOnce)
        )
        alice.receives(.subAck(id: 1, reasons: .grantedQoS1, no, no, .grantedQoS1, no, .grantedQoS1))
        #expect(broker.shard.counters.subscribesDenied == 3)
        admin.sends(.publish(topic: "secret/x"), .publish(topic: "user/bob/x"), .publish(topic: "other"))
        alice.receivesNothing()
        admin.sends(.publish(topic: "user/alice/x"), .publish(topic: "open"))
        #expect(alice.takesMessages().map(\.topic) == ["user/alice/x", "open"])
    }

    @Test("a denied filter replays no retained message and stores no subscription")
    func subscribeDeniedLeavesNothing() {
        let broker = ShardHarness(rules: Self.rules)
        broker.lets("admin").sends(.publish(topic: "secret/x", payload: "r", isRetained: true))
        let alice = broker.lets("alice", isDurable: true)
        alice.sends(.subscribe(id: 1, filters: "secret/#"))
        alice.receives(.subAck(id: 1, reasons: .notAuthorized))
        alice.sends(.unsubscribe(id: 2, filters: "secret/#"))
        alice.receives(.unsubAck(id: 2, reasons: .noSubscriptionExisted))
    }

    @Test("of $share the filter behind the group is judged", arguments: bothVersions)
    func shared(_ version: ProtocolVersion) {
        let broker = ShardHarness(rules: Self.rules)
        let alice = broker.lets("alice", nil, version)
        alice.sends(.subscribe(id: 1, filters: "$share/g/secret/#", "$share/g/#", "$share/open/user/bob/#"))
        let no: ReasonCode = version == .v5 ? .notAuthorized : .unspecifiedError
        alice.receives(.subAck(id: 1, reasons: no, no, no))
        alice.sends(.subscribe(id: 2, filters: "$share/g/open/#"))
        alice.receives(.subAck(id: 2, reasons: .success))
    }

    @Test(
        "client ids and user names with wildcards open nothing", arguments: ["+", "#", "bob/+", "+/#"] as [MQTTString])
    func wildcardNames(_ name: MQTTString) {
        let broker = ShardHarness(rules: [
            rule(.allow, .both, "user/%u/#", "dev/%c/#"), rule(.allow, .both, who: .user("bob"), topics: "#"),
        ])
        let bob = broker.lets("bob", "phone")
        for (user, client) in [(name, "a"), ("a", name), (nil, name), (name, name)] as [(MQTTString?, MQTTString)] {
            let mallory = broker.lets(user, client)
            mallory.sends(.subscribe(id: 1, filters: "user/+/#", "dev/+/#", "user/#", "dev/phone/#", "#"))
            mallory.receives(
                .subAck(id: 1, reasons: .notAuthorized, .notAuthorized, .notAuthorized, .notAuthorized, .notAuthorized))
            mallory.sends(.publish(topic: "user/bob/x", qos: .atLeastOnce, id: 1))
            mallory.receives(.pubAck(id: 1, reason: .notAuthorized))
            bob.sends(.publish(topic: "user/bob/x"), .publish(topic: "dev/phone/x"))
            mallory.receivesNothing()
        }
    }

    @Test("a and a/ are two topics, A is a third")
    func spelling() {
        let broker = ShardHarness(rules: [rule(.deny, .both, "a"), rule(.allow, .both, "a/", "b/#")])
        let alice = broker.lets("alice")
        for (topic, reason) in [
            ("a", ReasonCode.notAuthorized), ("a/", .noMatchingSubscribers), ("A", .notAuthorized),
            ("A/", .notAuthorized), ("/a", .notAuthorized), ("a//", .notAuthorized), ("b", .noMatchingSubscribers),
            ("B", .notAuthorized),
        ] as [(MQTTString, ReasonCode)] {
            alice.sends(.publish(topic: topic, qos: .atLeastOnce, id: 1))
            alice.receives(.pubAck(id: 1, reason: reason))
        }
    }

    // MARK: Delivering

    @Test("a denial within a granted filter holds back, live and retained")
    func holdsBack() {
        let broker = ShardHarness(rules: [
            rule(.allow, .publish, "#"), rule(.deny, .subscribe, "secret/#"), rule(.allow, .subscribe, "#"),
        ])
        let sender = broker.lets("s")
        sender.sends(
            .publish(topic: "secret/r", payload: "r", isRetained: true),
            .publish(topic: "open/r", payload: "r", isRetained: true))
        let alice = broker.lets("alice", isDurable: true)
        alice.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        #expect(alice.takesMessages().map(\.topic) == ["open/r"])
        for qos in [QoS.atMostOnce, .atLeastOnce, .exactlyOnce] {
            let id = UInt16(qos.rawValue)
            sender.sends(.publish(topic: "secret/x", qos: qos, id: id), .publish(topic: "open/x", qos: qos, id: id * 2))
        }
        #expect(alice.takesMessages().map(\.topic) == ["open/x", "open/x", "open/x"])
    }

    @Test("after a revocation nothing more comes, and after its end all that comes then does")
    func revoked() {
        let broker = ShardHarness(rules: [rule(.allow, .both, "#")])
        let sender = broker.lets("s")
        let alice = broker.lets("alice")
        alice.sends(.subscribe(id: 1, filters: "secret/#", "open/#"))
        _ = alice.takes()
        sender.sends(.publish(topic: "secret/x", payload: "1"), .publish(topic: "open/x", payload: "2"))
        #expect(alice.takesMessages().map(\.text) == ["1", "2"])
        broker.takes(Self.rules + [rule(.allow, .publish, who: .user("s"), topics: "#")])
        broker.takes([rule(.allow, .publish, who: .user("s"), topics: "#")] + Self.rules)
        sender.sends(.publish(topic: "secret/x", payload: "3"), .publish(topic: "open/x", payload: "4"))
        #expect(alice.takesMessages().map(\.text) == ["4"])
        #expect(!alice.isClosed)
        broker.takes([rule(.allow, .both, "#")])
        sender.sends(.publish(topic: "secret/x", payload: "5"))
        #expect(alice.takesMessages().map(\.text) == ["5"])
        broker.takes([])
        sender.sends(.publish(topic: "open/x", payload: "6"))
        alice.receivesNothing()
        broker.takes(.open)
        sender.sends(.publish(topic: "open/x", payload: "7"))
        #expect(alice.takesMessages().map(\.text) == ["7"])
    }

    @Test("retained messages are not replayed after a revocation, wherever the replay is")
    func retainedAfterRevocation() {
        let broker = ShardHarness(rules: [rule(.allow, .both, "#")])
        let sender = broker.lets("s")
        for number in 0..<4 {
            let topic = MQTTString("secret/\(number)")
            sender.sends(.publish(topic: topic, payload: "r", qos: .atLeastOnce, id: 1, isRetained: true))
        }
        let alice = broker.comes("alice")
        _ = alice.takes()
        alice.becomesWritable(false)
        alice.sends(.subscribe(id: 1, filters: "secret/#", "#", qos: .atLeastOnce))
        #expect(broker.shard.retained.count == 4)
        broker.takes(Self.rules)
        alice.becomesWritable(true)
        #expect(alice.takesMessages().isEmpty)
        alice.sends(.subscribe(id: 2, filters: "secret/0"))
        alice.receives(.subAck(id: 2, reasons: .notAuthorized))
    }

    @Test("what a publisher retained is hidden when its right to publish it is revoked")
    func publisherRevoked() {
        let broker = ShardHarness(rules: [rule(.allow, .both, "#")])
        let mallory = broker.lets("mallory")
        mallory.sends(.publish(topic: "news", payload: "false", isRetained: true))
        mallory.vanishes()
        broker.perform { shard, now in
            shard.publish(
                GatewayPublish(
                    topic: "web",
                    payload: ByteBuffer(string: "false too"),
                    qos: .atMostOnce,
                    isRetained: true,
                    principal: Principal(username: "mallory", clientID: "", address: nil)
                ),
                token: 1,
                now: now
            )
        }
        let revoking = [rule(.deny, .publish, who: .user("mallory"), topics: "#"), rule(.allow, .both, "#")]
        broker.takes(revoking)
        let alice = broker.lets("alice")
        alice.sends(.subscribe(id: 1, filters: "news", "web"))
        alice.receives(.subAck(id: 1, reasons: .success, .success))
        alice.sends(.publish(topic: "news", payload: "true", isRetained: true))
        _ = alice.takes()
        let bob = broker.lets("bob")
        bob.sends(.subscribe(id: 1, filters: "#"))
        #expect(bob.takesMessages().map(\.text) == ["true"])
    }

    @Test("what waits for a session that was away is judged when it is sent", arguments: bothVersions)
    func queuedAfterRevocation(_ version: ProtocolVersion) {
        let broker = ShardHarness(rules: [rule(.allow, .both, "#")])
        let sender = broker.lets("s")
        let alice = broker.lets("alice", nil, version, isDurable: true)
        alice.sends(.subscribe(id: 1, filters: "#", qos: .exactlyOnce))
        alice.vanishes()
        sender.sends(
            .publish(topic: "secret/1", payload: "1", qos: .atLeastOnce, id: 1),
            .publish(topic: "open/2", payload: "2", qos: .atLeastOnce, id: 2),
            .publish(topic: "secret/3", payload: "3", qos: .exactlyOnce, id: 3),
            .publish(topic: "open/4", payload: "4", qos: .exactlyOnce, id: 4)
        )
        broker.takes(Self.rules + [rule(.allow, .subscribe, "#")])
        let back = broker.comes("alice", nil, version, isDurable: true)
        let messages = back.takesMessages()
        #expect(messages.map(\.text) == ["2", "4"])
        #expect(broker.shard.counters.deliveriesDenied == 2)
        #expect(broker.spool.givenUp == [.denied, .denied])
        for message in messages {
            back.sends(message.qos == .atLeastOnce ? .pubAck(id: message.packetID) : .pubRec(id: message.packetID))
            if message.qos == .exactlyOnce { back.sends(.pubComp(id: message.packetID)) }
        }
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test(
        "what was in flight is not sent again after a revocation, and the window stays sound", arguments: bothVersions)
    func inflightAfterRevocation(_ version: ProtocolVersion) {
        let broker = ShardHarness(rules: [rule(.allow, .both, "#")])
        let sender = broker.lets("s")
        let alice = broker.lets("alice", nil, version, isDurable: true)
        alice.sends(.subscribe(id: 1, filters: "secret/#", qos: .exactlyOnce))
        _ = alice.takes()
        sender.sends(
            .publish(topic: "secret/1", qos: .atLeastOnce, id: 1),
            .publish(topic: "secret/2", qos: .exactlyOnce, id: 2)
        )
        let first = alice.takesMessages()
        #expect(first.count == 2)
        alice.vanishes()
        broker.takes(Self.rules)
        let back = broker.comes("alice", nil, version, isDurable: true)
        // The QoS 2 identifier may be known to the client: it is released, without the message.
        #expect(back.takes().dropFirst() == [.pubRel(id: first[1].packetID)])
        back.sends(.pubComp(id: first[1].packetID))
        #expect(broker.spool.givenUp == [.denied, .denied])
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("a revocation over a restart: subscriptions on disk are judged when their client returns")
    func restart() {
        let broker = ShardHarness(rules: [
            rule(.deny, .subscribe, who: .user("alice"), topics: "secret/#"), rule(.allow, .both, "#"),
        ])
        let alice = broker.lets("bob", "phone", isDurable: true)
        alice.sends(.subscribe(id: 1, filters: "secret/#", "open/#", qos: .atLeastOnce))
        broker.restarts()
        let sender = broker.lets("s")
        sender.sends(
            .publish(topic: "secret/x", qos: .atLeastOnce, id: 1),
            .publish(topic: "open/x", qos: .atLeastOnce, id: 2)
        )
        // Another user under the same client id gets the session, but not what its rules keep from it.
        let other = broker.comes("alice", "phone", isDurable: true)
        #expect(other.takesMessages().map(\.topic) == ["open/x"])
        sender.sends(.publish(topic: "secret/y"), .publish(topic: "open/y"))
        #expect(other.takesMessages().map(\.topic) == ["open/y"])
        // And its owner has them again.
        let back = broker.comes("bob", "phone", isDurable: true)
        _ = back.takes()
        sender.sends(.publish(topic: "secret/z"))
        #expect(back.takesMessages().map(\.topic) == ["secret/z"])
    }

    // MARK: Wills

    private static func will(_ topic: MQTTString, delay: UInt32? = nil, qos: QoS = .atMostOnce) -> Connect.Will {
        var will = Connect.Will(topic: topic, payload: ByteBuffer(string: "gone"), qos: qos)
        if let delay { will.properties.willDelayInterval = delay }
        return will
    }

    @Test("a will that may not be published ends its CONNECT [5:MQTT-3.1.4-2]", arguments: bothVersions)
    func willDenied(_ version: ProtocolVersion) {
        let broker = ShardHarness(rules: Self.rules)
        let old = broker.lets("alice", nil, version)
        let new = broker.comes("alice", nil, version, will: Self.will("secret/x"))
        new.receivesConnAck(.notAuthorized)
        #expect(new.isClosed)
        // Nothing of it was done: nobody was taken over.
        #expect(!old.isClosed)
        let fine = broker.comes("alice", nil, version, will: Self.will("user/bob/inbox/alice"))
        fine.receivesConnAck()
        #expect(broker.denials.map(\.text) == ["will denied"])
    }

    @Test("a will is judged again when it is due")
    func willRevoked() {
        let broker = ShardHarness(rules: [rule(.allow, .both, "#")])
        let admin = broker.lets("admin")
        admin.sends(.subscribe(id: 1, filters: "#"))
        _ = admin.takes()
        let now = broker.comes("alice", "a", will: Self.will("secret/x"))
        let later = broker.comes("alice", "b", isDurable: true, will: Self.will("secret/y", delay: 10))
        let fine = broker.comes("alice", "c", will: Self.will("open/z"))
        later.vanishes()
        broker.takes(Self.rules)
        now.vanishes()
        fine.vanishes()
        broker.advance(.seconds(20))
        #expect(admin.takesMessages().map(\.topic) == ["open/z"])
        #expect(broker.shard.counters.publishesDenied == 2)
        broker.restarts()
        broker.advance(.seconds(60))
        #expect(broker.denials.isEmpty)
    }

    @Test("a will that a restart brought back goes out where somebody with its client id may publish")
    func willAfterRestart() {
        let open = [rule(.allow, .both, "user/+/state/%u", "dev/%c", "closed"), rule(.allow, .subscribe, "#")]
        func topics(_ topic: MQTTString, _ rules: [AccessRule]) -> [MQTTString] {
            let broker = ShardHarness(rules: open)
            _ = broker.comes("alice", "a", will: Self.will(topic, qos: .atLeastOnce))
            broker.restarts()
            broker.takes(rules)
            let listener = broker.lets("listener")
            listener.sends(.subscribe(id: 1, filters: "#"))
            _ = listener.takes()
            broker.advance(.seconds(60))
            return listener.takesMessages().map(\.topic)
        }
        #expect(topics("user/x/state/alice", open) == ["user/x/state/alice"])
        #expect(topics("dev/a", open) == ["dev/a"])
        #expect(topics("closed", open) == ["closed"])
        #expect(topics("closed", [rule(.allow, .subscribe, "#")]) == [])
        #expect(topics("dev/a", [rule(.deny, .publish, "dev/%c")] + open) == [])
        #expect(topics("closed", [rule(.deny, .publish, who: .user("bob"), topics: "#")] + open) == ["closed"])
    }

    // MARK: Links

    @Test("a link brings in what its rules say; under its local name it is delivered to whom may have it")
    func linkRemap() throws {
        var link = LinkSettings(name: "hub", clientID: "site")
        var incoming = LinkRule(filter: try #require(TopicFilter("in/#")))
        incoming.stripPrefix = "in/"
        incoming.template = TopicTemplate(prefix: "secret/")
        var out = LinkRule(filter: try #require(TopicFilter("out/#")))
        out.stripPrefix = "out/"
        out.template = TopicTemplate(prefix: "open/")
        link.inRules = [incoming]
        link.outRules = [out]
        let broker = ShardHarness(rules: Self.rules + [rule(.allow, .subscribe, "in/#", "+/x")]) { $0.links = [link] }
        let admin = broker.lets("admin")
        admin.sends(.subscribe(id: 1, filters: "#"))
        _ = admin.takes()
        let alice = broker.lets("alice")
        alice.sends(.subscribe(id: 1, filters: "in/#", "+/x", "open/#", "secret/#"))
        alice.receives(.subAck(id: 1, reasons: .success, .success, .success, .notAuthorized))
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: false)))
        upstream.sends(.subAck(id: upstream.takes().subscribeID, reasons: .grantedQoS2))
        upstream.sends(.publish(topic: "in/x", payload: "remapped", isRetained: true))
        #expect(admin.takesMessages().map(\.topic) == ["secret/x"])
        alice.receivesNothing()
        alice.sends(.subscribe(id: 2, filters: "+/x"))
        alice.receives(.subAck(id: 2, reasons: .success))
        // The name that a message has upstream is not a name here: `out/` is what alice would have to be allowed.
        alice.sends(.publish(topic: "out/y", qos: .atLeastOnce, id: 1))
        alice.receives(.pubAck(id: 1, reason: .notAuthorized))
        #expect(upstream.takesMessages().isEmpty)
        // What an administrator lets out is not held back by rules for clients.
        admin.sends(.publish(topic: "out/y", qos: .atLeastOnce, id: 1))
        #expect(upstream.takesMessages().map(\.topic) == ["open/y"])
    }

    // MARK: The log

    @Test("a denial says who, what, where and by which rule, and a flood of them is a few lines")
    func log() throws {
        let denying = AccessRule(
            .deny,
            .both,
            topics: [.pattern("secret/#")],
            origin: AccessRule.Origin(file: "acl.toml", line: 7)
        )
        let broker = ShardHarness(rules: [denying])
        let alice = broker.lets("alice", "phone")
        for _ in 0..<100 { alice.sends(.publish(topic: "secret/x")) }
        let notice = try #require(broker.denials.first)
        #expect(broker.denials.count == 1)
        #expect(notice.text == "publish denied")
        #expect(notice.clientID == "phone")
        #expect(notice.detail == "user \"alice\", topic \"secret/x\", by acl.toml:7")
        broker.advance(.seconds(1))
        alice.sends(.subscribe(id: 1, filters: "else"))
        #expect(broker.denials.last?.text == "subscribe denied")
        #expect(
            broker.denials.last?.detail
                == "user \"alice\", topic \"else\", by no rule matches; 99 more denials were not logged")
        broker.notices.removeAll()
        for number in 0..<50 { broker.lets(nil, MQTTString("c\(number)")).sends(.publish(topic: "secret/x")) }
        #expect(broker.denials.count <= 20)
        #expect(broker.shard.counters.publishesDenied == 150)
    }
}
