import BrokerCore
import MQTTCodec

/// Promise 2: per message and receiver, accepted = delivered + waiting + expired + dropped + discarded, and each of
/// these words is true: who "got" a message saw it, what "expired" had an expiry.
enum LedgerClosed {
    static func check(_ simulation: Simulation) -> [String] {
        var problems: [String] = []
        var arrived: Set<[String]> = []
        for arrival in simulation.ledger.arrivals {
            arrived.insert([simulation.clients[arrival.client].name, "\(arrival.message)"])
        }
        let clients = Set(simulation.clients.map { MQTTString($0.name) })
        for node in simulation.nodes {
            problems += node.books.differences(from: node.spool.store, node: node.index, isQuiet: true)
                .map { "ledger of node \(node.index): \($0)" }
            for (outcome, count) in node.books.outcomes where count > 0 {
                guard let number = Int(outcome.message) else { continue }
                let message = simulation.ledger.published[number]
                switch outcome.entry {
                case .delivered where outcome.wasStored && clients.contains(outcome.receiver):
                    if !arrived.contains(["\(outcome.receiver)", outcome.message]) {
                        problems.append(
                            "ledger: m\(number) counts as delivered to \(outcome.receiver), who has not seen it")
                    }
                case .expired where !message.expires:
                    problems.append("ledger: m\(number) counts as expired and has no expiry")
                case .tooLarge:
                    problems.append("ledger: m\(number) counts as too large for \(outcome.receiver)")
                default: break
                }
            }
        }
        return problems.sorted()
    }
}
