import MQTTCodec

/// Limits of a door that version 5 clients are told of and others run into.
extension Shard {
    /// Why a CONNECT asks for more than its door gives, or nil.
    func excess(of connect: Connect, over limits: ClientLimits) -> ReasonCode? {
        // [5:MQTT-3.1.2-2] [311:MQTT-3.1.2-2]
        if !limits.versions.contains(connect.version) { return .unsupportedProtocolVersion }
        if connect.clientID.count > limits.clientIDBytesMax { return .clientIdentifierNotValid }
        guard let will = connect.will else { return nil }
        // [5:MQTT-3.2.2-12]
        if will.qos > limits.qosMax { return .qosNotSupported }
        // [5:MQTT-3.2.2-13]
        if will.isRetained, !limits.retainsMessages { return .retainNotSupported }
        return nil
    }

    /// Why a PUBLISH asks for more than its client was told, or nil. Version 3 was told nothing; it is closed as well,
    /// since an acknowledgement would promise what is not kept.
    func excess(of publish: Publish, over limits: ClientLimits) -> ReasonCode? {
        // [5:§3.3.1.2]
        if publish.qos > limits.qosMax { return .qosNotSupported }
        // [5:§3.3.1.3]
        if publish.isRetained, !limits.retainsMessages { return .retainNotSupported }
        return nil
    }

    /// True when a SUBSCRIBE has a wildcard that its client was told not to use. Version 3 was told nothing: it is
    /// refused filter by filter [311:MQTT-3.8.3-2].
    func breaksWildcardRule(_ subscribe: Subscribe, on connection: Connection) -> Bool {
        !connection.door.limits.allowsWildcards && connection.version == .v5
            && subscribe.subscriptions.contains { $0.filter.hasWildcard }
    }

    /// Says in CONNACK what this door does not give.
    func announce(_ limits: ClientLimits, in values: inout Properties.Values) {
        values.receiveMaximum = limits.receiveMaximum
        values.maximumPacketSize = UInt32(clamping: limits.packetBytesMax)
        // [5:MQTT-3.2.2-9]
        if limits.qosMax < .exactlyOnce { values.maximumQoS = limits.qosMax }
        // [5:§3.2.2.3.5]
        if !limits.retainsMessages { values.retainAvailable = false }
        // [5:§3.2.2.3.11]
        if !limits.allowsWildcards { values.wildcardSubscriptionAvailable = false }
    }
}
