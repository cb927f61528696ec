import MQTTCodec

/// Messages that came over links lately, with the topic that they have here: in a ring or a mesh each comes by several
/// ways, and only the first one counts. The same message under another topic is another one: somebody mapped it so.
///
/// Two generations, each of half the time: nothing is remembered for less than that, and forgetting costs nothing. A
/// message that is forgotten too early comes twice. Names and topics are compared by their time and a hash of 63 bits.
struct SeenMessages {
    /// Of one generation: 16 bytes each, or 48.
    static let countMax = 1 << 18

    private var names = RecentMessages()
    private var turned = Instant(nanoseconds: 0)
    private var turns = Instant(nanoseconds: 0)

    /// - Complexity: that of `RecentMessages`.
    mutating func contains(_ id: MessageID, as topic: MQTTString, _ window: Duration, _ now: Instant) -> Bool {
        if now >= turns || names.youngCount >= Self.countMax { turn(window, now) }
        return names.contains(id, as: topic)
    }

    mutating func insert(_ id: MessageID, as topic: MQTTString) { names.insert(id, as: topic) }

    private mutating func turn(_ window: Duration, _ now: Instant) {
        // Of a time of silence nothing is left.
        if now.since(turned) < window { names.turn() } else { names.removeAll() }
        turned = now
        turns = now.advanced(by: window / 2)
    }
}
