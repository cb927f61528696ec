import MQTTCodec

/// What was acknowledged to its publisher arrives at everyone who was subscribed.
enum NoAckedMessageLost {
    static func check(_ ledger: Ledger, _ expectations: Expectations) -> [String] {
        var arrived: [Set<Int>] = expectations.clients.map { _ in [] }
        for arrival in ledger.arrivals { arrived[arrival.client].insert(arrival.message) }
        var problems: [String] = []
        for (number, message) in ledger.published.enumerated() {
            for client in expectations.clients where !arrived[client].contains(number) {
                guard let qos = expectations.expectedQoS(number, message, at: client) else { continue }
                problems.append(
                    "lost: m\(number) of client-\(message.publisher) to \(message.topic) with \(message.qos), taken at "
                        + "\((message.takenAt ?? 0) / 1_000), never came to client-\(client) with \(qos)"
                )
            }
        }
        return problems
    }
}
