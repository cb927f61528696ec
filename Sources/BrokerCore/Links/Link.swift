import MQTTCodec

/// One configured connection to an upstream broker: a durable receiver for what goes out, a subscriber at the upstream
/// for what comes in.
///
///     idle -> dialling -> handshaking -> catching up -> live
///               ^  |           |             |           |
///               |  +-----------+-------------+-----------+   refused, lost, silent
///               |                            v
///               +--------------------- backing off
package final class Link {
    package enum State: String, Sendable {
        case idle
        case dialing = "connecting"
        case handshaking = "handshaking"
        case catchingUp = "catching up"
        case live
        case backingOff = "backing off"
        case stopped
    }

    package internal(set) var settings: LinkSettings
    package let receiver: ReceiverID
    package internal(set) var session: Session?
    package internal(set) var lastError: String?
    var connection: Connection?
    var phase = State.idle
    var backoff: Backoff
    var attempt = 0
    /// Where it goes next, or is.
    package internal(set) var route: LinkRoute
    /// Back to a better address.
    var returning = LinkReturn()
    /// Who knows our session.
    var sessions = LinkSessions()
    /// What the upstream may not want.
    var suspect = LinkSuspect()
    /// Whether it has settled anything over this connection.
    var hasProgressed = false
    /// Messages that may be in flight over this connection, as both sides want it.
    var inflightMax = 0
    var connectedAt = Instant(nanoseconds: 0)
    /// When the upstream last settled a message of ours, or had nothing to settle.
    var progressedAt = Instant(nanoseconds: 0)
    var pingSentAt: Instant?
    /// Tells dials of one connection from those of the next.
    package internal(set) var epoch: UInt64 = 0
    /// The identifier of the SUBSCRIBE that was sent last, and of the UNSUBSCRIBE; 0 before the first.
    var subscribePacketID: UInt16 = 0
    /// What the upstream's session of ours is still subscribed to and no rule wants any more.
    var staleFilters: [TopicFilter] = []
    var unsubscribePacketID: UInt16 = 0
    /// The one thing that the link waits for: CONNACK, its next heartbeat, or the end of a back-off.
    var timer: TimerQueue.Token?

    init(settings: LinkSettings, receiver: ReceiverID) {
        self.settings = settings
        self.receiver = receiver
        self.backoff = Backoff(settings.backoff)
        self.route = LinkRoute(settings)
    }

    /// What users read: live when connected, subscribed and with nothing left behind.
    package var state: State {
        guard phase == .live else { return phase }
        return session?.flow == .live ? .live : .catchingUp
    }

    /// The rule by which a local message goes out: the first that has a name for it at the upstream.
    func outRule(for topic: MQTTString) -> LinkRule? {
        settings.outRules.first { $0.map(topic) != nil }
    }

    /// The name at the upstream, by the first rule that matches.
    func remoteTopic(_ topic: MQTTString) -> MQTTString? {
        for rule in settings.outRules { if let mapped = rule.map(topic) { return mapped } }
        return nil
    }

    /// Makes a message of the upstream what it is here, by the first rule that matches.
    ///
    /// - Returns: false when none does.
    func accept(_ publication: inout Publication) -> Bool {
        for rule in settings.inRules {
            guard let topic = rule.map(publication.topic) else { continue }
            var properties = publication.properties
            if !properties.subscriptionIdentifiers.isEmpty { properties.subscriptionIdentifiers = [] }
            publication.rename(topic, properties: properties)
            publication.isRetained = rule.retains(publication.isRetained)
            if let cap = rule.qosCap { publication.qos = min(publication.qos, cap) }
            publication.origin = self
            return true
        }
        return false
    }
}
