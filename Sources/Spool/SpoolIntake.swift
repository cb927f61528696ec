import BrokerCore
import DequeModule
import Foundation
import MQTTCodec

/// What was handed over in one turn.
struct SpoolAppend {
    var records: [SpoolRecord]
    var loads: [LoadRequest]
    var ticket: Ticket
}

/// Bounds that a running spool is given.
struct AllBounds {
    var session: QueueBounds
    var links: [MQTTString: QueueBounds]
    /// Of the spool as a whole.
    var watermarks: Watermarks
}

/// Where turns leave their records and the writer thread finds them. It gives positions, under the same lock that
/// orders the records, so that the order of commits is the order of positions.
///
/// Unchecked: every stored property is touched with `condition` locked, and nothing is called while it is held.
final class SpoolIntake: @unchecked Sendable {
    private let condition = NSCondition()
    private var pending: Deque<SpoolAppend> = []
    /// Positions of rows that the reader found damaged.
    private var damaged: [UInt64] = []
    private var bounds: AllBounds?
    private var nextPosition: UInt64
    private var wallMark: Timestamp
    private var isClosing = false
    /// True while the writer waits for something to do: only then it must be woken.
    private var isWriterWaiting = false

    init(nextPosition: UInt64, wallMark: Timestamp) {
        self.nextPosition = nextPosition
        self.wallMark = wallMark
    }

    /// Complexity: O(records), no I/O.
    func append(_ append: SpoolAppend, wall: Timestamp) -> Position {
        var messages: UInt64 = 0
        for case .message in append.records { messages += 1 }
        condition.lock()
        defer { condition.unlock() }
        let first = Position(nextPosition)
        guard !isClosing else { return first }
        nextPosition += messages
        wallMark = max(wallMark, wall)
        pending.append(append)
        wakeWriter()
        return first
    }

    /// The reader found damage: the writer takes the row out of the queues.
    func foundDamaged(_ position: UInt64) {
        condition.lock()
        defer { condition.unlock() }
        damaged.append(position)
        wakeWriter()
    }

    /// Queues get other bounds.
    func setBounds(_ new: AllBounds) {
        condition.lock()
        defer { condition.unlock() }
        bounds = new
        wakeWriter()
    }

    /// The bounds that were set since this was asked last.
    func takeBounds() -> AllBounds? {
        condition.lock()
        defer { condition.unlock() }
        defer { bounds = nil }
        return bounds
    }

    /// Called with `condition` locked.
    private func wakeWriter() {
        guard isWriterWaiting else { return }
        isWriterWaiting = false
        condition.signal()
    }

    /// What the reader found since this was asked last.
    func takeDamaged() -> [UInt64] {
        condition.lock()
        defer { condition.unlock() }
        defer { damaged = [] }
        return damaged
    }

    enum Drained {
        /// What waited longest, in order, and the latest wall time that was seen.
        case work([SpoolAppend], Timestamp)
        /// Nothing came for as long as the writer wanted to wait, or there is something else to do: the reader found
        /// damage, or queues get other bounds.
        case idle
        /// Nothing waits and nothing will come.
        case finished
    }

    /// Waits until there is work, until the spool closes, or for `seconds` at most.
    ///
    /// - Parameter recordsMax: takes no further append once it has so many.
    func take(waitingAtMost seconds: TimeInterval?, recordsMax: Int) -> Drained {
        let deadline = seconds.map { Date(timeIntervalSinceNow: $0) }
        condition.lock()
        defer { condition.unlock() }
        while pending.isEmpty {
            if isClosing { return .finished }
            if hasErrands { return .idle }
            isWriterWaiting = true
            if let deadline {
                if !condition.wait(until: deadline), pending.isEmpty, !hasErrands, !isClosing {
                    isWriterWaiting = false
                    return .idle
                }
            } else {
                condition.wait()
            }
            isWriterWaiting = false
        }
        var appends: [SpoolAppend] = []
        var records = 0
        while records < recordsMax, let append = pending.popFirst() {
            records += append.records.count
            appends.append(append)
        }
        return .work(appends, wallMark)
    }

    private var hasErrands: Bool { !damaged.isEmpty || bounds != nil }

    /// The latest wall time that was seen.
    var wall: Timestamp {
        condition.lock()
        defer { condition.unlock() }
        return wallMark
    }

    /// Waits before the writer tries again. Returns at once when the spool closes.
    /// - Returns: true when the spool is closing.
    func pause(seconds: TimeInterval) -> Bool {
        let deadline = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while !isClosing, condition.wait(until: deadline) {}
        return isClosing
    }

    func close() {
        condition.lock()
        defer { condition.unlock() }
        isClosing = true
        condition.broadcast()
    }
}
