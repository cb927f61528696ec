import DequeModule
import MQTTCodec
import NIOCore

/// What was sent to an upstream that sends it back: version 3 has no No Local, and messages there carry nothing that tells
/// a copy of ours from a message of somebody else with the same topic and the same payload. So copies are counted: as many
/// as were sent are taken out of what comes, and no more.
///
/// What is never sent back is forgotten after a while, and the oldest when there are too many: a copy that is forgotten too
/// early goes round once more, and is known then. QoS is no part of it, since the upstream may send with less than it got.
struct EchoTable {
    static let countMax = 1 << 16

    private struct Count {
        /// Sent, and neither returned nor forgotten.
        var out = 0
        /// Returned, of those that are still in `order`.
        var returned = 0
    }

    private var counts: [Int: Count] = [:]
    private var order: Deque<(key: Int, at: Instant)> = []

    /// Those that are awaited, or were, for whoever wants to see that they are bounded.
    var count: Int { order.count }

    /// - Complexity: O(1) amortised, and the hash of the payload.
    mutating func sent(_ topic: MQTTString, _ payload: ByteBuffer, _ now: Instant) {
        let key = Self.key(topic, payload)
        counts[key, default: Count()].out += 1
        order.append((key, now))
        if order.count > Self.countMax { forgetOldest() }
    }

    /// - Returns: whether this is a copy of what was sent; it is taken out then.
    mutating func takes(_ topic: MQTTString, _ payload: ByteBuffer, _ window: Duration, _ now: Instant) -> Bool {
        while let oldest = order.first, now.since(oldest.at) > window { forgetOldest() }
        let key = Self.key(topic, payload)
        guard let count = counts[key], count.out > 0 else { return false }
        counts[key]?.out -= 1
        counts[key]?.returned += 1
        return true
    }

    private mutating func forgetOldest() {
        guard let (key, _) = order.popFirst(), var count = counts[key] else { return }
        if count.returned > 0 { count.returned -= 1 } else { count.out -= 1 }
        counts[key] = count.out + count.returned > 0 ? count : nil
    }

    private static func key(_ topic: MQTTString, _ payload: ByteBuffer) -> Int {
        var hasher = Hasher()
        hasher.combine(topic)
        hasher.combine(payload)
        return hasher.finalize()
    }
}
