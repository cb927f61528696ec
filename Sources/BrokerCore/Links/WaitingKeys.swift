package import MQTTCodec

/// Which topics, and whose messages, wait for a link, so that a message whose topic and publisher have nothing waiting
/// may go ahead of those that wait.
///
/// For each of them the highest position that waits is kept: what is at or before the cursor waits no longer, and nothing
/// has to be taken out one by one. Two strings of one hash make a message wait that need not, and never the other way.
///
/// What has little waiting is light: its messages are listed by their positions and go before the rest, so that a topic
/// with ten messages does not wait for another with a million. A message is light when its topic and its publisher are,
/// and one that is not makes both heavy, until nothing of them waits: so neither is ever overtaken by itself.
package struct WaitingKeys: Sendable {
    fileprivate struct Key: Sendable {
        var last: UInt64
        var count: UInt32
        var isHeavy: Bool
    }

    private let limits: LaneLimits
    private var keys: [UInt64: Key] = [:]
    /// Up to here anything may wait.
    package private(set) var unknownThrough = Position.zero

    package init(_ limits: LaneLimits = LaneLimits()) { self.limits = limits }

    package var isEmpty: Bool { keys.isEmpty && unknownThrough == .zero }

    /// A message waits at a position.
    ///
    /// - Parameters:
    ///   - publisher: the key of its publisher, if that keeps its order.
    ///   - cursor: up to here nothing waits.
    ///   - listedThrough: up to here nothing waits that is light.
    ///   - mayBeLight: whether there is room in the list.
    /// - Returns: whether it is light.
    /// - Complexity: O(1); O(keys) when there are too many.
    package mutating func wait(
        _ topic: UInt64,
        _ publisher: UInt64?,
        at position: Position,
        cursor: Position = .zero,
        listedThrough: Position = .zero,
        mayBeLight: Bool = true
    ) -> Bool {
        guard makeRoom(cursor) else {
            unknownThrough = max(unknownThrough, position)
            return false
        }
        var first = key(topic, cursor, listedThrough)
        var second = publisher.map { key($0, cursor, listedThrough) }
        let isLight = mayBeLight && isLight(first) && second.map(isLight) ?? true
        first.waits(at: position, isLight)
        second?.waits(at: position, isLight)
        keys[topic] = first
        if let publisher, let second { keys[publisher] = second }
        return isLight
    }

    package mutating func isUnknown(through position: Position) { unknownThrough = max(unknownThrough, position) }

    package func waits(_ key: UInt64, after cursor: Position, listedThrough: Position = .zero) -> Bool {
        unknownThrough > cursor || keys[key].map { $0.isWaiting(cursor, listedThrough) } ?? false
    }

    package mutating func removeAll() {
        keys = [:]
        unknownThrough = .zero
    }

    private func isLight(_ key: Key) -> Bool { !key.isHeavy && key.count < limits.light }

    private func key(_ key: UInt64, _ cursor: Position, _ listedThrough: Position) -> Key {
        guard let known = keys[key], known.isWaiting(cursor, listedThrough) else {
            return Key(last: 0, count: 0, isHeavy: false)
        }
        return known
    }

    /// Two keys may come.
    private mutating func makeRoom(_ cursor: Position) -> Bool {
        guard keys.count + 2 > limits.keys else { return true }
        // Looked through once for each time that all of it is unknown.
        if unknownThrough <= cursor { keys = keys.filter { $0.value.last > cursor.number } }
        return keys.count + 2 <= limits.keys
    }

    package static func key(ofTopic topic: MQTTString) -> UInt64 { hash(topic.utf8, from: 0xCBF2_9CE4_8422_2325) }

    /// - Parameters:
    ///   - publisher: nil for those who have no name, who count as one.
    ///   - mark: of what came over links. The client that published it is not known here, and its messages may come by
    ///     several links: all that were published at one node count as those of one publisher.
    package static func key(ofPublisher publisher: MQTTString?, _ mark: LinkMark?) -> UInt64 {
        guard let mark, mark.hops > 0 else { return hash((publisher ?? "").utf8, from: 0x9E37_79B9_7F4A_7C15) }
        let node = mark.id.node
        let bytes = (0..<6).lazy.map { UInt8(truncatingIfNeeded: node >> ($0 * 8)) }
        return hash(bytes, from: 0xC2B2_AE3D_27D4_EB4F)
    }

    /// FNV-1a: the same in every process, since the spool makes keys too.
    private static func hash(_ bytes: some Sequence<UInt8>, from start: UInt64) -> UInt64 {
        var hash = start
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return hash
    }
}

extension WaitingKeys.Key {
    fileprivate func isWaiting(_ cursor: Position, _ listedThrough: Position) -> Bool {
        last > cursor.number && (isHeavy || last > listedThrough.number)
    }

    fileprivate mutating func waits(at position: Position, _ isLight: Bool) {
        last = max(last, position.number)
        count &+= 1
        if !isLight { isHeavy = true }
    }
}

/// What waits for a link, as the spool finds it when it is opened.
package struct WaitingForLink: Sendable {
    package private(set) var keys: WaitingKeys
    /// Those that are listed: light ones with priority 0, and all that have one.
    package private(set) var listed: [(position: Position, priority: UInt8)] = []
    private let limits: LaneLimits

    package init(_ limits: LaneLimits = LaneLimits()) {
        self.limits = limits
        keys = WaitingKeys(limits)
    }

    package mutating func insert(
        _ topic: MQTTString,
        from publisher: MQTTString?,
        _ mark: LinkMark?,
        priority: UInt8,
        at position: Position
    ) {
        let isListed = keys.wait(
            WaitingKeys.key(ofTopic: topic),
            priority > 0 ? nil : WaitingKeys.key(ofPublisher: publisher, mark),
            at: position,
            mayBeLight: listed.count < limits.list
        )
        if isListed { listed.append((position, priority)) }
    }
}
