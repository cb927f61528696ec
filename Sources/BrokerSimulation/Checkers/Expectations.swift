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
    /// Messages that expired or were given up somewhere on their way to the next node.
    private var stranded: Set<Int> = []
    private let upstreamForgot: Bool
    private let clockWentBack: Bool

    init(_ simulation: Simulation) {
        homes = simulation.clients.map(\.home)
        habits = simulation.clients.map(\.habits)
        matches = simulation.matches
        upstreamForgot = simulation.upstreamForgot
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
        for entry in subscribed[client] where entry.from < sentAt && matches.matches(entry.filter, message.topic) {
            if let to = entry.to {
                guard isLocal, to > takenAt else { continue }
            }
            granted = max(granted ?? .atMostOnce, entry.qos)
        }
        guard let granted, granted > .atMostOnce else { return nil }
        return min(granted, message.qos)
    }

    /// Whether what is published at one node comes to another over sessions that nobody lost.
    func isExact(from node: Int, at client: Int) -> Bool { !upstreamForgot || node == homes[client] }

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
