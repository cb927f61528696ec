package import BrokerCore
import Synchronization

/// Whether commits succeed.
package enum SpoolState: Sendable, Hashable {
    case ok
    /// Batches fail since this wall time; nothing is announced until one succeeds. `reason` is for the operator.
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
    /// Messages that full queues gave up.
    package var messagesDropped: UInt64 = 0
    /// Attempts to write a batch that failed.
    package var failures: UInt64 = 0
    /// Rows whose checksum or form was wrong. They are skipped, never delivered, and stay in the file.
    package var damagedRows: UInt64 = 0

    package init() {}
}

/// What the threads of the spool tell everybody else: written by them, read by anyone.
final class SpoolStatus: Sendable {
    private struct Values {
        var state = SpoolState.ok
        var statistics = SpoolStatistics()
        var depths: [ReceiverID: Int] = [:]
        /// Positions of damaged rows, so that a row that is read often counts once.
        var damaged: Set<UInt64> = []
    }

    private let values = Mutex(Values())

    var state: SpoolState { values.withLock { $0.state } }
    var statistics: SpoolStatistics { values.withLock { $0.statistics } }

    func depth(of receiver: ReceiverID) -> Int { values.withLock { $0.depths[receiver] ?? 0 } }

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
    func committed(depths: [(ReceiverID, Int?)], count: (inout SpoolStatistics) -> Void) {
        values.withLock { values in
            values.state = .ok
            count(&values.statistics)
            for (receiver, depth) in depths { values.depths[receiver] = depth }
        }
    }

    func foundDamage(at position: UInt64) {
        values.withLock { values in
            if values.damaged.insert(position).inserted { values.statistics.damagedRows += 1 }
        }
    }

    /// A damaged retained message; they are read once, at the start.
    func foundDamagedRetained() { values.withLock { $0.statistics.damagedRows += 1 } }
}
