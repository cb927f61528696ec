/// `[listener.limits]`: limits of one door that are tighter than those of the node. Nil stands for what the node says.
package struct ListenerLimits: Sendable, Equatable {
    package var connectionsMax: Int?
    package var packetBytesMax: Int?
    package var receiveMaximum: Int?
    package var connectBytesMax: Int?
    package var connectTimeout: Duration?
    package var clientIDBytesMax: Int?
    package var topicBytesMax: Int?
    package var topicLevelsMax: Int?
    package var filtersPerPacketMax: Int?
    package var subscriptionsMax: Int?
    package var qosMax: Int?
    package var retainsMessages: Bool?
    package var allowsWildcards: Bool?
    package var connectionsPerAddressMax: Int?
    package var writeBufferBytesMax: Int?

    package init() {}
}

extension ListenerConfiguration {
    /// What counts for whoever comes in here.
    package func limits(within node: LimitsConfiguration) -> LimitsConfiguration {
        var all = node
        func take<Value: Comparable>(_ said: Value?, _ limit: WritableKeyPath<LimitsConfiguration, Value>) {
            // A reload may have made the node tighter than a listener that was written for another one.
            if let said { all[keyPath: limit] = min(said, all[keyPath: limit]) }
        }
        take(limits.connectionsMax, \.connectionsMax)
        take(limits.packetBytesMax, \.packetBytesMax)
        take(limits.receiveMaximum, \.receiveMaximum)
        take(limits.connectBytesMax, \.connectBytesMax)
        take(limits.connectTimeout, \.connectTimeout)
        take(limits.clientIDBytesMax, \.clientIDBytesMax)
        take(limits.topicBytesMax, \.topicBytesMax)
        take(limits.topicLevelsMax, \.topicLevelsMax)
        take(limits.filtersPerPacketMax, \.filtersPerPacketMax)
        take(limits.subscriptionsMax, \.subscriptionsMax)
        take(limits.qosMax, \.qosMax)
        take(limits.writeBufferBytesMax, \.writeBufferBytesMax)
        all.retainsMessages = node.retainsMessages && limits.retainsMessages ?? true
        all.allowsWildcards = node.allowsWildcards && limits.allowsWildcards ?? true
        all.connectBytesMax = min(all.connectBytesMax, all.packetBytesMax)
        return all
    }
}
