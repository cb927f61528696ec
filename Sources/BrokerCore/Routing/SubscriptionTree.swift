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
        var subscribers: [Subscriber] = []
        /// Subscribers of `…/#` at this node.
        var subtreeSubscribers: [Subscriber] = []
        var plusChild: Int32 = -1
        var children: Int32 = 0
        var parent: Int32 = -1
        var level: MQTTString = ""
    }

    private var nodes: [Node] = [Node()]
    private var edges: [TopicEdge: Int32] = [:]
    private var free: [Int32] = []
    private(set) var generation: UInt64 = 1

    /// Adds a subscription or replaces the one of the same session and filter [5:MQTT-3.8.4-3].
    mutating func insert(_ filter: MQTTString, _ subscriber: Subscriber) {
        generation &+= 1
        let (node, isSubtree) = path(of: filter)
        let index = Int(node)
        if isSubtree {
            Self.replace(in: &nodes[index].subtreeSubscribers, subscriber)
        } else {
            Self.replace(in: &nodes[index].subscribers, subscriber)
        }
    }

    mutating func remove(_ filter: MQTTString, slot: Int32) {
        var node: Int32 = 0
        var levels = filter.levels
        let isSubtree = levels.last == "#"
        if isSubtree { levels.removeLast() }
        for level in levels {
            guard let child = child(of: node, level) else { return }
            node = child
        }
        generation &+= 1
        if isSubtree {
            nodes[Int(node)].subtreeSubscribers.removeAll { $0.slot == slot }
        } else {
            nodes[Int(node)].subscribers.removeAll { $0.slot == slot }
        }
        prune(node)
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
            let node = nodes[Int(number)]
            // `sport/#` also matches `sport` (§4.7.1.2); at the first level wildcards spare `$` topics.
            if !(isReserved && depth == 0) { node.subtreeSubscribers.forEach(body) }
            guard depth < levels.count else {
                node.subscribers.forEach(body)
                continue
            }
            if node.plusChild >= 0, !(isReserved && depth == 0) { stack.append((node.plusChild, depth + 1)) }
            if let child = edges[TopicEdge(parent: number, level: levels[depth])] { stack.append((child, depth + 1)) }
        }
    }

    /// Whether a filter begins with this level, or did once.
    func hasBranch(_ level: MQTTString) -> Bool { edges[TopicEdge(parent: 0, level: level)] != nil }

    private static func replace(in list: inout [Subscriber], _ subscriber: Subscriber) {
        if let index = list.firstIndex(where: { $0.slot == subscriber.slot }) {
            list[index] = subscriber
        } else {
            list.append(subscriber)
        }
    }

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
            guard node.children == 0, node.subscribers.isEmpty, node.subtreeSubscribers.isEmpty else { return }
            if node.level == "+" {
                nodes[Int(node.parent)].plusChild = -1
            } else {
                edges[TopicEdge(parent: node.parent, level: node.level)] = nil
            }
            nodes[Int(node.parent)].children -= 1
            nodes[Int(number)] = Node()
            free.append(number)
            number = node.parent
        }
    }
}
