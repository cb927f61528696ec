import DequeModule
import MQTTCodec

/// Deletions of retained messages: a value of before the deletion, that comes later by another way, must not come back to
/// life by it, and an upstream that was not there at the time has to hear of it.
///
/// Where there is neither a link of this node nor one to it, nothing of that can happen, and none are kept. The oldest go
/// when there are too many: what is forgotten too early may let an old value return, and loses nothing.
struct RetainedTombstones {
    static let countMax = 16_384
    /// As long as an upstream keeps the session of a link, unless told otherwise.
    private static let secondsMax: UInt64 = 30 * 86_400

    /// With an empty payload, as they were published.
    private var messages: [MQTTString: Message] = [:]
    /// In the order of their ids here; those that were replaced are still in it.
    private var order: Deque<Message> = []

    subscript(topic: MQTTString) -> Message? { messages[topic] }

    /// - Returns: topics whose tombstones had to go.
    /// - Complexity: O(1) amortised.
    mutating func insert(_ message: Message) -> [MQTTString] {
        messages[message.topic] = message
        order.append(message)
        var gone: [MQTTString] = []
        while let oldest = order.first {
            let isReplaced = messages[oldest.topic] !== oldest
            let isOld = message.id.time.microseconds > oldest.id.time.microseconds &+ Self.secondsMax * 1_000_000
            guard isReplaced || isOld || messages.count > Self.countMax else { break }
            order.removeFirst()
            guard !isReplaced else { continue }
            messages[oldest.topic] = nil
            gone.append(oldest.topic)
        }
        if order.count > Self.countMax * 2 { order.removeAll { messages[$0.topic] !== $0 } }
        return gone
    }

    mutating func remove(_ topic: MQTTString) { messages[topic] = nil }

    /// Those that match the filter, oldest first. O(all of them).
    func matching(_ filter: TopicFilter) -> [Message] {
        order.filter { messages[$0.topic] === $0 && filter.matches($0.topic) }
    }
}
