/// Why a message that was taken in will not reach a receiver.
package enum DropReason: String, Sendable, Hashable, CaseIterable {
    /// It was the oldest of a full queue.
    case oldest
    /// It came to a full queue that keeps what it has.
    case newest
    /// It waited for longer than its queue keeps messages.
    case aged
    /// Its time was over before it could be sent.
    case expired
    /// It is larger than the packets that the receiver takes.
    case tooLarge
    /// The receiver answered that it does not take it.
    case rejected
    /// Access rules keep it from the receiver.
    case denied
    /// Its row was damaged.
    case damaged
    /// SQLite did not take it, for a reason that is its own and not the disk's.
    case setAside
    /// The session ended while it waited.
    case ended
}

/// How many messages were dropped, by reason. Plain integers, so that counting one costs one increment and telling
/// them costs no allocation.
package struct DropCounts: Sendable, Hashable {
    private var oldest: UInt64 = 0
    private var newest: UInt64 = 0
    private var aged: UInt64 = 0
    private var expired: UInt64 = 0
    private var tooLarge: UInt64 = 0
    private var rejected: UInt64 = 0
    private var denied: UInt64 = 0
    private var damaged: UInt64 = 0
    private var setAside: UInt64 = 0
    private var ended: UInt64 = 0

    package init() {}

    package subscript(_ reason: DropReason) -> UInt64 {
        get {
            switch reason {
            case .oldest: oldest
            case .newest: newest
            case .aged: aged
            case .expired: expired
            case .tooLarge: tooLarge
            case .rejected: rejected
            case .denied: denied
            case .damaged: damaged
            case .setAside: setAside
            case .ended: ended
            }
        }
        set {
            switch reason {
            case .oldest: oldest = newValue
            case .newest: newest = newValue
            case .aged: aged = newValue
            case .expired: expired = newValue
            case .tooLarge: tooLarge = newValue
            case .rejected: rejected = newValue
            case .denied: denied = newValue
            case .damaged: damaged = newValue
            case .setAside: setAside = newValue
            case .ended: ended = newValue
            }
        }
    }

    /// Replaces what a receiver had added to a sum.
    package mutating func replace(_ old: DropCounts, by new: DropCounts) {
        for reason in DropReason.allCases { self[reason] = self[reason] &+ new[reason] &- old[reason] }
    }

    package var total: UInt64 {
        oldest + newest + aged + expired + tooLarge + rejected + denied + damaged + setAside + ended
    }

    /// Those that are not zero.
    package var byReason: [DropReason: UInt64] {
        var counts: [DropReason: UInt64] = [:]
        for reason in DropReason.allCases where self[reason] > 0 { counts[reason] = self[reason] }
        return counts
    }
}
