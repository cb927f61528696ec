/// Messages of QoS 1 and 2 that one publisher has on their way: which packet identifiers are in use, and when their
/// messages should have been sent. A ring of a power of two, so that an identifier is an index.
struct PacketFlight {
    enum Stage: UInt8 {
        case free
        /// PUBLISH was sent; PUBACK or PUBREC is due.
        case sent
        /// PUBREL was sent; PUBCOMP is due.
        case released
    }

    private var stages: [Stage]
    private var intended: [UInt64]
    private var next = 0
    private let isExactlyOnce: Bool
    private(set) var count = 0

    /// - Parameter inflightMax: 1...30,000.
    init(inflightMax: Int, isExactlyOnce: Bool) {
        // Twice as many as are on their way: a late acknowledgement meets a free one and is seen.
        var size = 4
        while size < inflightMax * 2, size < 32_768 { size *= 2 }
        stages = Array(repeating: .free, count: size)
        intended = Array(repeating: 0, count: size)
        self.isExactlyOnce = isExactlyOnce
    }

    /// An identifier for one more message; nil when none is free.
    mutating func take(intended time: UInt64) -> UInt16? {
        guard count < stages.count else { return nil }
        while stages[next] != .free { next = (next + 1) & (stages.count - 1) }
        let index = next
        stages[index] = .sent
        intended[index] = time
        next = (next + 1) & (stages.count - 1)
        count += 1
        return UInt16(truncatingIfNeeded: index + 1)
    }

    /// PUBACK or PUBCOMP came, or a PUBREC that refuses.
    ///
    /// - Returns: when the message should have been sent; nil when nothing like that is on its way.
    mutating func settle(_ id: UInt16, isRefusal: Bool = false) -> UInt64? {
        let index = Int(id) - 1
        let due: Stage = isExactlyOnce && !isRefusal ? .released : .sent
        guard stages.indices.contains(index), stages[index] == due else { return nil }
        stages[index] = .free
        count -= 1
        return intended[index]
    }

    /// PUBREC came: whether a PUBREL is the answer.
    mutating func release(_ id: UInt16) -> Bool {
        let index = Int(id) - 1
        guard isExactlyOnce, stages.indices.contains(index), stages[index] == .sent else { return false }
        stages[index] = .released
        return true
    }
}
