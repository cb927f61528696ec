import MQTTCodec

/// Limits of a door that version 5 clients are told of and others run into. A connection keeps those that it was told,
/// whatever the configuration says later.
extension Shard {
    /// Why a CONNECT asks for more than its door gives, or nil.
    func excess(of connect: Connect, over limits: ClientLimits) -> ReasonCode? {
        // [5:MQTT-3.1.2-2] [311:MQTT-3.1.2-2]
        if !limits.versions.contains(connect.version) { return .unsupportedProtocolVersion }
        if connect.clientID.count > limits.clientIDBytesMax { return .clientIdentifierNotValid }
        guard let will = connect.will else { return nil }
        // [5:MQTT-3.2.2-12]
        if will.qos > limits.maximumQoS { return .qosNotSupported }
        // [5:MQTT-3.2.2-13]
        if will.isRetained, !limits.isRetainAvailable { return .retainNotSupported }
        return nil
    }

    /// QoS 1 and 2 messages that a client of version 5 may have unanswered. The link of another node is no client: it may
    /// have as many as are known again after a crash.
    func receiveMaximum(of connection: Connection) -> Int {
        let clients = Int(connection.door.limits.receiveMaximum)
        return connection.carriesMarks ? max(clients, settings.linkInflightMax) : clients
    }

    /// QoS 2 messages that a client may have unreleased; one of version 5 those at least that it was promised. A link may have
    /// left some for ever, so that it is held to what it has unanswered only.
    func awaitingReleaseMax(of connection: Connection) -> Int {
        if connection.carriesMarks { return .max }
        guard connection.version == .v5 else { return settings.awaitingReleaseMax }
        return max(settings.awaitingReleaseMax, receiveMaximum(of: connection))
    }

    /// Says in CONNACK what this door gives. What is not limited is not mentioned.
    func announce(_ limits: ClientLimits, in values: inout Properties.Values) {
        values.maximumPacketSize = UInt32(clamping: limits.packetBytesMax)
        // [5:MQTT-3.2.2-9]
        values.maximumQoS = limits.maximumQoS < .exactlyOnce ? limits.maximumQoS : nil
        values.retainAvailable = limits.isRetainAvailable ? nil : false
        values.wildcardSubscriptionAvailable = limits.allowsWildcards ? nil : false
    }
}
