package import MQTTCodec

/// What clients that come in by one door may ask for: the limits of the node, or tighter ones. Version 5 clients hear of
/// them in CONNACK, as far as it has words (§3.2.2.3).
package struct ClientLimits: Sendable, Equatable {
    /// Who speaks another version is refused with 0x84, or return code 1 before version 5.
    package var versions: Set<ProtocolVersion> = [.v3_1, .v3_1_1, .v5]
    /// The highest QoS of a PUBLISH, a will or a subscription.
    package var maximumQoS = QoS.exactlyOnce
    /// Whether messages may be retained.
    package var isRetainAvailable = true
    /// Whether filters may have `+` and `#`.
    package var allowsWildcards = true
    /// QoS 1 and 2 messages that a version 5 client may have unacknowledged.
    package var receiveMaximum: UInt16 = 256
    /// Enforced by the decoder.
    package var packetBytesMax = 1 << 20
    package var clientIDBytesMax = 256
    /// Of a PUBLISH; enforced by the decoder, and for the gateway by the core.
    package var topicBytesMax = 65_535
    package var topicLevelsMax = 128
    /// Subscriptions of one session; nil for as many as the node allows at the time.
    package var subscriptionsMax: Int?
    /// From accept to a complete CONNECT.
    package var connectTimeout: Duration = .seconds(10)

    package init() {}
}

/// A way in, as the core knows it. Connections share it, so that each is a pointer larger and no more.
package final class Door: Sendable {
    package let limits: ClientLimits

    package init(_ limits: ClientLimits) { self.limits = limits }
}

extension BrokerSettings {
    /// The limits of a door that has none of its own.
    package var clientLimits: ClientLimits {
        var limits = ClientLimits()
        limits.maximumQoS = maximumQoS
        limits.isRetainAvailable = isRetainAvailable
        limits.allowsWildcards = allowsWildcards
        limits.receiveMaximum = receiveMaximum
        limits.packetBytesMax = packetBytesMax
        limits.clientIDBytesMax = clientIDBytesMax
        limits.topicBytesMax = topicBytesMax
        limits.topicLevelsMax = topicLevelsMax
        limits.connectTimeout = connectTimeout
        return limits
    }
}
