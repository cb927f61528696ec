import BrokerCore
import MQTTCodec

/// Who has to get a message for certain, and with which QoS.
struct Expectations {
    private let homes: [Int]
    /// When the link from a node to the next was first subscribed.
    private let linkUpSince: [UInt64?]
    private var subscribed: [[Ledger.Subscribed]]
    private let habits: [Habits]
    private let matches: FilterMatches
    /// Whoever was told by a node's books that a message expired or that a full queue gave it up.
    private var excused: [Int: Set<Int>] = [:]
    /// Whoever gave up what for its members: a group's filter, by node, and how it ended.
    private var excusedGroups: [SharedGroup: [Int: Set<LedgerLine.Entry>]] = [:]
    /// Messages that expired or were given up somewhere on their way to the next node.
    private var stranded: Set<Int> = []
    private let upstreamForgot: Bool
    private let hasMarks: Bool
    private let clockWentBack: Bool

    init(_ simulation: Simulation) {
        homes = simulation.clients.map(\.home)
        habits = simulation.clients.map(\.habits)
        matches = simulation.matches
        upstreamForgot = simulation.upstreamForgot
        hasMarks = simulation.options.hasMarks && simulation.options.linkVersion == .v5
        clockWentBack = simulation.plan.entries.contains { entry in
            if case .wallJump(let milliseconds) = entry.fault { milliseconds < 0 } else { false }
        }
        linkUpSince = simulation.nodes.map(\.linkUpSince)
        subscribed = Array(repeating: [], count: homes.count)
        for entry in simulation.ledger.subscribed { subscribed[entry.client].append(entry) }
        var numbers: [MQTTString: Int] = [:]
        for client in simulation.clients { numbers[MQTTString(client.name)] = client.index }
        for node in simulation.nodes {
            for (outcome, count) in node.books.outcomes where count > 0 {
                guard let message = Int(outcome.message) else { continue }
                if ReferenceBroker.isGroup(outcome.receiver) {
                    // Of what only memory had, "delivered" is no more than sent.
                    if outcome.entry == .delivered, !outcome.wasStored { continue }
                    let group = SharedGroup(node: node.index, filter: outcome.receiver)
                    excusedGroups[group, default: [:]][message, default: []].insert(outcome.entry)
                    continue
                }
                switch outcome.entry {
                case .expired: stranded.insert(message)
                case .dropped:
                    if let client = numbers[outcome.receiver] {
                        excused[message, default: []].insert(client)
                    } else if outcome.wasStored {
                        // A session of another node's link is a session, and its queue has a limit too.
                        stranded.insert(message)
                    }
                default: break
                }
            }
        }
    }

    var clients: Range<Int> { 0..<homes.count }

    /// The QoS with which the client has to get this message; nil when it may get it or not.
    ///
    /// It has to when the broker took responsibility for it, and the client was subscribed since before it was sent,
    /// with a session that lasted to the end of the run: on the publisher's node until the message was taken, elsewhere
    /// to the end.
    func expectedQoS(_ number: Int, _ message: Ledger.Published, at client: Int) -> QoS? {
        guard let sentAt = message.sentAt, let takenAt = message.takenAt, message.qos > .atMostOnce else { return nil }
        guard !message.isDeletion, !stranded.contains(number), excused[number]?.contains(client) != true else {
            return nil
        }
        // What waited at an upstream for a session that it lost is lost; it was not asked to promise more.
        if upstreamForgot, homes[client] < message.node { return nil }
        if message.publisher == client,
            habits[client].subscriptions.contains(where: { $0.noLocal && matches.matches($0.filter, message.topic) })
        {
            return nil
        }
        guard arrives(from: message.node, at: homes[client], sentAt) else { return nil }
        let isLocal = message.node == homes[client]
        var granted: QoS?
        for entry in subscribed[client]
        where !entry.filter.isShared && entry.from < sentAt && matches.matches(entry.filter, message.topic) {
            if let to = entry.to {
                guard isLocal, to > takenAt else { continue }
            }
            granted = max(granted ?? .atMostOnce, entry.qos)
        }
        guard let granted, granted > .atMostOnce else { return nil }
        return min(granted, message.qos)
    }

    /// Whether some member of a group has to get this message: a session that lasted to the end was a member since
    /// before it was sent, so that the group and its queue were there all the time.
    func isExpected(_ number: Int, _ message: Ledger.Published, at group: SharedGroup) -> Bool {
        guard let sentAt = message.sentAt, message.takenAt != nil, message.qos > .atMostOnce else { return false }
        guard !stranded.contains(number), !upstreamForgot || group.node >= message.node,
            arrives(from: message.node, at: group.node, sentAt)
        else { return false }
        let outcomes = excusedGroups[group]?[number] ?? []
        if outcomes.contains(.expired) || outcomes.contains(.dropped) { return false }
        // A session that ends takes with it what it was sent of QoS 2 [5:MQTT-4.8.2-5], and nothing else.
        if outcomes.contains(.discarded), message.qos == .exactlyOnce { return false }
        return clients.contains { client in
            homes[client] == group.node && habits[client].isDurable
                && subscribed[client].contains { $0.filter.text == group.filter && $0.from < sentAt && $0.to == nil }
        }
    }

    /// Who is a member of a group at some time.
    func members(of group: SharedGroup) -> [Int] {
        clients.filter { client in
            homes[client] == group.node && habits[client].subscriptions.contains { $0.filter.text == group.filter }
        }
    }

    /// All groups, in a fixed order.
    var groups: [SharedGroup] {
        var groups: Set<SharedGroup> = []
        for client in clients {
            for subscription in habits[client].subscriptions where subscription.filter.isShared {
                groups.insert(SharedGroup(node: homes[client], filter: subscription.filter.text))
            }
        }
        return groups.sorted { $0.node == $1.node ? $0.filter < $1.filter : $0.node < $1.node }
    }

    /// How a message ended for a group, as the books of its node say.
    func outcomes(of number: Int, at group: SharedGroup) -> Set<LedgerLine.Entry> {
        excusedGroups[group]?[number] ?? []
    }

    func churns(_ client: Int) -> Bool { habits[client].churns }

    /// Whether what is published at one node comes to another over sessions that nobody lost.
    func isExact(from node: Int, at client: Int) -> Bool { hasMarks || !upstreamForgot || node == homes[client] }

    /// Whether a message keeps its place among others. One that had expired may live again: a crash forgets that it was
    /// passed over, and a clock that was set back says that it has time left.
    func keepsItsPlace(_ message: Ledger.Published) -> Bool {
        (!message.expires || !clockWentBack) && !message.wasRefused
    }

    private func arrives(from: Int, at home: Int, _ sentAt: UInt64) -> Bool {
        // Towards the head of the chain a link queues from its first moment; the other way it subscribes first.
        guard home < from else { return true }
        return (home..<from).allSatisfy { linkUpSince[$0].map { $0 < sentAt } ?? false }
    }
}

/// A share group of one node.
struct SharedGroup: Hashable, CustomStringConvertible {
    let node: Int
    let filter: MQTTString

    var description: String { "\(filter) at node \(node)" }
}
