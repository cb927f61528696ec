import BrokerCore
import DequeModule

/// What waits for one durable receiver, and its open exchanges of QoS 2. Used by one thread.
final class ReceiverQueue {
    let receiver: ReceiverID
    var bounds: QueueBounds
    /// Bytes of the messages that wait.
    var bytes = 0
    /// What became of its messages; how many wait is in `waiting`.
    private var counts = ReceiverTally()
    /// The position that did not fit last, so that a message that names the receiver twice is counted once.
    private var lastTurnedAway: UInt64 = 0
    /// True from the moment that a queue that rejects is full until an eighth of it is free again.
    private(set) var isFull = false
    /// Positions that wait, ascending.
    private(set) var waiting: Deque<UInt64> = []
    /// Everything up to here is done.
    private(set) var lowWater: UInt64
    /// What is done above the low-water mark while its row is still needed by others; ascending.
    private var exceptions: [UInt64]
    var inbound: Set<UInt16> = []
    var outbound: [UInt16: SpoolContents.Outbound] = [:]

    init(receiver: ReceiverID, bounds: QueueBounds, lowWater: UInt64, exceptions: [UInt64] = []) {
        self.receiver = receiver
        self.bounds = bounds
        self.lowWater = lowWater
        self.exceptions = exceptions
    }

    /// True when there is more than the bounds allow.
    var isBeyondBounds: Bool { waiting.count > bounds.messagesMax || bytes > bounds.bytesMax }

    /// True when one more message of this size would be too much.
    func isBeyondBounds(with more: Int) -> Bool {
        waiting.count >= bounds.messagesMax || bytes + more > bounds.bytesMax
    }

    /// Looks whether the queue is full. True when that changed, and only if the queue refuses when it is.
    func updateFullness() -> Bool {
        guard bounds.whenFull == .reject else { return false }
        let was = isFull
        if isFull {
            let isRelieved =
                waiting.count < bounds.messagesMax && waiting.count <= bounds.messagesMax - bounds.messagesMax / 8
                && bytes < bounds.bytesMax && bytes <= bounds.bytesMax - bounds.bytesMax / 8
            isFull = !isRelieved
        } else {
            isFull = waiting.count >= bounds.messagesMax || bytes >= bounds.bytesMax
        }
        return isFull != was
    }

    /// True when the position is the last that waits.
    func isLast(_ position: UInt64) -> Bool { waiting.last == position }

    // MARK: The books

    var tally: ReceiverTally {
        var tally = counts
        tally.waiting = waiting.count
        tally.bytes = bytes
        tally.first = waiting.first ?? 0
        return tally
    }

    /// A message that waited already when the spool was opened.
    func restored() { counts.restored += 1 }

    func taken() { counts.taken += 1 }

    func delivered() { counts.delivered += 1 }

    func dropped(_ reason: DropReason, _ count: Int = 1) { counts.dropped[reason] += UInt64(count) }

    /// A message is not taken in because the queue is full. False when this is known.
    func turnAway(_ position: UInt64) -> Bool {
        guard lastTurnedAway != position else { return false }
        lastTurnedAway = position
        counts.taken += 1
        counts.dropped[.newest] += 1
        return true
    }

    /// The receiver acknowledged what its queue had given up: it was under way then, so it is delivered after all.
    func deliveredAfterAll() {
        for reason in [bounds.whenFull == .dropNewest ? DropReason.newest : .oldest, .setAside, .damaged]
        where counts.dropped[reason] > 0 {
            counts.dropped[reason] -= 1
            counts.delivered += 1
            return
        }
    }

    // MARK: What waits

    /// False when the position already waits.
    func enqueue(_ position: UInt64, bytes size: Int) -> Bool {
        guard waiting.last != position else { return false }
        waiting.append(position)
        bytes += size
        return true
    }

    /// False when the position does not wait: acknowledged twice, or dropped before.
    func remove(_ position: UInt64) -> Bool {
        let index = firstIndex(notBelow: position)
        guard index < waiting.count, waiting[index] == position else { return false }
        waiting.remove(at: index)
        return true
    }

    func removeAll() -> Deque<UInt64> {
        defer { (waiting, bytes) = ([], 0) }
        return waiting
    }

    /// Takes out the oldest position that no open exchange of QoS 2 stands on: what was sent as QoS 2 must be finished.
    func removeOldestNotInExchange() -> UInt64? {
        guard let first = waiting.first else { return nil }
        guard !outbound.isEmpty else { return waiting.popFirst() }
        let busy = Set(outbound.values.lazy.filter { !$0.isReleased }.map(\.position.number))
        guard busy.contains(first) else { return waiting.popFirst() }
        guard let index = waiting.firstIndex(where: { !busy.contains($0) }) else { return nil }
        return waiting.remove(at: index)
    }

    /// Remembers that a position is done although its row stays.
    func addException(_ position: UInt64) {
        var index = exceptions.count
        while index > 0, exceptions[index - 1] > position { index -= 1 }
        guard index == 0 || exceptions[index - 1] != position else { return }
        exceptions.insert(position, at: index)
    }

    func isDone(with position: UInt64) -> Bool {
        guard position > lowWater else { return true }
        var (low, high) = (0, exceptions.count)
        while low < high {
            let middle = (low + high) / 2
            if exceptions[middle] < position { low = middle + 1 } else { high = middle }
        }
        return low < exceptions.count && exceptions[low] == position
    }

    /// Raises the low-water mark to just below the first position that waits and forgets exceptions that nobody needs.
    func settle(needed: (UInt64) -> Bool) -> (lowWater: UInt64, exceptions: [UInt64]) {
        if let first = waiting.first {
            lowWater = max(lowWater, first - 1)
        } else {
            lowWater = max(lowWater, exceptions.last ?? 0)
        }
        exceptions.removeAll { $0 <= lowWater || !needed($0) }
        return (lowWater, exceptions)
    }

    /// Positions after `position`, at most `count`, and whether that was all.
    func positions(after position: UInt64, count: Int) -> (positions: [UInt64], isComplete: Bool) {
        guard position < .max else { return ([], true) }
        let start = firstIndex(notBelow: position + 1)
        let end = min(waiting.count, start + max(1, count))
        return (Array(waiting[start..<end]), end == waiting.count)
    }

    private func firstIndex(notBelow position: UInt64) -> Int {
        // Acknowledgements come roughly in order, so the first is often the one.
        guard let first = waiting.first, first < position else { return 0 }
        var (low, high) = (1, waiting.count)
        while low < high {
            let middle = (low + high) / 2
            if waiting[middle] < position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
