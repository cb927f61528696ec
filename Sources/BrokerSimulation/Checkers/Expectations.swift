import BrokerCore
import MQTTCodec

/// Who has to get a message for certain, and with which QoS.
struct Expectations {
    private let homes: [Int]
    /// When the link from a node to the next was first subscribed.
    private let linkUpSince: [UInt64?]
    private var subscribed: [[Ledger.Subscribed]]

    init(_ simulation: Simulation) {
        homes = simulation.clients.map(\.home)
        linkUpSince = simulation.nodes.map(\.linkUpSince)
        subscribed = Array(repeating: [], count: homes.count)
        for entry in simulation.ledger.subscribed { subscribed[entry.client].append(entry) }
    }

    var clients: Range<Int> { 0..<homes.count }

    /// The QoS with which the client has to get this message; nil when it may get it or not.
    ///
    /// It has to when the broker took responsibility for it, and the client was subscribed since before it was sent,
    /// with a session that lasted to the end of the run: on the publisher's node until the message was taken, elsewhere
    /// to the end.
    func expectedQoS(_ message: Ledger.Published, at client: Int) -> QoS? {
        guard let sentAt = message.sentAt, let takenAt = message.takenAt, message.qos > .atMostOnce else { return nil }
        guard arrives(from: message.node, at: homes[client], sentAt) else { return nil }
        let isLocal = message.node == homes[client]
        var granted: QoS?
        for entry in subscribed[client] where entry.from < sentAt && entry.filter.matches(message.topic) {
            if let to = entry.to {
                guard isLocal, to > takenAt else { continue }
            }
            granted = max(granted ?? .atMostOnce, entry.qos)
        }
        guard let granted, granted > .atMostOnce else { return nil }
        return min(granted, message.qos)
    }

    private func arrives(from: Int, at home: Int, _ sentAt: UInt64) -> Bool {
        // Towards the head of the chain a link queues from its first moment; the other way it subscribes first.
        guard home < from else { return true }
        return (home..<from).allSatisfy { linkUpSince[$0].map { $0 < sentAt } ?? false }
    }
}
