import MQTTCodec

/// Messages that came over links lately, with the topic that they have here: in a ring or a mesh each comes by several
/// ways, and only the first one counts. The same message under another topic is another one: somebody mapped it so.
///
/// Two generations, each of half the time: nothing is remembered for less than that, and forgetting costs nothing. A
/// message that is forgotten too early comes twice, and never is one lost that was not there before.
struct SeenMessages {
    private struct Key: Hashable {
        let id: MessageID
        let topic: MQTTString
    }

    /// Of one generation: some 100 bytes each.
    static let countMax = 1 << 18

    private var young: Set<Key> = []
    private var old: Set<Key> = []
    private var turned = Instant(nanoseconds: 0)

    /// - Complexity: O(1).
    mutating func contains(_ id: MessageID, as topic: MQTTString, _ window: Duration, _ now: Instant) -> Bool {
        turn(window, now)
        let key = Key(id: id, topic: topic)
        return young.contains(key) || old.contains(key)
    }

    mutating func insert(_ id: MessageID, as topic: MQTTString) {
        young.insert(Key(id: id, topic: topic))
    }

    private mutating func turn(_ window: Duration, _ now: Instant) {
        let age = now.since(turned)
        guard age >= window / 2 || young.count >= Self.countMax else { return }
        turned = now
        // Of a time of silence nothing is left.
        guard age < window else { return (young, old) = ([], []) }
        swap(&young, &old)
        // Under load it will be as large again.
        young.removeAll(keepingCapacity: true)
    }
}
