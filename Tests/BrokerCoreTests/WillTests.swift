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
}
