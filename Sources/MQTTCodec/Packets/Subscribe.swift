/// SUBSCRIBE (§3.8).
package struct Subscribe: Sendable, Equatable {
    package var packetID: UInt16
    /// At least one [5:MQTT-3.8.3-2].
    package var subscriptions: [Entry]
    package var properties: Properties

    package init(packetID: UInt16, subscriptions: [Entry], properties: Properties = Properties()) {
        self.packetID = packetID
        self.subscriptions = subscriptions
        self.properties = properties
    }

    package struct Entry: Sendable, Equatable {
        package var filter: TopicFilter
        package var options: SubscriptionOptions

        package init(filter: TopicFilter, options: SubscriptionOptions = SubscriptionOptions()) {
            self.filter = filter
            self.options = options
        }
    }
}

/// The options byte of one filter of a SUBSCRIBE (§3.8.3.1). Version 3 has the QoS only.
package struct SubscriptionOptions: Sendable, Hashable {
    package var maximumQoS: QoS
    /// A message never goes back to the connection that published it [5:MQTT-3.8.3-3].
    package var noLocal: Bool
    package var retainAsPublished: Bool
    package var retainHandling: RetainHandling

    package init(
        maximumQoS: QoS = .atMostOnce,
        noLocal: Bool = false,
        retainAsPublished: Bool = false,
        retainHandling: RetainHandling = .sendOnSubscribe
    ) {
        self.maximumQoS = maximumQoS
        self.noLocal = noLocal
        self.retainAsPublished = retainAsPublished
        self.retainHandling = retainHandling
    }

    package enum RetainHandling: UInt8, Sendable, Hashable, CaseIterable {
        case sendOnSubscribe = 0
        case sendOnNewSubscription = 1
        case doNotSend = 2
    }

    /// The byte as it stands in SUBSCRIBE of version 5.
    package var rawValue: UInt8 {
        maximumQoS.rawValue | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | retainHandling.rawValue << 4
    }

    /// Nil when a reserved bit is set, or QoS or retain handling is 3 [5:MQTT-3.8.3-5].
    package init?(rawValue: UInt8) {
        guard rawValue & 0xC0 == 0, let qos = QoS(rawValue: rawValue & 3),
            let handling = RetainHandling(rawValue: rawValue >> 4 & 3)
        else { return nil }
        self.init(
            maximumQoS: qos,
            noLocal: rawValue & 4 != 0,
            retainAsPublished: rawValue & 8 != 0,
            retainHandling: handling
        )
    }
}
