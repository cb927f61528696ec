import MQTTCodec

/// Who subscribed to what: a trie over flat arrays linked by integers. A change raises `generation`, which ends the
/// routes that were cached before.
struct SubscriptionTree {
    struct Subscriber {
        /// Slot of the session in its shard.
        let slot: Int32
        var options: SubscriptionOptions
        var identifier: UInt32?
    }

    private struct Node {
        var plusChild: Int32 = -1
        var children: Int32 = 0
        var parent: Int32 = -1
        var level: MQTTString = ""
    }

    private var nodes: [Node] = [Node()]
    /// Two for each node: subscribers of the filter that ends there, and of `…/#`.
    private var lists: [[Subscriber]] = [[], []]
    /// Where everybody is in the lists that are too long to look through whenever somebody comes or goes.
    private var places: [Int: [Int32: Int]] = [:]
    private static let lookedThroughMax = 64
    private var edges: [TopicEdge: Int32] = [:]
    private var free: [Int32] = []
    private(set) var generation: UInt64 = 1

    /// Adds a subscription or replaces the one of the same session and filter [5:MQTT-3.8.4-3].
    ///
    /// - Complexity: the levels of the filter, however many sessions have the same.
    mutating func insert(_ filter: MQTTString, _ subscriber: Subscriber) {
        generation &+= 1
        let (node, isSubtree) = path(of: filter)
        let list = Self.list(of: node, isSubtree)
        if let place = place(of: subscriber.slot, in: list) {
            lists[list][place] = subscriber
            return
        }
        let count = lists[list].count
        lists[list].append(subscriber)
        if count == Self.lookedThroughMax {
            places[list] = Dictionary(uniqueKeysWithValues: lists[list].enumerated().map { ($1.slot, $0) })
        } else {
            places[list]?[subscriber.slot] = count
        }
    }

    /// - Complexity: the levels of the filter, however many sessions have the same.
    mutating func remove(_ filter: MQTTString, slot: Int32) {
        var node: Int32 = 0
        var levels = filter.levels
        let isSubtree = levels.last == "#"
        if isSubtree { levels.removeLast() }
        for level in levels {
            guard let child = child(of: node, level) else { return }
            node = child
        }
        let list = Self.list(of: node, isSubtree)
        guard let place = place(of: slot, in: list) else { return }
        generation &+= 1
        // The last one takes its place.
        lists[list].swapAt(place, lists[list].count - 1)
        lists[list].removeLast()
        if lists[list].count == Self.lookedThroughMax {
            places[list] = nil
        } else if places[list] != nil {
            places[list]?[slot] = nil
            if place < lists[list].count { places[list]?[lists[list][place].slot] = place }
        }
        prune(node)
    }

    private static func list(of node: Int32, _ isSubtree: Bool) -> Int { 2 * Int(node) + (isSubtree ? 1 : 0) }

    private func place(of slot: Int32, in list: Int) -> Int? {
        guard lists[list].count > Self.lookedThroughMax else { return lists[list].firstIndex { $0.slot == slot } }
        return places[list]?[slot]
    }

    /// Calls `body` with every subscriber whose filter matches the topic, filter by filter; a session with overlapping
    /// subscriptions comes several times. Iterative: depth is bounded by the levels of the topic, steps by the nodes
    /// of the tree.
    // [5:MQTT-3.3.2-3] [311:MQTT-3.3.2-3]
    func forEachMatch(_ topic: MQTTString, _ body: (Subscriber) -> Void) {
        let levels = topic.levels
        let isReserved = topic.isReserved
        var stack: [(node: Int32, depth: Int)] = [(0, 0)]
        while let (number, depth) = stack.popLast() {
            // `sport/#` also matches `sport` (§4.7.1.2); at the first level wildcards spare `$` topics.
            if !(isReserved && depth == 0) { lists[Self.list(of: number, true)].forEach(body) }
            guard depth < levels.count else {
                lists[Self.list(of: number, false)].forEach(body)
                continue
            }
            let plusChild = nodes[Int(number)].plusChild
            if plusChild >= 0, !(isReserved && depth == 0) { stack.append((plusChild, depth + 1)) }
            if let child = edges[TopicEdge(parent: number, level: levels[depth])] { stack.append((child, depth + 1)) }
        }
    }

    /// Whether a filter begins with this level, or did once.
    func hasBranch(_ level: MQTTString) -> Bool { edges[TopicEdge(parent: 0, level: level)] != nil }

    private func child(of node: Int32, _ level: MQTTString) -> Int32? {
        if level == "+" {
            let child = nodes[Int(node)].plusChild
            return child >= 0 ? child : nil
        }
        return edges[TopicEdge(parent: node, level: level)]
    }

    private mutating func path(of filter: MQTTString) -> (node: Int32, isSubtree: Bool) {
        var node: Int32 = 0
        var levels = filter.levels
        let isSubtree = levels.last == "#"
        if isSubtree { levels.removeLast() }
        for level in levels {
            if let child = child(of: node, level) {
                node = child
                continue
            }
            let new: Int32
            if let place = free.popLast() {
                new = place
                nodes[Int(place)] = Node()
            } else {
                new = Int32(nodes.count)
                nodes.append(Node())
                lists.append([])
                lists.append([])
            }
            nodes[Int(new)].parent = node
            nodes[Int(new)].level = level
            nodes[Int(node)].children += 1
            if level == "+" {
                nodes[Int(node)].plusChild = new
            } else {
                edges[TopicEdge(parent: node, level: level)] = new
            }
            node = new
        }
        return (node, isSubtree)
    }

    /// Gives back the nodes that nobody needs any more, from this one up.
    private mutating func prune(_ start: Int32) {
        var number = start
        while number != 0 {
            let node = nodes[Int(number)]
            guard node.children == 0, lists[Self.list(of: number, false)].isEmpty,
                lists[Self.list(of: number, true)].isEmpty
            else { return }
            if node.level == "+" {
                nodes[Int(node.parent)].plusChild = -1
            } else {
                edges[TopicEdge(parent: node.parent, level: node.level)] = nil
            }
            nodes[Int(node.parent)].children -= 1
            nodes[Int(number)] = Node()
            lists[Self.list(of: number, false)] = []
            lists[Self.list(of: number, true)] = []
            free.append(number)
            number = node.parent
        }
    }
}
