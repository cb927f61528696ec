import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("What a door gives")
struct ClientLimitsTests {
    private func harness(_ change: (inout BrokerSettings) -> Void) -> ShardHarness {
        var settings = BrokerSettings()
        change(&settings)
        return ShardHarness(settings)
    }

    private func properties(_ broker: ShardHarness, _ version: ProtocolVersion = .v5) -> Properties? {
        let client = broker.opens(version)
        client.sends(.connect(clientID: "asks", version: version))
        return client.receivesConnAck()?.properties
    }

    @Test("CONNACK says nothing of what is not limited, and all of what is [5:MQTT-3.2.2-9]")
    func announced() {
        let free = properties(harness { _ in })
        #expect(free?.maximumQoS == nil && free?.retainAvailable == nil && free?.wildcardSubscriptionAvailable == nil)
        let tight = properties(
            harness {
                $0.maximumQoS = .atLeastOnce
                $0.isRetainAvailable = false
                $0.allowsWildcards = false
                $0.receiveMaximum = 7
                $0.packetBytesMax = 5_000
            }
        )
        #expect(tight?.maximumQoS == .atLeastOnce)
        #expect(tight?.retainAvailable == false)
        #expect(tight?.wildcardSubscriptionAvailable == false)
        #expect(tight?.receiveMaximum == 7)
        #expect(tight?.maximumPacketSize == 5_000)
    }

    @Test("a PUBLISH above the maximum QoS ends with 0x9B [5:MQTT-3.2.2-9]", arguments: bothVersions)
    func publishQoS(_ version: ProtocolVersion) {
        let broker = harness { $0.maximumQoS = .atLeastOnce }
        let a = broker.connects("a", version)
        a.sends(.publish(topic: "t", qos: .atLeastOnce, id: 1))
        #expect(a.takes().count == 1)
        a.sends(.publish(topic: "t", qos: .exactlyOnce, id: 2))
        if version == .v5 { a.receives(.disconnect(reason: .qosNotSupported)) } else { a.receivesNothing() }
        #expect(a.isClosed)
    }

    @Test("subscriptions of any QoS are accepted and granted the maximum [5:MQTT-3.2.2-10]", arguments: bothVersions)
    func subscribeQoS(_ version: ProtocolVersion) {
        let broker = harness { $0.maximumQoS = .atLeastOnce }
        let a = broker.connects("a", version)
        a.sends(.subscribe(id: 1, filters: "x", "y", qos: .exactlyOnce))
        a.receives(.subAck(id: 1, reasons: .grantedQoS1, .grantedQoS1))
    }

    @Test("a will above the maximum QoS is refused with 0x9B [5:MQTT-3.2.2-12]", arguments: bothVersions)
    func willQoS(_ version: ProtocolVersion) {
        let broker = harness { $0.maximumQoS = .atMostOnce }
        let client = broker.opens(version)
        let will = Connect.Will(topic: "w", payload: ByteBuffer(), qos: .atLeastOnce, isRetained: false)
        client.sends(.connect(clientID: "a", version: version, will: will))
        if version == .v5 { client.receivesConnAck(.qosNotSupported) } else { client.receivesNothing() }
        #expect(client.isClosed)
    }

    @Test("without retained messages a retained will is refused with 0x9A [5:MQTT-3.2.2-13]", arguments: bothVersions)
    func willRetain(_ version: ProtocolVersion) {
        let broker = harness { $0.isRetainAvailable = false }
        let client = broker.opens(version)
        let will = Connect.Will(topic: "w", payload: ByteBuffer(), qos: .atMostOnce, isRetained: true)
        client.sends(.connect(clientID: "a", version: version, will: will))
        if version == .v5 { client.receivesConnAck(.retainNotSupported) } else { client.receivesNothing() }
        #expect(client.isClosed)
    }

    @Test("without retained messages a PUBLISH with RETAIN ends with 0x9A [5:§3.2.2.3.5]", arguments: bothVersions)
    func publishRetain(_ version: ProtocolVersion) {
        let broker = harness { $0.isRetainAvailable = false }
        let a = broker.connects("a", version)
        a.sends(.publish(topic: "t", isRetained: true))
        if version == .v5 { a.receives(.disconnect(reason: .retainNotSupported)) } else { a.receivesNothing() }
        #expect(a.isClosed)
        #expect(broker.shard.retained.count == 0)
        let request = GatewayPublish(topic: "t", payload: ByteBuffer(), qos: .atMostOnce, isRetained: true)
        #expect(broker.shard.refusal(of: request, now: broker.now) == .retainNotSupported)
    }

    @Test("a program that posts has the limits of its port, not of the node")
    func gateway() {
        let broker = harness { _ in }
        var request = GatewayPublish(topic: "a/b/c", payload: ByteBuffer(), qos: .exactlyOnce, isRetained: true)
        #expect(broker.shard.refusal(of: request, now: broker.now) == nil)
        func refusal(_ change: (inout ClientLimits) -> Void) -> ReasonCode? {
            var limits = ClientLimits()
            change(&limits)
            request.door = Door(limits)
            return broker.shard.refusal(of: request, now: broker.now)
        }
        #expect(refusal { $0.maximumQoS = .atLeastOnce } == .qosNotSupported)
        #expect(refusal { $0.isRetainAvailable = false } == .retainNotSupported)
        #expect(refusal { $0.topicLevelsMax = 2 } == .topicNameInvalid)
        #expect(refusal { $0.topicBytesMax = 4 } == .topicNameInvalid)
        #expect(refusal { _ in } == nil)
    }

    @Test("without wildcards a version 5 client that uses one is closed with 0xA2 [5:§3.2.2.3.11]")
    func wildcards() {
        let broker = harness { $0.allowsWildcards = false }
        let a = broker.connects("a")
        a.sends(.subscribe(id: 1, filters: "x"))
        a.receives(.subAck(id: 1, reasons: .success))
        a.sends(.subscribe(id: 2, filters: "x", "y/+"))
        a.receives(.disconnect(reason: .wildcardSubscriptionsNotSupported))
        #expect(a.isClosed)
    }

    @Test("without wildcards version 3 is refused filter by filter [311:MQTT-3.8.3-2]")
    func wildcardsOfVersion3() {
        let broker = harness { $0.allowsWildcards = false }
        let a = broker.connects("a", .v3_1_1)
        a.sends(.subscribe(id: 1, filters: "x", "y/#", "z", "+"))
        a.receives(.subAck(id: 1, reasons: .success, .unspecifiedError, .success, .unspecifiedError))
        #expect(!a.isClosed)
    }

    @Test("a version that is not spoken here is refused [5:MQTT-3.1.2-2] [311:MQTT-3.1.2-2]", arguments: bothVersions)
    func versions(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        var limits = broker.settings.clientLimits
        limits.versions = [version == .v5 ? .v3_1_1 : .v5]
        let door = Door(limits)
        let client = broker.opens(version, door: door)
        client.sends(.connect(clientID: "a", version: version))
        client.receivesConnAck(.unsupportedProtocolVersion)
        #expect(client.isClosed)
        let other = broker.opens(version == .v5 ? .v3_1_1 : .v5, door: door)
        other.sends(.connect(clientID: "b", version: version == .v5 ? .v3_1_1 : .v5))
        other.receivesConnAck()
    }

    @Test("a door may be tighter than the node, and its clients only are held to that")
    func door() {
        let broker = ShardHarness()
        var limits = broker.settings.clientLimits
        limits.clientIDBytesMax = 23
        limits.subscriptionsMax = 1
        limits.receiveMaximum = 1
        limits.maximumQoS = .atLeastOnce
        let door = Door(limits)
        let long = MQTTString(String(repeating: "c", count: 24))
        let refused = broker.opens(.v5, door: door)
        refused.sends(.connect(clientID: long))
        refused.receivesConnAck(.clientIdentifierNotValid)
        let client = broker.opens(.v5, door: door)
        client.sends(.connect(clientID: "a"))
        let ack = client.receivesConnAck()
        #expect(ack?.properties.receiveMaximum == 1 && ack?.properties.maximumQoS == .atLeastOnce)
        client.sends(.subscribe(id: 1, filters: "x", "y"))
        client.receives(.subAck(id: 1, reasons: .success, .quotaExceeded))
        let neighbour = broker.connects(long)
        neighbour.sends(.subscribe(id: 1, filters: "x", "y"))
        neighbour.receives(.subAck(id: 1, reasons: .success, .success))
    }

    @Test("a door's own time to CONNECT runs from the accept")
    func connectTime() {
        let broker = ShardHarness()
        var limits = broker.settings.clientLimits
        limits.connectTimeout = .seconds(2)
        let client = broker.opens(.v5, door: Door(limits))
        broker.advance(.milliseconds(1_900))
        #expect(!client.isClosed)
        broker.advance(.milliseconds(200))
        #expect(client.isClosed)
    }

    @Test("while we do not read, since a client is too fast, its keep-alive stands still [5:MQTT-3.1.2-22]")
    func throttled() {
        let broker = ShardHarness()
        let a = broker.connects("a", keepAlive: 10)
        a.connection.isThrottled = true
        broker.advance(.seconds(100))
        #expect(!a.isClosed)
        a.connection.isThrottled = false
        broker.advance(.seconds(14))
        #expect(!a.isClosed)
        broker.advance(.seconds(20))
        #expect(a.isClosed)
    }

    @Test("a topic or filter above the limit is not read, at the limit it is")
    func topicBytes() {
        let limits = CodecLimits(maximumTopicBytes: 10)
        func decode(_ packet: Packet) -> DecodeError? {
            var decoder = PacketDecoder(role: .server, version: .v5, limits: limits)
            var buffer = ByteBuffer()
            PacketEncoder.write(packet, version: .v5, into: &buffer)
            do throws(DecodeError) {
                _ = try decoder.next(from: &buffer)
                return nil
            } catch {
                return error
            }
        }
        #expect(decode(.publish(topic: "1234567890")) == nil)
        #expect(decode(.publish(topic: "12345678901"))?.reason == .topicNameInvalid)
        #expect(decode(.subscribe(id: 1, filters: "1234567890")) == nil)
        #expect(decode(.subscribe(id: 1, filters: "12345678901"))?.reason == .topicFilterInvalid)
        #expect(decode(.unsubscribe(id: 1, filters: "12345678901"))?.reason == .topicFilterInvalid)
    }
}
