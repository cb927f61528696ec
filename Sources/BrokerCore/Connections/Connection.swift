import DequeModule
package import MQTTCodec

/// One network link, to a client or to a link's upstream, as its shard sees it. The handler of the channel owns it and
/// passes it back with every event.
package final class Connection {
    package enum State: Sendable {
        /// A client that has not sent CONNECT.
        case waitingForConnect
        /// A client whose CONNECT is valid; somebody is being asked whether it is who it says.
        case authenticating
        /// An upstream that has not answered our CONNECT.
        case waitingForConnAck
        /// CONNECT is accepted; CONNACK waits for a commit. Nothing else may be sent before it [5:MQTT-3.2.0-1].
        case accepted
        case open
        /// Nothing is received or sent any more; the channel closes when all is flushed.
        case closing
    }

    package internal(set) var state: State
    package internal(set) var version = ProtocolVersion.v3_1_1
    package internal(set) var session: Session?
    let link: Link?
    /// By which door a client came in.
    let door: Door
    /// Where it comes from, for the log.
    package let peer: String
    /// Who it is; set when CONNECT is accepted.
    package internal(set) var principal: Principal
    /// The name in a client certificate that the TLS handshake has verified; nil without one.
    package var certificateName: String?
    /// What waits while it is `.authenticating`.
    var pending: PendingConnect?
    /// Set when CONNECT named an Authentication Method.
    var exchange: EnhancedAuthentication?

    /// What the runner needs to find the channel again; it takes that back when the channel is gone.
    package var owner: AnyObject?
    /// Bytes to be sent; the runner takes them at the end of the turn.
    package var out = OutBytes()
    /// True when the peer is told why before its connection closes: it gets the time to read it.
    package internal(set) var hasFarewell = false
    var isTouched = false
    /// True while it counts as a client that is there.
    var isAnnounced = false
    /// False above the write buffer's limit: QoS 0 is dropped, QoS 1 and 2 wait.
    package internal(set) var isWritable = true
    /// While true nothing is to be read from the channel: the client is being asked about, or CONNACK, or too many
    /// answers, wait for the disk.
    package internal(set) var isHeld = false
    /// While true the channel is not read from, since its peer sends faster than it may.
    package var isThrottled = false {
        didSet { if !isThrottled { wasHeld = true } }
    }
    /// Set when reading goes on: the silence until now was ours.
    var wasHeld = false

    /// Messages that may be in flight towards this peer.
    var inflightMax = 0
    /// What an upstream's CONNACK says that it takes; clients take everything.
    var peerMaximumQoS = QoS.exactlyOnce
    var peerTakesRetained = true
    /// The peer is a Drawbridge's link, or the upstream of ours: messages have marks.
    var carriesMarks = false
    /// A message of the link of another node was refused for want of room. What it had sent behind it is refused as well, or
    /// would go first; the link ends the connection when it hears of it.
    var hasRefused = false
    var markBytesMax: Int { carriesMarks ? LinkMark.bytesMax : 0 }
    /// The peer's Maximum Packet Size; bytes.
    var packetBytesMax = Int.max
    /// QoS 1 and 2 messages of a version 5 peer that were not answered: its send quota (§4.9).
    var unanswered = 0

    /// A message for which there is no room: it waits, and whatever this peer published behind it. Its
    /// acknowledgements are heard meanwhile, since they are what may make room.
    package internal(set) var stalled: [Publish] = []
    var stalledBytes = 0

    /// Topics by the aliases that this client gave them.
    var inboundAliases = InboundAliases()
    /// Nil for clients that take no topic aliases.
    var outboundAliases: OutboundAliases?
    /// Request Problem Information: whether acknowledgements may say in words what was wrong [5:MQTT-3.1.2-29].
    var wantsProblems = true

    /// Zero switches keep-alive off.
    var keepAlive: Duration = .zero
    var lastReceived: Instant
    var timer: TimerQueue.Token?
    /// When something of it was last denied and logged.
    var lastDenial: Instant?

    /// Answers that wait for a commit, in the order in which they have to leave.
    var answers: Deque<Answer> = []
    /// SUBACKs among them: retained messages come behind those, as simple clients expect them.
    var heldSubAcks = 0
    /// The ticket of the last of them: an answer that waits for nothing waits behind it.
    var lastTicket = Ticket.none

    init(state: State, link: Link?, door: Door, peer: String, address: NetworkAddress? = nil, now: Instant) {
        self.state = state
        self.door = door
        self.link = link
        self.peer = peer
        self.principal = Principal(username: nil, clientID: "", address: address)
        self.lastReceived = now
    }

    package var isOpen: Bool { state == .open }
    /// Whether something that it sent was not read yet, or waits for the disk to be answered.
    package var isOwedAnswers: Bool { state != .closing && (isHeld || !answers.isEmpty || !stalled.isEmpty) }

    struct Answer {
        var ticket: Ticket
        var packet: Packet
    }
}
