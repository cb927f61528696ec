import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// §3.1.2.5 on wills, §3.12, §3.14, §4.1 and §4.4 statement by statement: how connections and sessions end, and what
/// stays.
@Suite("Sessions and wills, rule by rule")
struct SessionRulesTests {
    private static func listener(_ broker: ShardHarness) -> ScriptedPeer {
        let listener = broker.connects("listener")
        listener.sends(
            .subscribe(id: 1, filters: "w", options: .init(maximumQoS: .exactlyOnce, retainAsPublished: true)))
        _ = listener.takes()
        return listener
    }

    private static func will(_ qos: QoS = .atMostOnce, isRetained: Bool = false) -> Connect.Will {
        Connect.Will(topic: "w", payload: ByteBuffer(string: "gone"), qos: qos, isRetained: isRetained)
    }

    @Test("every PINGREQ is answered [5:MQTT-3.12.4-1] [311:MQTT-3.12.4-1]", arguments: ProtocolVersion.allCases)
    func ping(_ version: ProtocolVersion) {
        let client = ShardHarness().connects("c", version)
        client.sends(.pingReq, .pingReq, .pingReq)
        client.receives(.pingResp, .pingResp, .pingResp)
    }

    // MARK: - Wills

    @Test(
        """
        a will is published once when its connection ends without DISCONNECT, retained if it says so \
        [5:MQTT-3.1.2-7] [5:MQTT-3.1.2-8] [5:MQTT-3.1.2-14] [5:MQTT-3.1.2-15] [311:MQTT-3.1.2-8] [311:MQTT-3.1.2-10] \
        [311:MQTT-3.1.2-16] [311:MQTT-3.1.2-17]
        """, arguments: bothVersions, QoS.allCases)
    func will(_ version: ProtocolVersion, _ qos: QoS) {
        for isRetained in [false, true] {
            let broker = ShardHarness()
            let listener = Self.listener(broker)
            broker.connects("c", version, will: Self.will(qos, isRetained: isRetained)).vanishes()
            let messages = listener.takesMessages()
            #expect(messages.map(\.text) == ["gone"])
            #expect(messages.map(\.qos) == [qos])
            #expect(messages.map(\.isRetained) == [isRetained])
            #expect(broker.shard.retained.count == (isRetained ? 1 : 0))
            broker.connects("c", version).vanishes()
            listener.receivesNothing()
        }
    }

    @Test(
        "without a will nothing is published, however the connection ends [311:MQTT-3.1.2-12]", arguments: bothVersions)
    func noWill(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let listener = broker.connects("listener")
        listener.sends(.subscribe(id: 1, filters: "#"))
        _ = listener.takes()
        broker.connects("c", version).vanishes()
        broker.connects("c", version).sends(.pingResp)
        broker.connects("c", version).sends(.disconnect(reason: .success))
        broker.advance(.seconds(100))
        listener.receivesNothing()
    }

    @Test(
        """
        DISCONNECT deletes the will; every reason of version 5 but 0x00 leaves it, and the client may say so by 0x04 \
        [5:MQTT-3.14.4-3] [311:MQTT-3.14.4-3] [5:MQTT-3.1.2-10] [311:MQTT-3.1.2-10] [5:§3.14.2.1]
        """)
    func disconnect() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        for version in ProtocolVersion.allCases {
            broker.connects("c", version, will: Self.will()).sends(.disconnect(reason: .success))
            listener.receivesNothing()
        }
        let allowed = ReasonCode.allCases.filter { $0.isAllowed(in: .disconnect) && $0.isSentByClient(in: .disconnect) }
        for reason in allowed where reason != .success {
            let client = broker.connects("c", will: Self.will())
            client.sends(.disconnect(reason: reason))
            #expect(client.isClosed)
            #expect(listener.takesMessages().map(\.text) == ["gone"], "\(reason)")
        }
    }

    @Test(
        """
        a will goes out with its properties, its expiry counted from then on and without its delay \
        [5:§3.1.3.2.3] [5:§3.1.3.2.4] [5:§3.1.3.2.5] [5:§3.1.3.2.6] [5:§3.1.3.2.7] [5:MQTT-3.1.3-10] [5:§3.1.3.2.2]
        """)
    func willProperties() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        var will = Self.will()
        will.properties.values.payloadFormatIndicator = 1
        will.properties.values.messageExpiryInterval = 30
        will.properties.values.contentType = "text/plain"
        will.properties.values.responseTopic = "answers"
        will.properties.values.correlationData = ByteBuffer(bytes: [1, 0, 255])
        will.properties.values.userProperties = [.init("b", "1"), .init("a", "2"), .init("b", "0")]
        var delayed = will
        delayed.properties.willDelayInterval = 20
        broker.connects("c", cleanStart: false, expiry: 100, will: delayed).vanishes()
        broker.advance(.milliseconds(19_999))
        listener.receivesNothing()
        broker.advance(.milliseconds(1))
        #expect(listener.takesMessages().map(\.properties) == [will.properties])
    }

    @Test("a will that waits goes out when its session ends first [5:§3.1.3.2.2] [5:MQTT-3.1.2-8]")
    func willOfShortSession() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        var will = Self.will()
        will.properties.willDelayInterval = 1_000
        broker.connects("c", cleanStart: false, expiry: 10, will: will).vanishes()
        broker.advance(.seconds(10))
        #expect(listener.takesMessages().map(\.text) == ["gone"])
        // A session that ends with its connection leaves no time at all.
        broker.connects("c", will: will).vanishes()
        #expect(listener.takesMessages().map(\.text) == ["gone"])
        // DISCONNECT 0x04 may end the session, and with it the delay.
        broker.connects("c", cleanStart: false, expiry: 10, will: will).sends(
            .disconnect(reason: .disconnectWithWill, expiry: 0))
        #expect(listener.takesMessages().map(\.text) == ["gone"])
    }

    // MARK: - DISCONNECT

    @Test(
        """
        behind a DISCONNECT nothing is processed and nothing sent, whoever said it \
        [5:MQTT-3.14.4-1] [5:MQTT-3.14.4-2] [5:MQTT-4.13.2-1]
        """, arguments: bothVersions)
    func behindDisconnect(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        let client = broker.connects("c", version)
        client.startsBehindConnect()
        client.sends(
            bytes: WireNotation.bytes("E000", version: version)
                + WireNotation.packet(first: 0x30, body: "<w> ~ 'x'", version: version) + [0xC0, 0])
        #expect(client.isClosed)
        client.receivesNothing()
        listener.receivesNothing()
        // And of ours: what would still be delivered is not.
        let other = broker.connects("d", version)
        other.sends(.subscribe(id: 1, filters: "w"))
        _ = other.takes()
        other.sends(.connAck(ConnAck(reason: .success)), .pingReq)
        if version == .v5 { other.receives(.disconnect(reason: .protocolError)) } else { other.receivesNothing() }
        listener.sends(.publish(topic: "w", payload: "x"))
        other.receivesNothing()
    }

    @Test("DISCONNECT may give the session another expiry, up to the server's [5:§3.14.2.2.2]")
    func expiryOfDisconnect() {
        var settings = BrokerSettings()
        settings.sessionExpiryMax = 1_000
        let broker = ShardHarness(settings)
        for (expiry, end) in [(10, 10), (500, 500), (.max, 1_000)] as [(UInt32, Int64)] {
            let client = broker.connectsDurably("c")
            client.receivesConnAck()
            client.sends(.disconnect(reason: .success, expiry: expiry))
            #expect(client.isClosed)
            client.receivesNothing()
            broker.advance(.seconds(end - 1))
            #expect(broker.spool.receivers == 1)
            broker.advance(.seconds(1))
            #expect(broker.spool.receivers == 0)
        }
        // Without one that of CONNECT stays.
        let client = broker.connectsDurably("c")
        client.sends(.disconnect(reason: .success))
        broker.advance(.seconds(999))
        #expect(broker.spool.receivers == 1)
    }

    @Test("the server says why it ends a connection [5:§3.14.2.1]")
    func reasonsOfServer() {
        let broker = ShardHarness()
        let silent = broker.connects("a", keepAlive: 1)
        broker.advance(.seconds(2))
        silent.receives(.disconnect(reason: .keepAliveTimeout))
        let old = broker.connects("b")
        _ = broker.connects("b")
        old.receives(.disconnect(reason: .sessionTakenOver))
        let last = broker.connects("c")
        broker.perform { shard, now in shard.drain(now: now) }
        last.receives(.disconnect(reason: .serverShuttingDown))
    }

    // MARK: - Session state

    @Test(
        """
        session state is kept while its connection is there, and dropped when its expiry is over \
        [5:MQTT-4.1.0-1] [5:MQTT-4.1.0-2] [311:MQTT-4.1.0-1] [311:MQTT-4.1.0-2]
        """, arguments: bothVersions)
    func state(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connectsDurably("c", version)
        client.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        _ = client.takes()
        broker.advance(.seconds(30 * 86_400))
        broker.connects("p", version).sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        #expect(client.takesMessages().map(\.text) == ["x"])
        client.vanishes()
        let expiry: Int64 = version == .v5 ? 3_600 : 7 * 86_400
        broker.advance(.seconds(expiry - 1))
        #expect(broker.spool.receivers == 1)
        broker.advance(.seconds(1))
        #expect(broker.spool.receivers == 0)
        #expect(broker.spool.rows == 0)
        broker.connectsDurably("c", version).receivesConnAck(isSessionPresent: false)
    }

    @Test(
        """
        what was not acknowledged comes again after a return, first, in its order, with DUP and its own identifier, and \
        never on the same connection [5:MQTT-4.4.0-1] [311:MQTT-4.4.0-1] [5:MQTT-3.3.1-1] [311:MQTT-3.3.1-1] \
        [5:MQTT-3.1.2-5] [5:MQTT-4.3.2-3] [5:MQTT-4.3.3-3] [5:MQTT-4.3.3-5]
        """, arguments: bothVersions)
    func resent(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connectsDurably("c", version)
        client.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        _ = client.takes()
        let publisher = broker.connects("p", version)
        for id in 1...4 as ClosedRange<UInt16> {
            publisher.sends(
                .publish(topic: "t", payload: "\(id)", qos: id % 2 == 0 ? .exactlyOnce : .atLeastOnce, id: id))
        }
        let first = client.takesMessages()
        #expect(first.map(\.text) == ["1", "2", "3", "4"])
        client.sends(.pubRec(id: first[3].packetID))
        client.receives(.pubRel(id: first[3].packetID))
        broker.advance(.seconds(3_000))
        client.receivesNothing()
        client.vanishes()
        publisher.sends(.publish(topic: "t", payload: "5", qos: .atLeastOnce, id: 5))
        let back = broker.connectsDurably("c", version)
        let packets = back.takes().dropFirst()
        #expect(packets.contains(.pubRel(id: first[3].packetID)))
        let again = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(again.map(\.text) == ["1", "2", "3", "5"])
        #expect(again.map(\.isDuplicate) == [true, true, true, false])
        #expect(again.prefix(3).map(\.packetID) == first.prefix(3).map(\.packetID))
    }

    @Test("a version 3 session lives on both sides of a change of version, and loses nothing", arguments: bothVersions)
    func otherVersion(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let other: ProtocolVersion = version == .v5 ? .v3_1_1 : .v5
        let client = broker.connectsDurably("c", version)
        client.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        client.vanishes()
        broker.connects("p").sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1, expiry: 100))
        let back = broker.connectsDurably("c", other)
        #expect(back.takesMessages().map(\.text) == ["x"])
        #expect(back.failure == nil)
    }
}
