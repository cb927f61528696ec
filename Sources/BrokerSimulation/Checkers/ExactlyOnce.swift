import MQTTCodec

/// What goes out with QoS 2 arrives at most once, crashes included; that it arrives at all is the business of
/// `NoAckedMessageLost`. Retained messages are replayed to whoever subscribes again and are left out.
enum ExactlyOnce {
    static func check(_ ledger: Ledger, _ expectations: Expectations) -> [String] {
        var seen: [[Int: UInt64]] = expectations.clients.map { _ in [:] }
        var problems: [String] = []
        for arrival in ledger.arrivals
        where arrival.qos == .exactlyOnce && !ledger.published[arrival.message].isRetained
            && expectations.isExact(from: ledger.published[arrival.message].node, at: arrival.client)
        {
            if let first = seen[arrival.client].updateValue(arrival.at, forKey: arrival.message) {
                problems.append(
                    "twice: m\(arrival.message) of client-\(ledger.published[arrival.message].publisher) came to "
                        + "client-\(arrival.client) at \(first / 1_000) and at \(arrival.at / 1_000)"
                )
            }
        }
        return problems
    }
}
