import DequeModule
package import MQTTCodec
import NIOCore

/// What the broker remembers of a client id (§4.1), or of a link's upstream: subscriptions, unfinished exchanges and
/// what waits.
package final class Session {
    /// Only that of a link ever changes.
    package internal(set) var clientID: MQTTString
    /// Place in the shard's table; what the subscription tree stores.
    let slot: Int32
    /// Set when the session outlives its connection: its queue is in the spool, under this number.
    package internal(set) var receiver: ReceiverID?
    /// Seconds; 0 ends with the connection, `UInt32.max` never.
    var expiryInterval: UInt32
    /// The ticket of its row, when this process made it.
    var created = Ticket.none
    /// Who its last connection was: wills and what waits are judged by it while the client is away.
    package internal(set) var principal: Principal
    /// True when its client has been here since the start: the spool knows client ids, but not who had them.
    var isIdentified = false
    /// What the access rules say of it; made with the first question.
    var subject: AccessSubject?
    /// Nil while the client is away.
    package internal(set) var connection: Connection?
    /// The upstream that this session belongs to; nil for a client.
    let link: Link?
    /// Set when this is the receiver of a share group: its messages go to the members.
    let group: ShareGroup?
    /// The receivers of the share groups that this session is a member of, in the order in which it joined.
    var shares: [Session] = []
    /// Counts comings and goings, so that a page or a commit knows whether it still means this connection.
    var epoch: UInt64 = 0
    /// When the expiry of this absence ends; nil while connected or when it never does.
    var expiresAt: Instant?
    /// Fires when the will is due or the absence ends, whichever is first.
    var timer: TimerQueue.Token?
    var isEnded = false
    /// Its queue is full and its policy is to refuse: nothing more is taken for it.
    var isFull = false
    /// Its queue is above its watermark: that in the spool, that in memory.
    var isHigh = false
    var isHighInMemory = false
    /// What was last said of that, and whether something is about to be said.
    package internal(set) var isAlarmed = false
    var saysLevel = false
    /// Publishes that this queue had no room for: refused to their senders, and held back.
    package internal(set) var refused: UInt64 = 0
    package internal(set) var heldBack: UInt64 = 0
    /// What it did not get of messages that are not in the spool; nil while there is nothing to count.
    var drops: Drops?
    /// Messages that its queue dropped and that the log has not heard of, and when it may hear of more.
    var dropsUntold = 0
    var nextDropNotice = Instant(nanoseconds: 0)
    /// The client is a broker of version 3 that said so: it does not want its own messages back.
    var isBridge = false

    var subscriptions: [MQTTString: Subscription] = [:]
    /// The ticket of the last change of its subscriptions.
    var changed = Ticket.none
    /// QoS 2 identifiers of the peer that wait for PUBREL, each with the ticket of its PUBREC (§4.3.3).
    var inbound: [UInt16: Ticket] = [:]
    /// The ticket of the last PUBREL of the peer.
    var released = Ticket.none
    package internal(set) var window: PacketWindow
    var will: PendingWill?

    /// Filters whose retained messages are still to be replayed: a cursor that feeds the window, never the queue. One
    /// whose number is no longer that of its subscription was replaced or unsubscribed and is skipped.
    var replay: Deque<Replay> = []
    package var waitingReplays: Int { replay.count }
    private var lastReplay: UInt64 = 0
    /// While it is set replay rests: the session made the shard look through many retained messages.
    var replayTimer: TimerQueue.Token?
    /// What waits in memory; only of a session that is not durable.
    var queue: Deque<Queued> = []
    var queueBytes = 0

    // What follows is the receiver of a durable session: live or behind, and this is one state.
    package internal(set) var flow = Flow.behind
    /// All that waits up to here is in the window or done.
    var cursor: Position = .zero
    /// The highest position that this receiver was told of.
    var told: Position = .zero
    var isLoading = false
    /// The page that was asked for may hold what was taken out of the queue since.
    var isPageStale = false
    /// The rest of the last page and where that page ended.
    var page: Deque<Page.Entry> = []
    var pageEnd: Position = .zero

    init(
        clientID: MQTTString,
        slot: Int32,
        receiver: ReceiverID?,
        expiryInterval: UInt32,
        firstPacketID: UInt16,
        link: Link? = nil,
        group: ShareGroup? = nil
    ) {
        self.clientID = clientID
        self.principal = Principal(username: nil, clientID: clientID, address: nil)
        self.slot = slot
        self.receiver = receiver
        self.expiryInterval = expiryInterval
        self.window = PacketWindow(firstID: firstPacketID)
        self.link = link
        self.group = group
    }

    /// Held apart, since most sessions have none.
    final class Drops {
        var counts = DropCounts()
    }

    package enum Flow: Sendable {
        /// Everything up to `told` is in the window: the next message goes straight there.
        case live
        /// Something waits in the spool: pages are read by position until one ends at or beyond `told`.
        case behind
    }

    struct Subscription {
        var options: SubscriptionOptions
        var identifier: UInt32?
        /// The access rules do not grant it any more: it is out of the index, and comes back when they do.
        var isSuspended = false
        /// The number of its latest replay; 0 when there was none.
        var replay: UInt64 = 0
    }

    struct Queued {
        var message: Message
        var qos: QoS
        var isRetained: Bool
        var subscriptionIdentifiers: [UInt32]
        var came: Instant
        var bytes: Int { message.bytes }
    }

    struct Replay {
        var filter: MQTTString
        var number: UInt64
        /// What it matches; nil until it comes to the front.
        var topics: [MQTTString]?
        /// How many of them were replayed.
        var done = 0
        var maximumQoS: QoS
        var subscriptionIdentifiers: [UInt32]
        /// The last change of the retained messages before the subscription, and the connection that subscribed. What
        /// is retained later comes to that connection by its subscription.
        var change: UInt64
        var epoch: UInt64
    }

    struct PendingWill {
        var will: Connect.Will
        /// Nil while the connection that brought it is there.
        var due: Instant?
        /// The spool has it.
        var isStored = false
    }

    /// A replay starts anew under the new options of its subscription, in the place of the one that may go on.
    ///
    /// - Complexity: O(1) amortised: what was replaced is skipped when it comes to the front, and cleared away before
    ///   it is more than what is wanted.
    /// - Parameter change: the last one of the retained messages.
    func startReplay(of filter: MQTTString, maximumQoS: QoS, subscriptionIdentifiers: [UInt32], change: UInt64) {
        lastReplay &+= 1
        subscriptions[filter]?.replay = lastReplay
        if replay.count > 2 * subscriptions.count { replay.removeAll { !isWanted($0) } }
        replay.append(
            Replay(
                filter: filter,
                number: lastReplay,
                maximumQoS: maximumQoS,
                subscriptionIdentifiers: subscriptionIdentifiers,
                change: change,
                epoch: epoch
            )
        )
    }

    func isWanted(_ replay: Replay) -> Bool { subscriptions[replay.filter]?.replay == replay.number }

    /// Entries that count against the peer's Receive Maximum.
    var inflight: Int { window.count - window.resendCount }
    /// How many more QoS 1 or 2 messages may be sent now [5:MQTT-3.3.4-9] [5:MQTT-4.9.0-1] [5:MQTT-4.9.0-2]. Nothing else
    /// asks for it [5:MQTT-3.3.4-10] [5:MQTT-4.9.0-3].
    var room: Int {
        guard let connection, connection.isOpen, connection.isWritable else { return 0 }
        return max(0, connection.inflightMax - inflight)
    }
}
