import BrokerCore
import MQTTCodec

/// §4.8.2: a message for a share group comes to one of its members. To none only when the books say why; to a second
/// one with QoS 2 never, with QoS 1 when the first had lost its connection before it could say that it has it. With one
/// member, or where order is kept by publisher, in the order in which it was published.
enum SharedOnce {
    private struct Stream: Hashable {
        let publisher: Int
        let topic: MQTTString
        let qos: QoS
        let granted: QoS
    }

    static func check(_ simulation: Simulation, _ expectations: Expectations) -> [String] {
        expectations.groups.flatMap { check(simulation, expectations, $0) }
    }

    private static func check(
        _ simulation: Simulation,
        _ expectations: Expectations,
        _ group: SharedGroup
    ) -> [String] {
        let ledger = simulation.ledger
        let members = expectations.members(of: group)
        var arrivals: [Int: [Ledger.Arrival]] = [:]
        var problems: [String] = []
        for arrival in ledger.arrivals where members.contains(arrival.client) && isShared(arrival, ledger) {
            arrivals[arrival.message, default: []].append(arrival)
        }
        for (number, message) in ledger.published.enumerated() where message.topic.string.hasPrefix("s/") {
            let arrived = arrivals[number] ?? []
            if arrived.isEmpty, expectations.isExpected(number, message, at: group) {
                problems.append(
                    "shared: m\(number) of client-\(message.publisher) to \(message.topic) with \(message.qos) came to "
                        + "no member of \(group)"
                )
            }
            if arrived.isEmpty, expectations.outcomes(of: number, at: group).contains(.delivered) {
                problems.append("shared: m\(number) counts as delivered to \(group), and nobody has seen it")
            }
            problems += duplicates(of: number, message, arrived, simulation, expectations, group)
        }
        let keepsOrder = members.count == 1 || simulation.options.settings.sharedOrder == .publisher
        if keepsOrder, !members.contains(where: expectations.churns) {
            problems += disorder(arrivals, ledger, expectations, group, isByPublisher: members.count > 1)
        }
        return problems
    }

    private static func isShared(_ arrival: Ledger.Arrival, _ ledger: Ledger) -> Bool {
        ledger.published[arrival.message].topic.string.hasPrefix("s/")
    }

    private static func duplicates(
        of number: Int,
        _ message: Ledger.Published,
        _ arrived: [Ledger.Arrival],
        _ simulation: Simulation,
        _ expectations: Expectations,
        _ group: SharedGroup
    ) -> [String] {
        guard arrived.count > 1 else { return [] }
        let all = arrived.map { "client-\($0.client) at \($0.at / 1_000)" }.joined(separator: ", ")
        let exact = arrived.filter { $0.qos == .exactlyOnce }
        if exact.count > 1, expectations.isExact(from: message.node, at: exact[0].client) {
            return ["shared: m\(number) came to \(group) twice with QoS 2: \(all)"]
        }
        // Whoever sends it again makes a second message of it: with QoS 1 a publisher, and a link, may.
        guard message.node == group.node, message.qos < .exactlyOnce || message.publisher < 0,
            let sentAt = message.sentAt,
            message.publisher < 0 || (simulation.ledger.departures[message.publisher] ?? 0) < sentAt
        else { return [] }
        for (first, second) in zip(arrived, arrived.dropFirst()) where first.qos < .exactlyOnce {
            guard (simulation.ledger.departures[first.client] ?? 0) < first.at else { continue }
            // What was on its way over a line when the node lost it may arrive behind what another got in its place.
            let losses = simulation.ledger.losses[MQTTString(simulation.clients[second.client].name)] ?? []
            if losses.contains(where: { sentAt < $0 && $0 <= first.at }) { continue }
            return [
                "shared: m\(number) came to \(group) again, to client-\(second.client), and client-\(first.client) is "
                    + "still there: \(all)"
            ]
        }
        return []
    }

    private static func disorder(
        _ arrivals: [Int: [Ledger.Arrival]],
        _ ledger: Ledger,
        _ expectations: Expectations,
        _ group: SharedGroup,
        isByPublisher: Bool
    ) -> [String] {
        var problems: [String] = []
        var highest: [Stream: Int] = [:]
        let firsts = arrivals.values.compactMap { $0.min { $0.at < $1.at } }
        for arrival in firsts.sorted(by: { $0.at == $1.at ? $0.message < $1.message : $0.at < $1.at }) {
            let message = ledger.published[arrival.message]
            // What comes over HTTP has no publisher. What was begun with QoS 2 waits for the member that it was begun
            // with, and others do not wait for it.
            guard message.qos == .atLeastOnce, message.publisher >= 0 || !isByPublisher,
                expectations.isExpected(arrival.message, message, at: group),
                expectations.isExact(from: message.node, at: arrival.client), expectations.keepsItsPlace(message)
            else { continue }
            let stream = Stream(
                publisher: message.publisher, topic: message.topic, qos: message.qos, granted: arrival.qos)
            let before = highest[stream] ?? -1
            if arrival.message < before {
                problems.append(
                    "shared: out of order: m\(arrival.message) of client-\(message.publisher) to \(message.topic) came to "
                        + "\(group) at \(arrival.at / 1_000), after m\(before)"
                )
            }
            highest[stream] = max(before, arrival.message)
        }
        return problems
    }
}
