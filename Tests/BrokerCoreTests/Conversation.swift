import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// The versions that most rules hold for.
let bothVersions: [ProtocolVersion] = [.v3_1_1, .v5]

extension ScriptedPeer {
    /// Exactly these packets arrived since the last question. Reason Strings are looked at where they matter.
    func receives(_ expected: Packet..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(failure == nil, sourceLocation: sourceLocation)
        let actual = takes().map { $0.withoutReasonString ?? $0 }
        #expect(actual == expected, sourceLocation: sourceLocation)
    }

    func receivesNothing(sourceLocation: SourceLocation = #_sourceLocation) {
        let actual = takes()
        #expect(actual.isEmpty, sourceLocation: sourceLocation)
    }

    /// CONNACK and nothing else; its properties are looked at where they matter.
    @discardableResult
    func receivesConnAck(
        _ reason: ReasonCode = .success,
        isSessionPresent: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> ConnAck? {
        let actual = takes()
        #expect(actual.count == 1, sourceLocation: sourceLocation)
        guard case .connAck(let ack)? = actual.first else {
            Issue.record("no CONNACK but \(actual)", sourceLocation: sourceLocation)
            return nil
        }
        #expect(ack.reason == reason, sourceLocation: sourceLocation)
        #expect(ack.isSessionPresent == isSessionPresent, sourceLocation: sourceLocation)
        return ack
    }

    /// One PUBLISH and nothing else.
    func receivesMessage(
        _ topic: MQTTString,
        _ text: String,
        _ qos: QoS = .atMostOnce,
        isRetained: Bool = false,
        isDuplicate: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> UInt16 {
        let actual = takes()
        guard case .publish(let publish)? = actual.first, actual.count == 1 else {
            Issue.record("not one PUBLISH but \(actual)", sourceLocation: sourceLocation)
            return 0
        }
        #expect(publish.topic == topic, sourceLocation: sourceLocation)
        #expect(publish.text == text, sourceLocation: sourceLocation)
        #expect(publish.qos == qos, sourceLocation: sourceLocation)
        #expect(publish.isRetained == isRetained, sourceLocation: sourceLocation)
        #expect(publish.isDuplicate == isDuplicate, sourceLocation: sourceLocation)
        return publish.packetID
    }
}

extension ShardHarness {
    /// A client that has connected and read its CONNACK.
    func connects(
        _ clientID: MQTTString,
        _ version: ProtocolVersion = .v5,
        cleanStart: Bool = true,
        expiry: UInt32? = nil,
        keepAlive: UInt16 = 0,
        will: Connect.Will? = nil,
        receiveMaximum: UInt16? = nil,
        packetBytesMax: UInt32? = nil
    ) -> ScriptedPeer {
        let client = opens(version)
        client.sends(
            .connect(
                clientID: clientID,
                version: version,
                cleanStart: cleanStart,
                expiry: expiry,
                keepAlive: keepAlive,
                will: will,
                receiveMaximum: receiveMaximum,
                packetBytesMax: packetBytesMax
            )
        )
        settle()
        _ = client.takes().first
        return client
    }

    /// A client whose session outlives its connection, new or returning; what it was sent after CONNACK is kept out.
    func connectsDurably(
        _ clientID: MQTTString,
        _ version: ProtocolVersion = .v5,
        receiveMaximum: UInt16? = nil
    ) -> ScriptedPeer {
        let client = opens(version)
        client.sends(
            .connect(
                clientID: clientID,
                version: version,
                cleanStart: false,
                expiry: 3600,
                receiveMaximum: receiveMaximum
            )
        )
        return client
    }
}
