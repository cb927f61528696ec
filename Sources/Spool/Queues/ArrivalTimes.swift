import BrokerCore
import DequeModule

/// When messages came, roughly: marks that say "everything below this position came by then". Positions only grow, so a
/// few marks tell the age of every message, and none of them has to carry a time of its own.
///
/// Marks are never early: what is found to be too old is at least as old as was asked for. How much older it may be
/// depends on how far marks are apart, which is a small part of the shortest bound, and of the age itself where there
/// would be too many marks.
struct ArrivalTimes {
    private struct Mark {
        /// Everything below it had come.
        let position: UInt64
        let time: Timestamp
    }

    private var marks: Deque<Mark> = []
    /// The newest, which moves on until it is far enough from the last that is kept.
    private var latest = Mark(position: 0, time: Timestamp(microseconds: 0))
    /// The time of the last that is kept.
    private var kept = Timestamp(microseconds: 0)
    /// Microseconds between two marks.
    var grain: UInt64 = 60_000_000

    /// Each is 16 bytes, so that a week of them holds little.
    private static let marksMax = 4_096

    /// A clock that says that it is before this was written was never set; what it stamped is as old as the process.
    static let earliest = Timestamp(microseconds: 1_704_067_200_000_000)

    /// Everything below a position has come by now.
    ///
    /// - Complexity: two comparisons, mostly.
    mutating func note(_ position: UInt64, at time: Timestamp) {
        guard position > latest.position else { return }
        if time.microseconds >= kept.microseconds &+ grain { keepLatest() }
        latest = Mark(position: position, time: max(time, latest.time))
    }

    /// The position below which everything had come by a time; 0 when nothing is known to have.
    ///
    /// - Complexity: O(log marks); two comparisons when all or nothing is as old as that.
    func position(by time: Timestamp) -> UInt64 {
        if latest.time <= time { return latest.position }
        guard let first = marks.first, first.time <= time else { return 0 }
        var (low, high) = (0, marks.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if marks[middle].time <= time { low = middle } else { high = middle }
        }
        return marks[low].position
    }

    /// Nobody will ask for a time before this one.
    mutating func forget(before time: Timestamp) {
        while marks.count > 1, marks[1].time <= time { marks.removeFirst() }
    }

    private mutating func keepLatest() {
        kept = latest.time
        guard latest.position > 0 else { return }
        marks.append(latest)
        if marks.count > Self.marksMax { thinOut() }
    }

    /// Every other mark of the older half goes: the older a message is, the less a moment matters.
    private mutating func thinOut() {
        let half = marks.count / 2
        var kept: Deque<Mark> = []
        kept.reserveCapacity(marks.count)
        for (index, mark) in marks.enumerated() where index >= half || index % 2 == 1 { kept.append(mark) }
        marks = kept
    }
}
