import BrokerCore
import MQTTCodec

/// A broker that only answers two questions: is there room for this message, and who gets it, with which QoS, and which
/// subscriptions brought it? It keeps lists, searches them from end to end, and asks `TopicFilter.matches`. It hears
/// every packet that the real one hears; a crash takes it back to the state of the last commit.
struct ReferenceBroker {
    struct Subscription: Hashable {
        var filter: TopicFilter
        var options: SubscriptionOptions
        var identifier: UInt32?
    }

    struct Session: Hashable {
        var isDurable: Bool
        var isBridge: Bool
        /// The line that it is connected over; nil while its client is away.
        var line: Int?
        var subscriptions: [Subscription] = []
        /// QoS 2 messages of the client that wait for PUBREL.
        var unreleased: Set<UInt16> = []
        /// Its queue is full, and it refuses.
        var isFull = false
    }

    struct Copy: Hashable, CustomStringConvertible {
        var qos: QoS
        var isRetained: Bool
        var identifiers: [UInt32]
        var description: String { "QoS \(qos.rawValue)\(isRetained ? " retained" : "") \(identifiers)" }
    }

    /// The queue that the members of a share group have in common, as long as there are any.
    struct Group: Hashable {
        /// Since a member was there that outlives its connection.
        var isDurable = false
        var isFull = false
    }

    private(set) var sessions: [MQTTString: Session] = [:] {
        didSet { updateGroups() }
    }
    /// By the filter of their members.
    private var groups: [MQTTString: Group] = [:]
    /// What the spool said last: it stores nothing new.
    var isSpoolRefusing = false
    /// The name of the link, which takes everything that did not come in over it.
    let link: MQTTString?
    private var committed = Stored()
    private var appended: [(ticket: Ticket, stored: Stored)] = []
    /// Messages that came over links with a mark; and those of QoS 2 by their streams, which a crash does not take back.
    private var seen: Set<MessageID> = []
    private var seenExactlyOnce: Set<LinkMark> = []
    private let node: UInt64

    /// What a crash leaves.
    private struct Stored {
        var sessions: [MQTTString: Session] = [:]
        var seenExactlyOnce: Set<LinkMark> = []
    }

    private let matches: FilterMatches

    init(node: UInt64, link: MQTTString?, _ matches: FilterMatches) {
        self.node = node
        self.link = link
        self.matches = matches
        if let link { sessions[link] = Session(isDurable: true, isBridge: false) }
    }

    // MARK: - What clients say

    mutating func connect(_ connect: Connect, line: Int) {
        let isDurable =
            connect.version == .v5 ? (connect.properties.sessionExpiryInterval ?? 0) > 0 : !connect.cleanStart
        if var known = sessions[connect.clientID], known.isDurable, !connect.cleanStart {
            known.line = line
            known.isDurable = isDurable
            known.isBridge = connect.isBridge
            sessions[connect.clientID] = known
        } else {
            sessions[connect.clientID] = Session(isDurable: isDurable, isBridge: connect.isBridge, line: line)
        }
    }

    /// A connection ended, however it did.
    mutating func disconnected(_ client: MQTTString, line: Int) {
        guard let session = sessions[client], session.line == line else { return }
        sessions[client]?.line = nil
        if !session.isDurable { sessions[client] = nil }
    }

    mutating func subscribe(_ client: MQTTString, _ packet: Subscribe) {
        guard var session = sessions[client] else { return }
        // In one step: a group whose only member subscribes anew stays.
        defer { sessions[client] = session }
        for entry in packet.subscriptions {
            var options = entry.options
            if session.isBridge {
                options.noLocal = true
                options.retainAsPublished = true
                options.retainHandling = .sendOnNewSubscription
            }
            session.subscriptions.removeAll { $0.filter == entry.filter }
            session.subscriptions.append(
                Subscription(
                    filter: entry.filter, options: options, identifier: packet.properties.subscriptionIdentifiers.first)
            )
        }
    }

    mutating func unsubscribe(_ client: MQTTString, _ filters: [TopicFilter]) {
        sessions[client]?.subscriptions.removeAll { filters.contains($0.filter) }
    }

    /// Whether something would have to be stored, of the sender or for a receiver, for which there is no room: then
    /// nothing of the message is taken. What was taken before is only answered again.
    ///
    /// - Parameters:
    ///   - client: nil for the gateway.
    ///   - hasRefused: whether one was refused before, over this connection of a link.
    func refuses(_ client: MQTTString?, _ packet: Publish, hasRefused: Bool = false) -> Bool {
        let isAnybodyFull = sessions.values.contains(where: \.isFull) || groups.values.contains(where: \.isFull)
        guard packet.qos > .atMostOnce, isSpoolRefusing || isAnybodyFull || hasRefused, !wasHere(packet) else {
            return false
        }
        let sender = client.flatMap { sessions[$0] }
        if packet.qos == .exactlyOnce, sender?.unreleased.contains(packet.packetID) == true { return false }
        if hasRefused { return true }
        let takers = takers(client, packet.topic).filter { $0.granted > .atMostOnce }
        let durable = takers.compactMap { sessions[$0.name] }.filter(\.isDurable)
        let shared = takers.compactMap { groups[$0.name] }.filter(\.isDurable)
        if durable.contains(where: \.isFull) || shared.contains(where: \.isFull) { return true }
        let storesIdentifier = packet.qos == .exactlyOnce && sender?.isDurable == true
        return isSpoolRefusing && (!durable.isEmpty || !shared.isEmpty || storesIdentifier || packet.isRetained)
    }

    /// - Parameter client: nil for the gateway.
    /// - Returns: everyone who gets the message; nobody when it is one that was already taken.
    mutating func publish(_ client: MQTTString?, _ packet: Publish) -> [MQTTString: Copy] {
        if packet.qos == .exactlyOnce, let client {
            guard sessions[client]?.unreleased.insert(packet.packetID).inserted == true else { return [:] }
        }
        let wasHere = wasHere(packet)
        if let mark = packet.name {
            seen.insert(mark.id)
            if packet.qos == .exactlyOnce { seenExactlyOnce.insert(mark) }
        }
        if wasHere { return [:] }
        var copies: [MQTTString: Copy] = [:]
        for taker in takers(client, packet.topic) {
            copies[taker.name] = Copy(
                qos: min(taker.granted, packet.qos),
                isRetained: packet.isRetained && taker.keepsRetain,
                identifiers: taker.identifiers.sorted()
            )
        }
        return copies
    }

    /// Whether a link brings what was here already, or was published here.
    private func wasHere(_ packet: Publish) -> Bool {
        guard let mark = packet.name else { return false }
        return mark.id.node == node || seen.contains(mark.id) || seenExactlyOnce.contains(mark)
    }

    private struct Taker {
        let name: MQTTString
        let granted: QoS
        let keepsRetain: Bool
        let identifiers: [UInt32]
    }

    private func takers(_ client: MQTTString?, _ topic: MQTTString) -> [Taker] {
        var takers: [Taker] = []
        for (name, session) in sessions {
            if name == link {
                if client != link {
                    takers.append(Taker(name: name, granted: .exactlyOnce, keepsRetain: true, identifiers: []))
                }
                continue
            }
            let matching = session.subscriptions.filter {
                !$0.filter.isShared && matches.matches($0.filter, topic) && !(name == client && $0.options.noLocal)
            }
            if matching.isEmpty { continue }
            takers.append(
                Taker(
                    name: name,
                    granted: matching.map(\.options.maximumQoS).max() ?? .atMostOnce,
                    keepsRetain: matching.contains(where: \.options.retainAsPublished),
                    identifiers: matching.compactMap(\.identifier)
                )
            )
        }
        return takers + sharers(topic)
    }

    /// Every group that matches is one taker; it takes what any of its members may have.
    private func sharers(_ topic: MQTTString) -> [Taker] {
        var granted: [MQTTString: QoS] = [:]
        for subscription in sessions.values.flatMap(\.subscriptions)
        where subscription.filter.isShared && matches.matches(subscription.filter, topic) {
            let qos = subscription.options.maximumQoS
            granted[subscription.filter.text] = max(granted[subscription.filter.text] ?? qos, qos)
        }
        return granted.map { Taker(name: $0.key, granted: $0.value, keepsRetain: false, identifiers: []) }
    }

    static func isGroup(_ receiver: MQTTString) -> Bool { receiver.string.hasPrefix("$share/") }

    /// A group comes with its first member and goes with its last.
    private mutating func updateGroups() {
        var now: [MQTTString: Group] = [:]
        for session in sessions.values {
            for subscription in session.subscriptions where subscription.filter.isShared {
                var group = now[subscription.filter.text] ?? groups[subscription.filter.text] ?? Group()
                if session.isDurable { group.isDurable = true }
                now[subscription.filter.text] = group
            }
        }
        groups = now
    }

    mutating func release(_ client: MQTTString, _ packetID: UInt16) { sessions[client]?.unreleased.remove(packetID) }

    mutating func setFull(_ receiver: MQTTString, _ isFull: Bool) {
        if Self.isGroup(receiver) {
            groups[receiver]?.isFull = isFull
        } else {
            sessions[receiver]?.isFull = isFull
        }
    }

    /// The upstream has no session of the link's: what it had begun over it is over.
    mutating func upstreamForgot() {
        if let link { sessions[link]?.unreleased = [] }
    }

    // MARK: - What the disk says

    mutating func append(_ ticket: Ticket) {
        appended.append((ticket, Stored(sessions: sessions, seenExactlyOnce: seenExactlyOnce)))
    }

    mutating func commit(_ ticket: Ticket) {
        if let last = appended.last(where: { $0.ticket <= ticket }) { committed = last.stored }
        appended.removeAll { $0.ticket <= ticket }
    }

    mutating func crash() {
        appended.removeAll()
        sessions = committed.sessions.filter(\.value.isDurable)
        seenExactlyOnce = committed.seenExactlyOnce
        seen = []
        isSpoolRefusing = false
        for name in groups.keys { groups[name]?.isFull = false }
        for name in sessions.keys {
            sessions[name]?.line = nil
            sessions[name]?.isFull = false
        }
        if let link, sessions[link] == nil { sessions[link] = Session(isDurable: true, isBridge: false) }
    }

    /// What the spool holds has to be what was committed: sessions, their subscriptions, their unreleased messages.
    func differences(from store: SpoolStore, node: Int) -> [String] {
        var differences: [String] = []
        var held: [MQTTString: SpoolStore.Queue] = [:]
        for queue in store.queues.values { held[queue.receiverName(node: node)] = queue }
        for filter in Set(sessions.values.flatMap(\.subscriptions).filter(\.filter.isShared).map(\.filter.text))
            .sorted()
        where held[filter] == nil {
            differences.append("the group \(filter) is not stored")
        }
        for name in Set(held.keys).union(sessions.keys).sorted() where name != link && !Self.isGroup(name) {
            guard let queue = held[name], let session = sessions[name] else {
                differences.append("session \(name) is \(held[name] == nil ? "not stored" : "stored, but unknown")")
                continue
            }
            let stored = Set(
                queue.subscriptions.map { "\($0.filter) \($0.options.rawValue) \($0.identifier ?? 0)" })
            let known = Set(
                session.subscriptions.map { "\($0.filter.text) \($0.options.rawValue) \($0.identifier ?? 0)" })
            if stored != known { differences.append("\(name): stored \(stored.sorted()), known \(known.sorted())") }
            if queue.inbound != session.unreleased {
                differences.append(
                    "\(name): unreleased \(queue.inbound.sorted()), known \(session.unreleased.sorted())")
            }
        }
        return differences
    }
}

extension Publish {
    /// Its mark, however it came. Only links send one in a simulation.
    fileprivate var name: LinkMark? { mark.map { LinkMark(id: $0.id, hops: 1, stream: $0.stream) } }
}
