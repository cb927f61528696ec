import BrokerCore
import MQTTCodec
import NIOCore

/// When all is quiet, every node keeps the retained message that was acknowledged last, in memory and on disk.
enum RetainedAgree {
    static func check(_ simulation: Simulation) -> [String] {
        // An upstream that lost a link's session replays what it had before: an old message may overtake a newer one
        // that is still on its way up, and nothing in MQTT says which of them is newer.
        guard !simulation.upstreamForgot else { return [] }
        var problems: [String] = []
        var last: [MQTTString: Int] = [:]
        var isCertain: [MQTTString: Bool] = [:]
        // The same goes for one that was refused while the next was already under way, and taken later.
        var hasLostPlaces: Set<MQTTString> = []
        for (number, message) in simulation.ledger.published.enumerated() {
            guard message.isRetained, message.sentAt != nil else { continue }
            if message.wasRefused, message.takenAt != nil { hasLostPlaces.insert(message.topic) }
            last[message.topic] = number
            isCertain[message.topic] = message.takenAt != nil
        }
        for topic in last.keys.sorted() {
            guard let number = last[topic], isCertain[topic] == true, !hasLostPlaces.contains(topic) else { continue }
            let home = simulation.ledger.published[number].node
            let expected = simulation.ledger.published[number].isDeletion ? nil : "\(number)"
            for node in simulation.nodes where node.index >= home {
                // A deletion that is remembered, so that an older value does not come back, is none.
                let stored = node.spool.store.retained(topic: topic).map { String(buffer: $0.payload) }
                let kept = stored?.isEmpty == true ? nil : stored
                if kept != expected {
                    problems.append(
                        "retained: node \(node.index) keeps \(kept ?? "nothing") for \(topic), not m\(number)")
                }
                let held = node.shard?.retained[topic: topic].map { String(buffer: $0.payload) }
                if held != expected {
                    problems.append(
                        "retained: node \(node.index) holds \(held ?? "nothing") for \(topic), not m\(number)")
                }
            }
        }
        return problems
    }
}
