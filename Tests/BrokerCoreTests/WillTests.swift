import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Wills")
struct WillTests {
    private static func will(
        _ qos: QoS = .atMostOnce,
        isRetained: Bool = false,
        delay: UInt32? = nil
    ) -> Connect.Will {
        var will = Connect.Will(topic: "will", payload: ByteBuffer(string: "gone"), qos: qos, isRetained: isRetained)
        if let delay { will.properties.willDelayInterval = delay }
        return will
    }

    private static func listener(_ broker: ShardHarness) -> ScriptedPeer {
        let listener = broker.connects("listener")
        listener.sends(.subscribe(id: 1, filters: "will", qos: .exactlyOnce))
        listener.receives(.subAck(id: 1, reasons: .grantedQoS2))
        return listener
    }

    private static let gone = Packet.publish(topic: "will", payload: "gone")

    @Test("a cut connection publishes the will, once [5:MQTT-3.1.2-8] [5:MQTT-3.1.2-10]", arguments: bothVersions)
    func cut(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        broker.connects("a", version, will: Self.will()).vanishes()
        listener.receives(Self.gone)
        broker.connects("a", version).vanishes()
        listener.receivesNothing()
    }

    @Test("with QoS 2 a will goes out when it is gone from the disk: a crash brings it once", arguments: bothVersions)
    func waits(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        let client = broker.connects("a", version, will: Self.will(.exactlyOnce))
        broker.commitsAtOnce = false
        client.vanishes()
        listener.receivesNothing()
        broker.settle()
        #expect(listener.takesMessages().map(\.text) == ["gone"])
    }

    @Test("DISCONNECT deletes the will, 0x04 asks for it [5:MQTT-3.14.4-3]")
    func disconnect() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        broker.connects("a", .v3_1_1, will: Self.will()).sends(.disconnect(reason: .success))
        broker.connects("a", will: Self.will()).sends(.disconnect(reason: .success))
        listener.receivesNothing()
        broker.connects("a", will: Self.will()).sends(.disconnect(reason: .disconnectWithWill))
        listener.receives(Self.gone)
    }

    @Test("silence and broken rules publish the will")
    func failures() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        _ = broker.connects("a", keepAlive: 10, will: Self.will())
        broker.advance(.seconds(15))
        listener.receives(Self.gone)
        broker.connects("a", will: Self.will()).sends(.pingResp)
        listener.receives(Self.gone)
    }

    @Test("a will is delayed, and a return in time cancels it [5:MQTT-3.1.3-9]")
    func delay() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        func connect() -> ScriptedPeer {
            broker.connects("a", cleanStart: false, expiry: 100, will: Self.will(delay: 10))
        }
        connect().vanishes()
        broker.advance(.seconds(9))
        let again = connect()
        broker.advance(.seconds(60))
        listener.receivesNothing()
        again.vanishes()
        broker.advance(.seconds(10))
        listener.receives(Self.gone)
        broker.advance(.seconds(200))
        listener.receivesNothing()
        #expect(broker.spool.receivers == 0)
    }

    @Test("a delayed will goes out when its session ends first [5:MQTT-3.1.2-8]")
    func sessionEnd() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        broker.connects("a", cleanStart: false, expiry: 5, will: Self.will(delay: 60)).vanishes()
        broker.advance(.seconds(5))
        listener.receives(Self.gone)
        broker.connects("a", cleanStart: false, expiry: 100, will: Self.will(delay: 60)).vanishes()
        _ = broker.connects("a", cleanStart: true)
        listener.receives(Self.gone)
    }

    @Test("a takeover publishes the will of the old connection, unless it is delayed")
    func takeover() {
        let broker = ShardHarness()
        let listener = Self.listener(broker)
        _ = broker.connects("a", cleanStart: false, expiry: 100, will: Self.will())
        _ = broker.connects("a", cleanStart: false, expiry: 100, will: Self.will(delay: 5))
        listener.receives(Self.gone)
        _ = broker.connects("a", cleanStart: false, expiry: 100)
        broker.advance(.seconds(60))
        listener.receivesNothing()
    }

    @Test("a will of QoS 1 reaches a durable session that is away")
    func durable() {
        let broker = ShardHarness()
        let listener = broker.connectsDurably("b")
        listener.sends(.subscribe(id: 1, filters: "will", qos: .atLeastOnce))
        listener.vanishes()
        broker.connects("a", will: Self.will(.atLeastOnce)).vanishes()
        let back = broker.connectsDurably("b")
        #expect(back.takesMessages().map(\.text) == ["gone"])
    }

    @Test("a retained will over the limit of retained messages is delivered without being kept")
    func retainedLimit() {
        var settings = BrokerSettings()
        settings.retainedMessagesMax = 0
        let broker = ShardHarness(settings)
        let listener = Self.listener(broker)
        broker.connects("a", will: Self.will(isRetained: true)).vanishes()
        listener.receives(Self.gone)
        #expect(broker.spool.retained == 0)
    }

    // MARK: - Over the end of the process

    /// A durable session that hears of wills, and is away.
    private static func durableListener(_ broker: ShardHarness) {
        let listener = broker.connectsDurably("b")
        listener.sends(.subscribe(id: 1, filters: "will", qos: .atLeastOnce))
        listener.vanishes()
    }

    private static func heard(_ broker: ShardHarness) -> [String] {
        broker.connectsDurably("b").takesMessages().map(\.text)
    }

    @Test("when the node dies with its client, the will of QoS 1 goes out after the restart, once")
    func crash() {
        let broker = ShardHarness()
        Self.durableListener(broker)
        _ = broker.connects("a", will: Self.will(.atLeastOnce))
        #expect(broker.spool.wills == 1)
        broker.restarts()
        broker.advance(.seconds(1))
        #expect(Self.heard(broker) == ["gone"])
        #expect(broker.spool.wills == 0)
        broker.restarts()
        broker.advance(.seconds(60))
        // Not acknowledged, so it is sent again, but there is one.
        #expect(Self.heard(broker) == ["gone"])
    }

    @Test("the will of a session that outlives its connection is stored at QoS 0 too, and keeps its delay")
    func crashWithDelay() {
        let broker = ShardHarness()
        let connect = { broker.connects("a", cleanStart: false, expiry: 1_000, will: Self.will(delay: 100)) }
        _ = connect()
        broker.restarts()
        let listener = Self.listener(broker)
        broker.advance(.seconds(99))
        listener.receivesNothing()
        broker.advance(.seconds(1))
        listener.receives(Self.gone)
        #expect(broker.spool.wills == 0)
        _ = connect()
        broker.restarts()
        let again = Self.listener(broker)
        _ = broker.connects("a", cleanStart: false, expiry: 1_000)
        broker.advance(.seconds(500))
        again.receivesNothing()
        #expect(broker.spool.wills == 0)
    }

    @Test("a client that returns before its orphaned will is due cancels it")
    func crashAndReturn() {
        let broker = ShardHarness()
        Self.durableListener(broker)
        _ = broker.connects("a", will: Self.will(.atLeastOnce, delay: 3_000))
        broker.restarts()
        broker.advance(.seconds(29))
        _ = broker.connects("a")
        broker.advance(.seconds(60))
        #expect(Self.heard(broker).isEmpty)
        #expect(broker.spool.wills == 0)
    }

    @Test("an orphaned will waits 30 s at most, and its publishing and its going are one commit")
    func orphan() {
        let broker = ShardHarness()
        Self.durableListener(broker)
        _ = broker.connects("a", will: Self.will(.exactlyOnce, delay: 3_000))
        broker.restarts()
        broker.commitsAtOnce = false
        broker.advance(.seconds(30))
        broker.restarts()
        #expect(broker.spool.wills == 1)
        broker.commitsAtOnce = true
        broker.advance(.seconds(30))
        #expect(broker.spool.wills == 0)
        #expect(Self.heard(broker) == ["gone"])
    }

    @Test("DISCONNECT, a new will and none take the stored one away")
    func replaced() {
        let broker = ShardHarness()
        broker.connects("a", will: Self.will(.atLeastOnce)).sends(.disconnect(reason: .success))
        #expect(broker.spool.wills == 0)
        _ = broker.connects("a", cleanStart: false, expiry: 100, will: Self.will())
        _ = broker.connects("a", cleanStart: false, expiry: 100)
        #expect(broker.spool.wills == 0)
    }
}
