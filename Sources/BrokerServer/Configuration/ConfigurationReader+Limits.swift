/// `[limits]`, and `[listener.limits]`, which says the same of one door.
extension ConfigurationReader {
    /// Takes what the table says; what it does not say stays.
    func readLimits(_ table: SettingsTable, into limits: inout LimitsConfiguration) {
        func set<Value>(_ setting: WritableKeyPath<LimitsConfiguration, Value>, _ value: Value?) {
            if let value { limits[keyPath: setting] = value }
        }
        set(\.connectionsMax, table.integer("max_connections", in: 1...1_000_000))
        // The largest packet of MQTT: four bytes of remaining length and one of type before 268,435,455 others (§2.1.4).
        set(\.packetBytesMax, table.size("max_packet", in: 1_024...268_435_460))
        set(\.receiveMaximum, table.integer("receive_maximum", in: 1...65_535))
        set(\.inflightMax, table.integer("inflight", in: 1...65_535))
        set(\.connectBytesMax, table.size("max_connect", in: 64...268_435_460))
        set(\.awaitingReleaseMax, table.integer("max_awaiting_rel", in: 1...65_535))
        set(\.connectTimeout, table.duration("connect_timeout", in: .milliseconds(100)...(.seconds(3_600))))
        set(\.clientIDBytesMax, table.integer("max_clientid", in: 23...65_535))
        set(\.topicBytesMax, table.integer("max_topic", in: 1...65_535))
        set(\.topicLevelsMax, table.integer("max_topic_levels", in: 1...65_535))
        set(\.filtersPerPacketMax, table.integer("max_filters", in: 1...100_000))
        set(\.subscriptionsMax, table.integer("max_subscriptions", in: 1...1_000_000))
        set(\.qosMax, table.integer("max_qos", in: 0...2))
        set(\.retainsMessages, table.boolean("retain_available"))
        set(\.allowsWildcards, table.boolean("wildcards"))
        if let perAddress = table.integer("per_address", in: 1...1_000_000) {
            limits.connectionsPerAddressMax = perAddress
        }
        set(\.writeBufferBytesMax, table.size("write_buffer", in: 4_096...(1 << 30)))
        set(\.sessionExpiry, table.duration("session_expiry", in: Self.sessionExpiryRange, wholeSeconds: true))
    }

    /// `[listener.limits]`: nil when the listener has none of its own, or only broken ones.
    func listenerLimits(of listener: SettingsTable) -> LimitsConfiguration? {
        guard let table = listener.table("limits", known: .listenerLimits) else { return nil }
        let node = configuration.limits
        var limits = node
        readLimits(table, into: &limits)
        if !table.has("max_connect") { limits.connectBytesMax = min(limits.connectBytesMax, limits.packetBytesMax) }
        let perAddressMax = node.connectionsPerAddressMax ?? .max
        let looser: [(key: String, isLooser: Bool)] = [
            ("max_connections", limits.connectionsMax > node.connectionsMax),
            ("max_packet", limits.packetBytesMax > node.packetBytesMax),
            ("receive_maximum", limits.receiveMaximum > node.receiveMaximum),
            ("max_connect", limits.connectBytesMax > min(node.connectBytesMax, limits.packetBytesMax)),
            ("connect_timeout", limits.connectTimeout > node.connectTimeout),
            ("max_clientid", limits.clientIDBytesMax > node.clientIDBytesMax),
            ("max_topic", limits.topicBytesMax > node.topicBytesMax),
            ("max_topic_levels", limits.topicLevelsMax > node.topicLevelsMax),
            ("max_filters", limits.filtersPerPacketMax > node.filtersPerPacketMax),
            ("max_subscriptions", limits.subscriptionsMax > node.subscriptionsMax),
            ("max_qos", limits.qosMax > node.qosMax),
            ("retain_available", limits.retainsMessages && !node.retainsMessages),
            ("wildcards", limits.allowsWildcards && !node.allowsWildcards),
            ("per_address", (limits.connectionsPerAddressMax ?? .max) > perAddressMax),
            ("write_buffer", limits.writeBufferBytesMax > node.writeBufferBytesMax),
        ]
        for (key, isLooser) in looser where isLooser && table.has(key) {
            table.report(key, "a listener may be tighter than [limits], not looser")
        }
        return limits
    }
}
