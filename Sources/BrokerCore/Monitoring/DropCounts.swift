/// Why a message that was taken in will not reach a receiver: the one list of reasons, in memory and on disk, in
/// `drawbridge ctl` and under `$SYS`.
package enum DropReason: String, Sendable, Hashable, CaseIterable {
    /// It was the oldest of a full queue.
    case oldest
    /// It came to a full queue that keeps what it has.
    case newest
    /// It waited for longer than its queue keeps messages.
    case aged
    /// The receiver has answered so many messages behind one that it has not, that no more can be remembered.
    case holes
    /// It was of QoS 0, which nobody keeps, and the receiver was not there.
    case away
    /// It was of QoS 0, and the receiver does not read: what is written to it has grown too much.
    case buffer
    /// Its time was over before it could be sent.
    case expired
    /// It is larger than the packets that the receiver takes.
    case tooLarge = "too_large"
    /// The receiver answered that it does not take it.
    case rejected
    /// Access rules keep it from the receiver.
    case denied
    /// All packet identifiers of the receiver are taken.
    case noIdentifier = "no_identifier"
    /// The rules of the link that it was for have no name for it: what a template wants is not there, or the name is none.
    case unnamed
    /// Its row was damaged.
    case damaged
    /// SQLite did not take it, for a reason that is its own and not the disk's.
    case setAside = "set_aside"
    /// The session ended while it waited.
    case ended
    /// Somebody took it out of the queue: `drawbridge ctl link NAME drop`.
    case removed
    /// It is in a file now: `drawbridge ctl link NAME export`.
    case exported
    /// It had been put aside, and is in the queue of its link again: `drawbridge ctl link NAME replay`.
    case replayed

    /// What a shard says of a message of the spool, as it is counted.
    package init(_ reason: GivenUpReason) {
        self =
            switch reason {
            case .expired: .expired
            case .tooLarge: .tooLarge
            case .rejected: .rejected
            case .denied: .denied
            case .vanished: .damaged
            case .ended: .ended
            }
    }

    /// Why a command took a message out of a queue, as it is counted.
    package init(_ reason: RemovalReason) {
        self =
            switch reason {
            case .dropped: .removed
            case .exported: .exported
            case .replayed: .replayed
            }
    }
}

/// How many messages were dropped, by reason. Plain integers, so that counting one costs one increment and telling
/// them costs no allocation.
package struct DropCounts: Sendable, Hashable {
    private var oldest: UInt64 = 0
    private var newest: UInt64 = 0
    private var aged: UInt64 = 0
    private var holes: UInt64 = 0
    private var away: UInt64 = 0
    private var buffer: UInt64 = 0
    private var expired: UInt64 = 0
    private var tooLarge: UInt64 = 0
    private var rejected: UInt64 = 0
    private var denied: UInt64 = 0
    private var noIdentifier: UInt64 = 0
    private var unnamed: UInt64 = 0
    private var damaged: UInt64 = 0
    private var setAside: UInt64 = 0
    private var ended: UInt64 = 0
    private var removed: UInt64 = 0
    private var exported: UInt64 = 0
    private var replayed: UInt64 = 0

    package init() {}

    package subscript(_ reason: DropReason) -> UInt64 {
        get {
            switch reason {
            case .oldest: oldest
            case .newest: newest
            case .aged: aged
            case .holes: holes
            case .away: away
            case .buffer: buffer
            case .expired: expired
            case .tooLarge: tooLarge
            case .rejected: rejected
            case .denied: denied
            case .noIdentifier: noIdentifier
            case .unnamed: unnamed
            case .damaged: damaged
            case .setAside: setAside
            case .ended: ended
            case .removed: removed
            case .exported: exported
            case .replayed: replayed
            }
        }
        set {
            switch reason {
            case .oldest: oldest = newValue
            case .newest: newest = newValue
            case .aged: aged = newValue
            case .holes: holes = newValue
            case .away: away = newValue
            case .buffer: buffer = newValue
            case .expired: expired = newValue
            case .tooLarge: tooLarge = newValue
            case .rejected: rejected = newValue
            case .denied: denied = newValue
            case .noIdentifier: noIdentifier = newValue
            case .unnamed: unnamed = newValue
            case .damaged: damaged = newValue
            case .setAside: setAside = newValue
            case .ended: ended = newValue
            case .removed: removed = newValue
            case .exported: exported = newValue
            case .replayed: replayed = newValue
            }
        }
    }

    /// Replaces what a receiver had added to a sum.
    package mutating func replace(_ old: DropCounts, by new: DropCounts) {
        for reason in DropReason.allCases { self[reason] = self[reason] &+ new[reason] &- old[reason] }
    }

    package mutating func add(_ more: DropCounts) { replace(DropCounts(), by: more) }

    package var total: UInt64 { DropReason.allCases.reduce(0) { $0 &+ self[$1] } }

    /// Those that went because there was no room for them, or nobody to take them in time.
    package var forWantOfRoom: UInt64 { oldest &+ newest &+ aged &+ holes &+ away &+ buffer &+ noIdentifier }

    /// Those that are not zero.
    package var byReason: [DropReason: UInt64] {
        var counts: [DropReason: UInt64] = [:]
        for reason in DropReason.allCases where self[reason] > 0 { counts[reason] = self[reason] }
        return counts
    }
}
