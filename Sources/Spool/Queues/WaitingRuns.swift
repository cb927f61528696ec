import BrokerCore
import DequeModule

/// What waits for one receiver, in runs that it shares with the other receivers of the same messages: of its own it has
/// how far it has come in them.
///
/// ```
/// runs    [ done done | done  wait  done  wait ] [ wait ...
///                             ^head ^hole
/// ```
struct WaitingRuns {
    /// In the order of positions, none within another.
    private var runs: Deque<MessageRun> = []
    /// The first entry of the first run that is not done.
    private var head = 0
    /// Its position, where it is not the first of its run: whoever asks for it does not unpack the run.
    private var headPosition: UInt64?
    /// What is done behind the head, in the order of positions.
    private var holes: Deque<RunPlace> = []
    /// Entries, and their bytes, of all runs but the last.
    private var countBefore = 0
    private var bytesBefore = 0
    /// Bytes of the entries that are done.
    private var bytesDone = 0
    /// Entries of all runs that are done.
    private var countAfter = 0
    /// The highest position that the head has passed.
    private var passed: UInt64 = 0

    var count: Int { countBefore + (runs.last?.count ?? 0) - head - holes.count }
    /// Bytes of the messages that wait.
    var bytes: Int { bytesBefore + (runs.last?.bytes ?? 0) - bytesDone }
    /// How many messages were ever in the runs.
    var countEver: Int { countAfter + countBefore + (runs.last?.count ?? 0) }
    /// How many are done behind the first that waits.
    var holeCount: Int { holes.count }
    /// Everything up to here is done.
    var doneThrough: UInt64 { first.map { $0.position - 1 } ?? passed }
    /// What is done above that, and has a row.
    var exceptions: [UInt64] { holes.lazy.filter { $0.entry.waiting > 0 }.map(\.position) }

    // MARK: Runs

    /// The run that the next message joins, if it is for this receiver alone.
    var ownRun: MessageRun? {
        guard let last = runs.last, last.isOpen, last.receivers == 1 else { return nil }
        return last
    }

    /// The open run at the end of the queue.
    var openRun: MessageRun? { runs.last?.isOpen == true ? runs.last : nil }

    /// Puts a new run at the end; the one before it is closed.
    mutating func begin(_ run: MessageRun) {
        absorb()
        if let last = runs.last {
            countBefore += last.count
            bytesBefore += last.bytes
        }
        runs.append(run)
    }

    /// The open run at the end, when all of it is done: closed, it goes. One that is shorter than its receivers are many
    /// stays, since beginning another takes as many steps.
    var finishedRun: MessageRun? {
        guard runs.count == 1, let run = runs.first, run.isOpen, head == run.count, head >= run.receivers
        else { return nil }
        return run
    }

    /// Lets go of a run that was closed.
    mutating func leaveFinishedRun() { absorb() }

    // MARK: What is done

    /// The first that waits.
    var first: RunPlace? {
        guard let run = runs.first, head < run.count else { return nil }
        return RunPlace(run, head, at: head == 0 ? run.first : headPosition ?? run[head].position)
    }

    /// Takes a position out. Nil when it does not wait: acknowledged twice, or dropped before.
    mutating func take(_ position: UInt64) -> RunPlace? {
        guard let place = find(position) else { return nil }
        take(place)
        return place
    }

    mutating func take(_ place: RunPlace) {
        bytesDone += Int(place.entry.bytes)
        guard place.index == head, place.run === runs.first else {
            return holes.insert(place, at: holeIndex(notBelow: place.position))
        }
        head += 1
        passed = place.position
        absorb()
    }

    /// Takes out what waits of some positions, which ascend.
    ///
    /// - Complexity: O(positions * log runs + holes): those of a whole queue would take the square of that one by one.
    mutating func take(_ positions: [Position]) -> [RunPlace] {
        let places = positions.compactMap { find($0.number) }
        guard !places.isEmpty else { return [] }
        var merged: Deque<RunPlace> = []
        merged.reserveCapacity(holes.count + places.count)
        var next = 0
        for hole in holes {
            while next < places.count, places[next].position < hole.position {
                merged.append(places[next])
                next += 1
            }
            merged.append(hole)
        }
        merged.append(contentsOf: places[next...])
        holes = merged
        bytesDone += places.reduce(0) { $0 + Int($1.entry.bytes) }
        absorb()
        return places
    }

    /// Takes out all that waits.
    mutating func takeAll() -> [RunPlace] {
        var places: [RunPlace] = []
        places.reserveCapacity(count)
        forEachWaiting { place in
            places.append(place)
            return true
        }
        runs = []
        holes = []
        (head, headPosition, countBefore, bytesBefore, bytesDone) = (0, nil, 0, 0, 0)
        return places
    }

    /// The head goes over what is done behind it, and out of runs that are done.
    private mutating func absorb() {
        passDone()
        noteHead()
    }

    private mutating func noteHead() {
        headPosition = nil
        if head > 0, let run = runs.first, head < run.count { headPosition = run[head].position }
    }

    private mutating func passDone() {
        while let run = runs.first {
            while let hole = holes.first, hole.run === run, hole.index == head {
                head += 1
                passed = hole.position
                holes.removeFirst()
            }
            // What follows in an open run is not known yet.
            guard head == run.count, !run.isOpen else { return }
            runs.removeFirst()
            head = 0
            countAfter += run.count
            bytesDone -= run.bytes
            guard !runs.isEmpty else {
                (countBefore, bytesBefore) = (0, 0)
                return
            }
            countBefore -= run.count
            bytesBefore -= run.bytes
        }
    }

    /// Whether a position waits.
    func contains(_ position: UInt64) -> Bool { find(position) != nil }

    private func find(_ position: UInt64) -> RunPlace? {
        guard let first else { return nil }
        // Acknowledgements come roughly in order, so the first is often the one.
        if first.position == position { return first }
        guard position > first.position else { return nil }
        let run = runs[runIndex(of: position)]
        let index = run.firstIndex(notBelow: position)
        guard index < run.count, !isHole(position) else { return nil }
        let place = RunPlace(run, index)
        return place.position == position ? place : nil
    }

    /// The last run that begins at or below a position, else the first.
    private func runIndex(of position: UInt64) -> Int {
        var (low, high) = (0, runs.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if runs[middle].count > 0, runs[middle].first <= position {
                low = middle
            } else {
                high = middle
            }
        }
        return low
    }

    private func isHole(_ position: UInt64) -> Bool {
        let index = holeIndex(notBelow: position)
        return index < holes.count && holes[index].position == position
    }

    private func holeIndex(notBelow position: UInt64) -> Int {
        if let last = holes.last, last.position < position { return holes.count }
        var (low, high) = (0, holes.count)
        while low < high {
            let middle = (low + high) / 2
            if holes[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Pages

    /// Positions after `position`, at most `count`, and whether that was all.
    func positions(after position: UInt64, count: Int) -> (positions: [UInt64], isComplete: Bool) {
        var found: [UInt64] = []
        var isComplete = true
        var run: MessageRun?
        forEachWaiting(after: position) { place in
            if run !== place.run {
                // Looked through, and not the first of the queue: it rests again.
                if run !== runs.first { run?.pack() }
                run = place.run
            }
            guard found.count < max(1, count) else {
                isComplete = false
                return false
            }
            found.append(place.position)
            return true
        }
        return (found, isComplete)
    }

    /// Calls `body` with what waits after a position, in order, until it returns false.
    func forEachWaiting(after position: UInt64 = 0, _ body: (RunPlace) -> Bool) {
        guard !runs.isEmpty, position < .max else { return }
        let start = runIndex(of: position + 1)
        var hole = holeIndex(notBelow: position + 1)
        for at in start..<runs.count {
            let run = runs[at]
            var index = at == start ? run.firstIndex(notBelow: position + 1) : 0
            if at == 0 { index = max(index, head) }
            while index < run.count {
                if hole < holes.count, holes[hole].run === run, holes[hole].index == index {
                    hole += 1
                } else if !body(RunPlace(run, index)) {
                    return
                }
                index += 1
            }
        }
    }

    // MARK: While the spool is being opened

    /// Everything up to a position is done, and all rows are known.
    mutating func restore(from lowWater: UInt64) {
        passed = lowWater
        while let run = runs.first {
            head = run.firstIndex(notBelow: lowWater + 1)
            run.begins(at: head)
            guard head == run.count else { break }
            runs.removeFirst()
            head = 0
            guard !runs.isEmpty else { break }
            countBefore -= run.count
            bytesBefore -= run.bytes
        }
        if runs.isEmpty { (countBefore, bytesBefore) = (0, 0) }
        if let run = runs.first { bytesDone = run.bytes(before: head) }
        noteHead()
    }
}
