package import MQTTCodec

/// One configured connection to an upstream broker: a durable receiver for what goes out, a subscriber at the upstream
/// for what comes in. Where it stands says its machine.
package final class Link {
    package typealias State = LinkMachine.State

    package internal(set) var settings: LinkSettings {
        didSet {
            lastPassage = nil
            outward = Outward(settings)
        }
    }
    /// Which rules out have had what was retained before they were there.
    var retainedMarks: Set<MQTTString> = []
    /// What upstreams have of it.
    var holdings = LinkHoldings()
    /// Where the link was last, as the spool has it.
    var lastPlace: MQTTString?
    /// What the upstream may say again.
    var replay: LinkReplay?
    /// The filters in that the session there has; nil when it is older than this process.
    var granted: Set<MQTTString>?
    /// Whether the spool did not know the link.
    var isNew = false
    /// What any of the rules out asks for: mostly nothing, and then nobody looks which rule it is.
    private var outward: Outward
    /// Whether a rule out names messages after their publishers.
    var namesPublishers: Bool { outward.namesPublishers }
    var setsExpiry: Bool { outward.setsExpiry }
    var addsProperties: Bool { outward.addsProperties }
    /// Whether more happens to a message without properties than that it is sent.
    var addsToMessages: Bool { outward.setsExpiry || outward.addsProperties || usesEchoTable }
    /// That of the last message: most follow one of their topic.
    var lastPassage: LinkPassage?
    package let receiver: ReceiverID
    package internal(set) var session: Session?
    package internal(set) var lastError: String?
    package internal(set) var machine = LinkMachine()
    /// Somebody takes messages out of its queue: none of them may leave meanwhile.
    var isQueueHeld = false
    /// Whether nothing is sent, whatever the connection would take.
    var isHeld: Bool { machine.isPaused || isQueueHeld || awaitsEchoProof }
    var connection: Connection?
    var backoff: Backoff
    /// Where it goes next, or is.
    package internal(set) var route: LinkRoute
    /// Back to a better address.
    var returning = LinkReturn()
    /// Who knows our session.
    var sessions = LinkSessions()
    /// Identifiers of QoS 2 that wait for PUBREL since before this connection, and that the upstream has not spoken of.
    var unmentioned: Set<UInt16> = []
    /// What may come back, and whether a probe has: that is no other for the next connection.
    var echoes = EchoTable()
    var isEchoProven = false
    /// What the upstream may not want.
    var suspect = LinkSuspect()
    /// Messages whose fate is open, by position, where those are kept that the upstream refuses.
    var underWay: [Position: CarriedMessage] = [:]
    /// Whether it has settled anything over this connection.
    var hasProgressed = false
    /// In which order it sends what waits and what comes.
    let lanes: LinkLanes
    /// Messages that may be in flight over this connection, as both sides want it.
    var inflightMax = 0
    var connectedAt = Instant(nanoseconds: 0)
    /// When the upstream last settled a message of ours, or had nothing to settle.
    var progressedAt = Instant(nanoseconds: 0)
    /// What this connection is asked.
    package internal(set) var probe = LinkProbe()
    /// Connections in a row that the upstream closed before a round trip had returned or was refused: some brokers close
    /// rather than say no.
    var closedOverProbe = 0
    /// Tells dials of one connection from those of the next.
    package internal(set) var epoch: UInt64 = 0
    /// The identifier of the SUBSCRIBE that was not answered yet; 0 when there is none. Then that of the UNSUBSCRIBE
    /// that was sent last.
    var subscribePacketID: UInt16 = 0
    /// What the upstream's session of ours is still subscribed to and no rule wants any more.
    var staleFilters: [TopicFilter] = []
    var unsubscribePacketID: UInt16 = 0
    /// Somebody told it to start, whatever the configuration says of when.
    var isForced = false
    /// Of a link that starts once: it was good, and is over.
    var hadItsOnce = false
    /// What a lazy link has to do: something waited when the node started, or came since it hung up.
    var hasBacklog = false
    var restedAt = Position.zero
    /// When a lazy link last had something to do, and what had moved by then.
    var busyAt = Instant(nanoseconds: 0)
    var movedBefore: UInt64 = 0
    package internal(set) var traffic = LinkTraffic()
    package internal(set) var pace = LinkPace()
    /// What was last said of it, and since when it is that.
    var toldState: LinkMachine.State?
    package internal(set) var since = Timestamp(microseconds: 0)
    /// The one thing that the link waits for: CONNACK, its next probe, the end of a back-off, or a reason to connect.
    var timer: TimerQueue.Token?

    /// Messages that it sent and that came, by the second.
    package func lookAtPace(_ now: Now) { pace.look(at: traffic, now.instant) }

    init(settings: LinkSettings, receiver: ReceiverID, _ limits: LaneLimits) {
        self.settings = settings
        self.outward = Outward(settings)
        self.receiver = receiver
        self.backoff = Backoff(settings.backoff)
        self.route = LinkRoute(settings)
        self.lanes = LinkLanes(limits)
    }

    package var state: LinkMachine.State { machine.state(isBehind: session?.flow != .live) }

    /// The address that it is connected to.
    package var peer: String? { connection?.peer }

    /// Where a round trip goes.
    package var probeTopic: MQTTString {
        settings.probe.topic ?? ProbeTopic.standard(clientID: settings.clientID)
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
