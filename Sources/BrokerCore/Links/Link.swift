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

    package internal(set) var settings: LinkSettings {
        didSet {
            lastPassage = nil
            outward = Outward(settings)
        }
    }
    /// Which rules out have had what was retained before they were there.
    var retainedMarks: Set<MQTTString> = []
    /// Whether the spool did not know the link.
    var isNew = false
    /// What any of the rules out asks for: mostly nothing, and then nobody looks which rule it is.
    private var outward: Outward
    /// Whether a rule out names messages after their publishers.
    var namesPublishers: Bool { outward.namesPublishers }
    var setsExpiry: Bool { outward.setsExpiry }
    var addsProperties: Bool { outward.addsProperties }
    /// That of the last message: most follow one of their topic.
    var lastPassage: LinkPassage?
    package let receiver: ReceiverID
    package internal(set) var session: Session?
    package internal(set) var lastError: String?
    var connection: Connection?
    var phase = State.idle
    var backoff: Backoff
    var attempt = 0
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
        self.outward = Outward(settings)
        self.receiver = receiver
        self.backoff = Backoff(settings.backoff)
    }

    /// What users read: live when connected, subscribed and with nothing left behind.
    package var state: State {
        guard phase == .live else { return phase }
        return session?.flow == .live ? .live : .catchingUp
    }

    private struct Outward {
        let namesPublishers: Bool
        let setsExpiry: Bool
        let addsProperties: Bool

        init(_ settings: LinkSettings) {
            namesPublishers = settings.outRules.contains(where: \.template.usesClientID)
            setsExpiry = settings.outRules.contains { $0.expiry != nil }
            addsProperties = settings.outRules.contains { !$0.userProperties.isEmpty }
        }
    }
}
