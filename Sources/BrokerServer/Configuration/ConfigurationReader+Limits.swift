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
        if let longest = table.duration("max_keep_alive", in: .seconds(1)...(.seconds(65_535)), wholeSeconds: true) {
            limits.keepAliveMax = longest
        }
        set(\.checksPayloadFormat, table.boolean("check_payload_format"))
        set(\.allowsControlCharacters, table.boolean("control_characters"))
        set(\.writeBufferBytesMax, table.size("write_buffer", in: 4_096...(1 << 30)))
        set(\.sessionExpiry, table.duration("session_expiry", in: Self.sessionExpiryRange, wholeSeconds: true))
    }

    /// `[listener.limits]`: what it says, in the ranges of `[limits]`.
    func listenerLimits(of listener: SettingsTable) -> ListenerLimits {
        var own = ListenerLimits()
        guard let table = listener.table("limits", known: .listenerLimits) else { return own }
        let node = configuration.limits
        var read = node
        readLimits(table, into: &read)

        func take<Value: Comparable>(
            _ key: String,
            _ limit: KeyPath<LimitsConfiguration, Value>,
            _ said: WritableKeyPath<ListenerLimits, Value?>
        ) {
            guard table.has(key) else { return }
            if read[keyPath: limit] > node[keyPath: limit] { return reportLooser(key, in: table) }
            own[keyPath: said] = read[keyPath: limit]
        }
        take("max_connections", \.connectionsMax, \.connectionsMax)
        take("max_packet", \.packetBytesMax, \.packetBytesMax)
        take("receive_maximum", \.receiveMaximum, \.receiveMaximum)
        take("max_connect", \.connectBytesMax, \.connectBytesMax)
        take("connect_timeout", \.connectTimeout, \.connectTimeout)
        take("max_clientid", \.clientIDBytesMax, \.clientIDBytesMax)
        take("max_topic", \.topicBytesMax, \.topicBytesMax)
        take("max_topic_levels", \.topicLevelsMax, \.topicLevelsMax)
        take("max_filters", \.filtersPerPacketMax, \.filtersPerPacketMax)
        take("max_subscriptions", \.subscriptionsMax, \.subscriptionsMax)
        take("max_qos", \.qosMax, \.qosMax)
        take("write_buffer", \.writeBufferBytesMax, \.writeBufferBytesMax)
        if table.has("retain_available") { own.retainsMessages = read.retainsMessages }
        if table.has("wildcards") { own.allowsWildcards = read.allowsWildcards }
        if own.retainsMessages == true, !node.retainsMessages { reportLooser("retain_available", in: table) }
        if own.allowsWildcards == true, !node.allowsWildcards { reportLooser("wildcards", in: table) }
        if table.has("per_address") {
            own.connectionsPerAddressMax = read.connectionsPerAddressMax
            if let nodes = node.connectionsPerAddressMax, let owns = read.connectionsPerAddressMax, owns > nodes {
                reportLooser("per_address", in: table)
            }
        }
        return own
    }

    private func reportLooser(_ key: String, in table: SettingsTable) {
        table.report(key, "a listener may be tighter than [limits], not looser")
    }
}
