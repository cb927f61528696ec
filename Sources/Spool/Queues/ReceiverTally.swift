/// Why a message that was taken in will not reach a receiver.
package enum DropReason: String, Sendable, Hashable, CaseIterable {
    /// It was the oldest of a full queue.
    case oldest
    /// It came to a full queue that keeps what it has.
    case newest
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
    mutating func replace(_ old: DropCounts, by new: DropCounts) {
        for reason in DropReason.allCases { self[reason] = self[reason] &+ new[reason] &- old[reason] }
    }

    package var total: UInt64 { oldest + newest + expired + tooLarge + rejected + denied + damaged + setAside + ended }

    /// Those that are not zero.
    package var byReason: [DropReason: UInt64] {
        var counts: [DropReason: UInt64] = [:]
        for reason in DropReason.allCases where self[reason] > 0 { counts[reason] = self[reason] }
        return counts
    }
}

/// The books of one receiver, or of all of them together, since the spool was opened. They close to the message:
///
///     restored + taken = delivered + waiting + dropped
package struct ReceiverTally: Sendable, Hashable {
    /// What waited when the spool was opened.
    package internal(set) var restored: UInt64 = 0
    /// What was accepted for the receiver since.
    package internal(set) var taken: UInt64 = 0
    /// What it acknowledged.
    package internal(set) var delivered: UInt64 = 0
    package internal(set) var dropped = DropCounts()
    package internal(set) var waiting = 0
    /// Of the messages that wait.
    package internal(set) var bytes = 0
    /// The first position that waits; 0 when none does.
    package internal(set) var first: UInt64 = 0

    package init() {}

    /// False when a message was counted twice or not at all.
    package var isClosed: Bool { restored + taken == delivered + UInt64(waiting) + dropped.total }

    /// Replaces what a receiver had added to a sum.
    mutating func replace(_ old: ReceiverTally, by new: ReceiverTally) {
        restored = restored &+ new.restored &- old.restored
        taken = taken &+ new.taken &- old.taken
        delivered = delivered &+ new.delivered &- old.delivered
        if new.dropped != old.dropped { dropped.replace(old.dropped, by: new.dropped) }
        waiting += new.waiting - old.waiting
        bytes += new.bytes - old.bytes
    }

    /// Messages for a receiver that was gone before they were written.
    mutating func missed(_ count: Int) {
        taken += UInt64(count)
        dropped[.ended] += UInt64(count)
    }
}
