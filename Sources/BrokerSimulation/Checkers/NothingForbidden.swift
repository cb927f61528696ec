import MQTTCodec

/// What must not arrive: a will that was taken back, one's own message where No Local was asked for, a subscription
/// identifier of a subscription that does not match.
enum NothingForbidden {
    static func check(_ simulation: Simulation) -> [String] {
        var problems: [String] = []
        for arrival in simulation.ledger.arrivals {
            let message = simulation.ledger.published[arrival.message]
            let client = simulation.clients[arrival.client]
            if message.isWithdrawn {
                problems.append("forbidden: the will m\(arrival.message), which was taken back, came to \(client.name)")
            }
            let matching = client.habits.subscriptions.filter { simulation.matches.matches($0.filter, message.topic) }
            // [5:MQTT-3.8.3-3] retained messages that are replayed are none that anybody published just now.
            // An upstream that lost the session of a link replays them as if they were new.
            if message.publisher == arrival.client, !arrival.isRetained, !simulation.upstreamForgot,
                matching.allSatisfy(\.noLocal)
            {
                problems.append("forbidden: \(client.name) got its own m\(arrival.message) in spite of No Local")
            }
            let allowed = matching.compactMap(\.identifier)
            for identifier in arrival.identifiers where !allowed.contains(identifier) {
                problems.append("forbidden: m\(arrival.message) came to \(client.name) for subscription \(identifier)")
            }
        }
        return problems
    }
}
