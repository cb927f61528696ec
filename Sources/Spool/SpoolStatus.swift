package import BrokerCore
import Synchronization

/// Whether commits succeed.
package enum SpoolState: Sendable, Hashable {
    case ok
    /// Batches fail since this wall time; nothing is announced until one succeeds. `reason` is for the operator.
    case failing(since: Timestamp, reason: String)
}

/// Why a message that was taken in will not reach a receiver.
package enum DropReason: Sendable, Hashable, CaseIterable {
    /// It was the oldest of a full queue.
    case oldest
    /// It came to a full queue that keeps what it has.
    case newest
    /// Its row was damaged.
    case damaged
    /// SQLite did not take it, for a reason that is its own and not the disk's.
    case setAside
}

/// Totals since the spool was opened.
package struct SpoolStatistics: Sendable, Hashable {
    /// Transactions committed.
    package var commits: UInt64 = 0
    /// Messages that became rows.
    package var rowsWritten: UInt64 = 0
    /// Messages that needed no row: everybody had acknowledged them before their batch was written, or nobody waited.
    package var rowsElided: UInt64 = 0
    /// Messages that receivers will not get, each counted once for each of them.
    package var messagesDropped: UInt64 = 0
    /// The same by reason.
    package var dropped: [DropReason: UInt64] = [:]
    /// Commits that were made sure of although the mode is a weaker one.
    package var commitsDemanded: UInt64 = 0
    /// Records that SQLite did not take; they are in the table `aside`, as far as it took that.
    package var recordsSetAside: UInt64 = 0
    /// Attempts to write a batch that failed.
    package var failures: UInt64 = 0
    /// Rows whose checksum or form was wrong. They are skipped and never delivered; messages move to the table `aside`.
    package var damagedRows: UInt64 = 0

    package init() {}
}

/// What the threads of the spool tell everybody else: written by them, read by anyone.
final class SpoolStatus: Sendable {
    private struct Values {
        var state = SpoolState.ok
        var statistics = SpoolStatistics()
        var depths: [ReceiverID: Int] = [:]
        var drops: [ReceiverID: [DropReason: UInt64]] = [:]
        var refusal: SpoolRefusal?
        /// Positions of damaged rows, so that a row that is read often counts once.
        var damaged: Set<UInt64> = []
    }

    private let values = Mutex(Values())

    var state: SpoolState { values.withLock { $0.state } }
    var statistics: SpoolStatistics { values.withLock { $0.statistics } }

    func depth(of receiver: ReceiverID) -> Int { values.withLock { $0.depths[receiver] ?? 0 } }

    func drops(of receiver: ReceiverID) -> [DropReason: UInt64] { values.withLock { $0.drops[receiver] ?? [:] } }

    var refusal: SpoolRefusal? { values.withLock { $0.refusal } }

    func refuses(_ refusal: SpoolRefusal?) { values.withLock { $0.refusal = refusal } }

    func failed(at wall: Timestamp, _ error: SpoolError) {
        values.withLock { values in
            values.statistics.failures += 1
            if case .failing(let since, _) = values.state {
                values.state = .failing(since: since, reason: error.description)
            } else {
                values.state = .failing(since: wall, reason: error.description)
            }
        }
    }

    /// A batch is on disk: the depths that it changed, nil for receivers that are gone.
    func committed(_ batch: Batch, count: (inout SpoolStatistics) -> Void) {
        values.withLock { values in
            values.state = .ok
            count(&values.statistics)
            Self.take(batch, into: &values)
        }
    }

    /// The depths and drops of something that was not a commit.
    func changed(_ batch: Batch) { values.withLock { Self.take(batch, into: &$0) } }

    func recovered() { values.withLock { $0.state = .ok } }

    private static func take(_ batch: Batch, into values: inout Values) {
        for dropped in batch.dropped {
            let count = UInt64(dropped.messages)
            values.statistics.messagesDropped += count
            values.statistics.dropped[dropped.reason, default: 0] += count
            values.drops[dropped.receiver, default: [:]][dropped.reason, default: 0] += count
        }
        for (receiver, depth) in batch.depths {
            values.depths[receiver] = depth
            if depth == nil { values.drops[receiver] = nil }
        }
    }

    /// True when nobody has found it before.
    @discardableResult
    func foundDamage(at position: UInt64) -> Bool {
        values.withLock { values in
            let isNew = values.damaged.insert(position).inserted
            if isNew { values.statistics.damagedRows += 1 }
            return isNew
        }
    }

    /// A damaged retained message or will; they are read once, at the start.
    func foundDamage() { values.withLock { $0.statistics.damagedRows += 1 } }
}
