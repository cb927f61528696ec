import DequeModule

/// Work that waits, a queue for each key, served in turn: whoever brings much waits for itself and not before others.
package struct FairQueue<Key: Hashable, Element> {
    private var queues: [Key: Deque<Element>] = [:]
    /// Keys with something in their queue, the next to be served first.
    private var turns: Deque<Key> = []
    package private(set) var count = 0
    private let countMax: Int
    private let countPerKeyMax: Int

    package init(countMax: Int, countPerKeyMax: Int) {
        self.countMax = countMax
        self.countPerKeyMax = countPerKeyMax
    }

    /// - Returns: false when there is no room, for this key or for any.
    package mutating func append(_ element: Element, of key: Key) -> Bool {
        let own = queues[key]?.count ?? 0
        guard count < countMax, own < countPerKeyMax else { return false }
        if own == 0 { turns.append(key) }
        queues[key, default: []].append(element)
        count += 1
        return true
    }

    /// The oldest of the key whose turn it is.
    package mutating func popFirst() -> Element? {
        guard let key = turns.popFirst(), let element = queues[key]?.popFirst() else { return nil }
        count -= 1
        if queues[key]?.isEmpty == true { queues[key] = nil } else { turns.append(key) }
        return element
    }
}
