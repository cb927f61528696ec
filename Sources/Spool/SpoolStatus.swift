package import BrokerCore
import Foundation
import Synchronization

/// Whether commits succeed, and pages can be read.
package enum SpoolState: Sendable, Hashable {
    case ok
    /// Batches fail since this wall time, and nothing is announced until one succeeds; or some page cannot be read since
    /// then, and whoever is owed it gets nothing of what waits. `reason` is for the operator.
    case failing(since: Timestamp, reason: String)
}

/// Totals since the spool was opened.
package struct SpoolStatistics: Sendable, Hashable {
    /// Transactions committed.
    package var commits: UInt64 = 0
    /// Messages that became rows.
    package var rowsWritten: UInt64 = 0
    /// Messages that needed no row: everybody had acknowledged them before their batch was written, or nobody waited.
    package var rowsElided: UInt64 = 0
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

/// What the spool holds, in three numbers.
package struct SpoolStanding: Sendable, Hashable {
    /// Messages that somebody waits for, each counted once.
    package let messages: Int
    package let bytes: Int
    /// Messages that receivers did not get since the spool was opened.
    package let drops: DropCounts
}

/// The books of all receivers as of the last commit.
struct SpoolBooks: Sendable {
    private(set) var receivers: [ReceiverID: ReceiverTally] = [:]
    /// Of all, those included that are gone by now.
    private(set) var total = ReceiverTally()
    /// Messages that somebody waits for, each counted once.
    private(set) var messages = 0
    private(set) var bytes = 0

    mutating func take(_ batch: Batch) {
        for changed in batch.tallies {
            total.replace(receivers[changed.receiver] ?? ReceiverTally(), by: changed.tally)
            receivers[changed.receiver] = changed.isGone ? nil : changed.tally
        }
        total.missed(batch.missed)
        (messages, bytes) = batch.open
    }
}

/// What the threads of the spool tell everybody else: written by them, read by anyone.
final class SpoolStatus: Sendable {
    private struct Values {
        /// Of commits, and of pages.
        var state = SpoolState.ok
        var reading = SpoolState.ok
        var statistics = SpoolStatistics()
        var books = SpoolBooks()
        var refusal: SpoolRefusal?
        var isHigh = false
        /// Positions of damaged rows, so that a row that is read often counts once.
        var damaged: Set<UInt64> = []
    }

    private let values = Mutex(Values())

    var state: SpoolState { values.withLock { $0.state == .ok ? $0.reading : $0.state } }
    var statistics: SpoolStatistics { values.withLock { $0.statistics } }

    var books: SpoolBooks { values.withLock { $0.books } }

    var standing: SpoolStanding {
        values.withLock {
            SpoolStanding(messages: $0.books.messages, bytes: $0.books.bytes, drops: $0.books.total.dropped)
        }
    }

    func tally(of receiver: ReceiverID) -> ReceiverTally {
        values.withLock { $0.books.receivers[receiver] ?? ReceiverTally() }
    }

    var refusal: SpoolRefusal? { values.withLock { $0.refusal } }

    var isHigh: Bool { values.withLock { $0.isHigh } }

    func isHigh(_ isHigh: Bool) { values.withLock { $0.isHigh = isHigh } }

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

    func cannotRead(_ error: SpoolError) {
        values.withLock { values in
            guard values.reading == .ok else { return }
            let wall = Timestamp(microseconds: UInt64(max(0, Date().timeIntervalSince1970 * 1_000_000)))
            values.reading = .failing(since: wall, reason: error.description)
        }
    }

    func canRead() { values.withLock { $0.reading = .ok } }

    /// A batch is on disk, and with it what it changed in the books.
    func committed(_ batch: Batch, setAside: Int, isDemanded: Bool) {
        values.withLock { values in
            values.state = .ok
            values.statistics.commits += 1
            values.statistics.rowsWritten += UInt64(batch.rows.count)
            values.statistics.rowsElided += UInt64(batch.messages - batch.rows.count)
            values.statistics.recordsSetAside += UInt64(setAside)
            if isDemanded { values.statistics.commitsDemanded += 1 }
            values.books.take(batch)
        }
    }

    /// What something that was not a commit changed in the books.
    func changed(_ batch: Batch) { values.withLock { $0.books.take(batch) } }

    func recovered() { values.withLock { $0.state = .ok } }

    /// True when nobody has found it before.
    @discardableResult
    func foundDamage(at position: UInt64) -> Bool {
        values.withLock { values in
            let isNew = values.damaged.insert(position).inserted
            if isNew { values.statistics.damagedRows += 1 }
            return isNew
        }
    }

    /// A damaged row of another table than that of messages; they are read once, at the start.
    func foundDamage() { values.withLock { $0.statistics.damagedRows += 1 } }
}
