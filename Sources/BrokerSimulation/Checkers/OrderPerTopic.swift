import MQTTCodec

/// §4.6: what one client publishes to one topic with one QoS arrives in that order, first arrivals counted; messages
/// that a change of subscription made arrive with another QoS are a stream of their own. Judged for messages that the
/// receiver had to get: what it caught by luck, before it was subscribed for certain, may be late.
enum OrderPerTopic {
    private struct Stream: Hashable {
        let publisher: Int
        let topic: MQTTString
        let qos: QoS
        let granted: QoS
    }

    static func check(_ ledger: Ledger, _ expectations: Expectations) -> [String] {
        var highest: [[Stream: Int]] = expectations.clients.map { _ in [:] }
        var seen: [Set<Int>] = expectations.clients.map { _ in [] }
        var problems: [String] = []
        for arrival in ledger.arrivals {
            let message = ledger.published[arrival.message]
            // Each will is another connection's, and connections may be accepted in another order than they were dialled.
            guard !message.isRetained, !message.isWill, seen[arrival.client].insert(arrival.message).inserted,
                expectations.expectedQoS(arrival.message, message, at: arrival.client) != nil,
                expectations.isExact(from: message.node, at: arrival.client), expectations.keepsItsPlace(message)
            else { continue }
            let stream = Stream(
                publisher: message.publisher,
                topic: message.topic,
                qos: message.qos,
                granted: arrival.qos
            )
            let before = highest[arrival.client][stream] ?? -1
            if arrival.message < before {
                problems.append(
                    "out of order: m\(arrival.message) of client-\(message.publisher) to \(message.topic) with "
                        + "\(message.qos) came to client-\(arrival.client) at \(arrival.at / 1_000), after m\(before)"
                )
            }
            highest[arrival.client][stream] = max(before, arrival.message)
        }
        return problems
    }
}
