package import MQTTCodec

/// The last retained message of each topic [5:MQTT-3.3.1-5], found by topic or by filter. No session has a part in it
/// [311:MQTT-3.1.2-7].
package struct RetainedMessages {
    private struct Node {
        var message: Message?
        /// The value of `changes` that it came with.
        var change: UInt64 = 0
        /// Who published it, where rules may revoke that; nil for links, and for what a restart brought back.
        var publisher: AccessSubject?
        /// Whether it was published here, since the start, and did not come over a link of this node.
        var isOurs = false
        /// Names of the children: sorted when they are matched, since behaviour never depends on the order of a set.
        var children: Set<MQTTString> = []
        var parent: Int32 = -1
        var level: MQTTString = ""
    }

    private var nodes: [Node] = [Node()]
    private var edges: [TopicEdge: Int32] = [:]
    private var free: [Int32] = []
    /// The node at which the search for expired messages goes on.
    private var sweep = 0
    /// Those of clients: what the server keeps under `$SYS` takes nobody's room.
    package private(set) var count = 0
    /// Grows with every message that is retained.
    private(set) var changes: UInt64 = 0

    package init() {}

    package mutating func set(_ message: Message) { set(message, publisher: nil) }

    mutating func set(_ message: Message, publisher: AccessSubject?, isOurs: Bool = false) {
        var number: Int32 = 0
        for level in message.topic.levels { number = child(of: number, level) }
        if nodes[Int(number)].message == nil, !message.topic.isServers { count += 1 }
        changes &+= 1
        nodes[Int(number)].message = message
        nodes[Int(number)].change = changes
        nodes[Int(number)].publisher = publisher
        nodes[Int(number)].isOurs = isOurs
    }

    /// The message of a topic is to count as one that came just now.
    mutating func touch(_ topic: MQTTString) {
        guard let number = find(topic), nodes[Int(number)].message != nil else { return }
        changes &+= 1
        nodes[Int(number)].change = changes
    }

    package mutating func remove(_ topic: MQTTString) {
        guard var number = find(topic), nodes[Int(number)].message != nil else { return }
        nodes[Int(number)].message = nil
        nodes[Int(number)].publisher = nil
        if !topic.isServers { count -= 1 }
        while number != 0, nodes[Int(number)].message == nil, nodes[Int(number)].children.isEmpty {
            let (parent, level) = (nodes[Int(number)].parent, nodes[Int(number)].level)
            edges[TopicEdge(parent: parent, level: level)] = nil
            nodes[Int(parent)].children.remove(level)
            nodes[Int(number)] = Node()
            free.append(number)
            number = parent
        }
    }

    /// Looks at so many nodes, round and round.
    ///
    /// - Returns: topics whose messages have expired; they are still there.
    mutating func expired(at wall: Timestamp, among count: Int) -> [MQTTString] {
        var found: [MQTTString] = []
        for _ in 0..<min(count, nodes.count) {
            sweep = sweep + 1 < nodes.count ? sweep + 1 : 0
            if let message = nodes[sweep].message, let expiry = message.expiry, expiry <= wall {
                found.append(message.topic)
            }
        }
        return found
    }

    package subscript(topic topic: MQTTString) -> Message? {
        find(topic).flatMap { nodes[Int($0)].message }
    }

    /// The message of a topic, unless it came after `changes` had this value.
    func message(of topic: MQTTString, upTo change: UInt64) -> Message? {
        find(topic).flatMap { nodes[Int($0)].change <= change ? nodes[Int($0)].message : nil }
    }

    func isOurs(_ topic: MQTTString) -> Bool { find(topic).map { nodes[Int($0)].isOurs } ?? false }

    func publisher(of topic: MQTTString) -> AccessSubject? { find(topic).flatMap { nodes[Int($0)].publisher } }

    /// Topics that match the filter, in the order of their levels. O(nodes below the fixed part of the filter).
    package func topics(matching filter: MQTTString) -> [MQTTString] { search(filter).topics }

    /// As `topics(matching:)`, with the number of nodes that were looked at: what the answer cost.
    func search(_ filter: MQTTString) -> (topics: [MQTTString], steps: Int) {
        let levels = filter.levels
        var found: [MQTTString] = []
        var stack: [(node: Int32, depth: Int)] = [(0, 0)]
        var steps = 0
        while let (number, depth) = stack.popLast() {
            steps += 1
            let node = nodes[Int(number)]
            guard depth < levels.count else {
                if let message = node.message { found.append(message.topic) }
                continue
            }
            switch levels[depth] {
            case "#":
                // The node itself too: `sport/#` matches `sport` (§4.7.1.2). Children stay at this depth of the filter,
                // so that `#` goes on matching below them.
                if let message = node.message { found.append(message.topic) }
                for child in sortedChildren(number, node) { stack.append((child, depth)) }
            case "+":
                steps += node.children.count
                for child in sortedChildren(number, node) { stack.append((child, depth + 1)) }
            default:
                if let child = edges[TopicEdge(parent: number, level: levels[depth])] {
                    stack.append((child, depth + 1))
                }
            }
        }
        return (found, steps)
    }

    /// Children in falling order, so that the stack gives them in rising order; `$` topics hide from wildcards at the
    /// first level [5:MQTT-4.7.2-1].
    private func sortedChildren(_ number: Int32, _ node: Node) -> [Int32] {
        node.children
            .filter { !(number == 0 && $0.isReserved) }
            .sorted { $0.string.utf8.lexicographicallyPrecedes($1.string.utf8) }
            .reversed()
            .compactMap { edges[TopicEdge(parent: number, level: $0)] }
    }

    private func find(_ topic: MQTTString) -> Int32? {
        var number: Int32 = 0
        for level in topic.levels {
            guard let child = edges[TopicEdge(parent: number, level: level)] else { return nil }
            number = child
        }
        return number
    }

    private mutating func child(of parent: Int32, _ level: MQTTString) -> Int32 {
        if let child = edges[TopicEdge(parent: parent, level: level)] { return child }
        let new: Int32
        if let place = free.popLast() {
            new = place
        } else {
            new = Int32(nodes.count)
            nodes.append(Node())
        }
        nodes[Int(new)].parent = parent
        nodes[Int(new)].level = level
        nodes[Int(parent)].children.insert(level)
        edges[TopicEdge(parent: parent, level: level)] = new
        return new
    }
}
