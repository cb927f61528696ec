import BrokerCore
import DequeModule

/// What waits for one durable receiver, and its open exchanges of QoS 2. Used by one thread.
///
/// Its messages stand in runs, which it shares with the other receivers of the same messages; of its own it has how far
/// it has come in them.
final class ReceiverQueue {
    let receiver: ReceiverID
    var kind: ReceiverRecord.Kind
    var bounds: QueueBounds {
        didSet { marks = LevelMarks(bounds) }
    }
    /// When it raises an alarm.
    private var marks: LevelMarks
    /// True from the moment that it came to its high watermark until it is below its low one.
    private(set) var isHigh = false
    /// True from the moment that a queue that rejects is full until an eighth of it is free again.
    private(set) var isFull = false
    /// In the order of positions, none within another.
    private var runs: Deque<MessageRun> = []
    /// The first entry of the first run that is not done.
    private var head = 0
    /// What is done behind the head, in the order of positions.
    private var holes: Deque<RunPlace> = []
    /// Entries, and their bytes, of all runs but the last.
    private var countBefore = 0
    private var bytesBefore = 0
    /// Bytes of the entries that are done.
    private var bytesDone = 0
    /// Entries of all runs that are done, and of those how many were there before the spool was opened.
    private var countAfter = 0
    private var countRestored = 0
    /// Messages that did not fit and were never in a run.
    private var turnedAway: UInt64 = 0
    /// Everything up to here that waited was given up for its age.
    private var agedThrough: UInt64 = 0
    /// What became of its messages, apart from those that wait.
    private var counts = ReceiverTally()
    /// The highest position that the head has passed.
    private var passed: UInt64 = 0
    /// Everything up to here is done, as the file has it.
    private(set) var lowWater: UInt64
    /// What is done and not written yet because others still needed it: stretches of runs.
    private var unwritten: [(run: MessageRun, indices: Range<Int>)] = []
    /// What the file has as done above the low-water mark; empty once the spool is open.
    private var exceptions: [UInt64]
    /// The batch that has seen it last.
    var seenIn: UInt64 = 0
    var inbound: Set<UInt16> = []
    var outbound: [UInt16: SpoolContents.Outbound] = [:] {
        didSet { searched = 0 }
    }
    /// Up to here nothing waits but what stands in an open exchange.
    private var searched: UInt64 = 0

    init(
        receiver: ReceiverID,
        kind: ReceiverRecord.Kind,
        bounds: QueueBounds,
        lowWater: UInt64,
        exceptions: [UInt64] = []
    ) {
        self.receiver = receiver
        self.kind = kind
        self.bounds = bounds
        marks = LevelMarks(bounds)
        self.lowWater = lowWater
        self.exceptions = exceptions
    }

    /// Messages that wait.
    var count: Int { countBefore + (runs.last?.entries.count ?? 0) - head - holes.count }
    /// Bytes of the messages that wait.
    var bytes: Int { bytesBefore + (runs.last?.bytes ?? 0) - bytesDone }

    /// As many as a window can be wide: a receiver that has answered so many messages behind one that it has not, will
    /// not answer that one, and what is done behind it would fill the memory. The same goes for one that stands in an open
    /// exchange of QoS 2: it is dropped and counted, never sent again, and released when its client returns.
    private static let holesMax = 65_535
    var hasTooManyHoles: Bool { holes.count > Self.holesMax }

    /// Why the oldest has to go; nil when there is no more than the bounds allow.
    var excess: DropReason? {
        if count > bounds.messagesMax || bytes > bounds.bytesMax { return .oldest }
        return hasTooManyHoles ? .holes : nil
    }

    /// True when it gives up its oldest messages for new ones. Others do not take in what does not fit, or refuse it to
    /// those who publish next.
    var dropsOldest: Bool {
        switch bounds.whenFull {
        case .dropOldest, .dropQoS0ThenOldest: true
        case .dropNewest, .reject: false
        }
    }

    /// True when one more message of this size would be too much.
    func isBeyondBounds(with more: Int) -> Bool {
        count >= bounds.messagesMax || bytes + more > bounds.bytesMax || hasTooManyHoles
    }

    /// Looks whether the queue is full. True when that changed, and only if the queue refuses when it is.
    func updateFullness() -> Bool {
        let (was, count, bytes) = (isFull, count, bytes)
        if bounds.whenFull != .reject {
            isFull = false
        } else if isFull {
            let isRelieved =
                count < bounds.messagesMax && count <= bounds.messagesMax - bounds.messagesMax / 8
                && bytes < bounds.bytesMax && bytes <= bounds.bytesMax - bounds.bytesMax / 8
            isFull = !isRelieved || hasTooManyHoles
        } else {
            isFull = count >= bounds.messagesMax || bytes >= bounds.bytesMax || hasTooManyHoles
        }
        return isFull != was
    }

    /// Looks whether the queue calls for an alarm. True when that changed.
    func updateLevel() -> Bool {
        let was = isHigh
        isHigh = marks.isHigh(messages: count, bytes: bytes, wasHigh: was)
        return isHigh != was
    }

    /// What is said of it when it has changed.
    var level: QueueLevel { QueueLevel(isHigh: isHigh, messages: count, bytes: bytes) }

    // MARK: The books

    /// How many messages were ever in its runs.
    private var countEver: Int { countAfter + countBefore + (runs.last?.entries.count ?? 0) }

    /// What came is counted where it stands, so that a message to a room costs nothing here; what goes is counted as it
    /// goes.
    var tally: ReceiverTally {
        var tally = counts
        tally.taken = UInt64(countEver - countRestored) + turnedAway
        tally.waiting = count
        tally.bytes = bytes
        tally.first = first?.entry.position ?? 0
        tally.isHigh = isHigh
        return tally
    }

    /// The books as they are closed when the receiver goes.
    var lastTally: ReceiverTally {
        var tally = tally
        tally.dropped[.ended] += UInt64(tally.waiting)
        (tally.waiting, tally.bytes, tally.first, tally.isHigh) = (0, 0, 0, false)
        return tally
    }

    func delivered() { counts.delivered += 1 }

    func dropped(_ reason: DropReason, _ count: Int = 1) { counts.dropped[reason] += UInt64(count) }

    /// A message is not taken in because the queue is full.
    func turnAway(_ reason: DropReason) {
        turnedAway += 1
        counts.dropped[reason] += 1
    }

    /// The receiver acknowledged what its queue had given up: it was under way then, so it is delivered after all.
    func deliveredAfterAll(_ position: UInt64) {
        let byBounds: DropReason = dropsOldest ? .oldest : .newest
        let reasons: [DropReason] = (position <= agedThrough ? [.aged] : []) + [byBounds, .holes, .setAside, .damaged]
        for reason in reasons where counts.dropped[reason] > 0 {
            counts.dropped[reason] -= 1
            counts.delivered += 1
            return
        }
    }

    // MARK: Runs

    /// The run that the next message joins, if it is for this receiver alone.
    var ownRun: MessageRun? {
        guard let last = runs.last, last.isOpen, last.receivers == 1 else { return nil }
        return last
    }

    /// The open run at the end of the queue.
    var openRun: MessageRun? { runs.last?.isOpen == true ? runs.last : nil }

    /// Puts a new run at the end; the one before it is closed.
    func begin(_ run: MessageRun) {
        absorb()
        if let last = runs.last {
            countBefore += last.entries.count
            bytesBefore += last.bytes
        }
        runs.append(run)
    }

    // MARK: What is done

    /// Takes a position out. Nil when it does not wait: acknowledged twice, or dropped before.
    func take(_ position: UInt64) -> RunPlace? {
        guard let place = find(position) else { return nil }
        take(place)
        return place
    }

    /// The oldest message that waits and that no open exchange of QoS 2 stands on: what was sent as QoS 2 must be
    /// finished, unless too much is done behind it. It is taken out.
    func takeOldestNotInExchange() -> RunPlace? {
        guard !outbound.isEmpty, !hasTooManyHoles else {
            guard let first else { return nil }
            take(first)
            return first
        }
        let busy = Set(outbound.values.lazy.filter { !$0.isReleased }.map(\.position.number))
        var found: RunPlace?
        forEachWaiting(after: searched) { place in
            guard !busy.contains(place.entry.position) else { return true }
            found = place
            return false
        }
        if let found {
            searched = found.entry.position
            take(found)
        }
        return found
    }

    /// Whether something below a position waits that may go.
    ///
    /// - Complexity: one comparison when nothing is so old.
    func hasWaiting(below position: UInt64) -> Bool {
        guard let first, first.entry.position < position else { return false }
        return outbound.isEmpty || !oldest(below: position, atMost: 1).isEmpty
    }

    /// Takes out what waits below a position because of its age, but for what an open exchange of QoS 2 stands on.
    func takeAged(below position: UInt64, atMost count: Int) -> [RunPlace] {
        guard let first, first.entry.position < position else { return [] }
        // What is taken behind an exchange that stays open leaves holes, of which there may be only so many.
        let places = oldest(below: position, atMost: min(count, max(0, Self.holesMax - holes.count)))
        for place in places { take(place) }
        if let last = places.last { agedThrough = max(agedThrough, last.entry.position) }
        return places
    }

    private func oldest(below position: UInt64, atMost count: Int) -> [RunPlace] {
        let busy = outbound.isEmpty ? [] : Set(outbound.values.lazy.filter { !$0.isReleased }.map(\.position.number))
        var places: [RunPlace] = []
        forEachWaiting { place in
            guard places.count < count, place.entry.position < position else { return false }
            if busy.isEmpty || !busy.contains(place.entry.position) { places.append(place) }
            return true
        }
        return places
    }

    /// Empties the queue.
    func takeAll() -> [RunPlace] {
        var places: [RunPlace] = []
        places.reserveCapacity(count)
        forEachWaiting { place in
            places.append(place)
            return true
        }
        runs = []
        holes = []
        unwritten = []
        (head, countBefore, bytesBefore, bytesDone) = (0, 0, 0, 0)
        return places
    }

    private var first: RunPlace? {
        guard let run = runs.first, head < run.entries.count else { return nil }
        return RunPlace(run: run, index: head)
    }

    private func find(_ position: UInt64) -> RunPlace? {
        guard let first else { return nil }
        // Acknowledgements come roughly in order, so the first is often the one.
        if first.entry.position == position { return first }
        guard position > first.entry.position else { return nil }
        let run = runs[runIndex(of: position)]
        let index = run.firstIndex(notBelow: position)
        guard index < run.entries.count, run.entries[index].position == position, !isHole(position) else { return nil }
        return RunPlace(run: run, index: index)
    }

    /// The last run that begins at or below a position, else the first.
    private func runIndex(of position: UInt64) -> Int {
        var (low, high) = (0, runs.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if let first = runs[middle].entries.first, first.position <= position {
                low = middle
            } else {
                high = middle
            }
        }
        return low
    }

    private func isHole(_ position: UInt64) -> Bool {
        let index = holeIndex(notBelow: position)
        return index < holes.count && holes[index].entry.position == position
    }

    private func holeIndex(notBelow position: UInt64) -> Int {
        if let last = holes.last, last.entry.position < position { return holes.count }
        var (low, high) = (0, holes.count)
        while low < high {
            let middle = (low + high) / 2
            if holes[middle].entry.position < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func take(_ place: RunPlace) {
        bytesDone += Int(place.entry.bytes)
        guard place.index == head, place.run === runs.first else {
            return holes.insert(place, at: holeIndex(notBelow: place.entry.position))
        }
        head += 1
        passed = place.entry.position
        absorb()
    }

    /// The head goes over what is done behind it, and out of runs that are done.
    private func absorb() {
        while let run = runs.first {
            while let hole = holes.first, hole.run === run, hole.index == head {
                head += 1
                passed = hole.entry.position
                holes.removeFirst()
            }
            // What follows in an open run is not known yet.
            guard head == run.entries.count, !run.isOpen else { return }
            runs.removeFirst()
            head = 0
            countAfter += run.entries.count
            bytesDone -= run.bytes
            guard !runs.isEmpty else {
                (countBefore, bytesBefore) = (0, 0)
                return
            }
            countBefore -= run.entries.count
            bytesBefore -= run.bytes
        }
    }

    /// The open run at the end, when all of it is done: closed, it goes. One that is shorter than its receivers are many
    /// stays, since beginning another takes as many steps.
    var finishedRun: MessageRun? {
        guard runs.count == 1, let run = runs.first, run.isOpen, head == run.entries.count, head >= run.receivers
        else { return nil }
        return run
    }

    /// Lets go of a run that was closed.
    func leaveFinishedRun() { absorb() }

    // MARK: What is written of it

    /// Remembers that a message is done for this receiver although its row stays.
    func remember(_ place: RunPlace) {
        if let last = unwritten.last, last.run === place.run, last.indices.upperBound == place.index {
            unwritten[unwritten.count - 1].indices = last.indices.lowerBound..<place.index + 1
        } else {
            unwritten.append((place.run, place.index..<place.index + 1))
        }
    }

    /// Raises the low-water mark to just below the first position that waits. Nil when nothing that is done, and not
    /// written as such, has a row any more: then the mark need not be written.
    func settle() -> (lowWater: UInt64, exceptions: [UInt64])? {
        let isNeeded = unwritten.contains { part in
            part.indices.contains { part.run.entries[$0].waiting > 0 }
        }
        unwritten = []
        guard isNeeded else { return nil }
        if let first {
            lowWater = max(lowWater, first.entry.position - 1)
        } else {
            lowWater = max(lowWater, passed)
        }
        return (lowWater, holes.lazy.map(\.entry).filter { $0.waiting > 0 }.map(\.position))
    }

    // MARK: Pages

    /// Positions after `position`, at most `count`, and whether that was all.
    func positions(after position: UInt64, count: Int) -> (positions: [UInt64], isComplete: Bool) {
        var found: [UInt64] = []
        var isComplete = true
        forEachWaiting(after: position) { place in
            guard found.count < max(1, count) else {
                isComplete = false
                return false
            }
            found.append(place.entry.position)
            return true
        }
        return (found, isComplete)
    }

    /// Calls `body` with what waits after a position, in order, until it returns false.
    private func forEachWaiting(after position: UInt64 = 0, _ body: (RunPlace) -> Bool) {
        guard !runs.isEmpty, position < .max else { return }
        let start = runIndex(of: position + 1)
        var hole = holeIndex(notBelow: position + 1)
        for at in start..<runs.count {
            let run = runs[at]
            var index = at == start ? run.firstIndex(notBelow: position + 1) : 0
            if at == 0 { index = max(index, head) }
            while index < run.entries.count {
                if hole < holes.count, holes[hole].run === run, holes[hole].index == index {
                    hole += 1
                } else if !body(RunPlace(run: run, index: index)) {
                    return
                }
                index += 1
            }
        }
    }

    // MARK: While the spool is being opened

    /// Takes out what the file says is done, once all rows are known.
    func restoreProgress() {
        passed = lowWater
        while let run = runs.first {
            head = run.firstIndex(notBelow: lowWater + 1)
            run.begins(at: head)
            guard head == run.entries.count else { break }
            runs.removeFirst()
            head = 0
            guard !runs.isEmpty else { break }
            countBefore -= run.entries.count
            bytesBefore -= run.bytes
        }
        if runs.isEmpty { (countBefore, bytesBefore) = (0, 0) }
        if let run = runs.first { bytesDone = run.entries[..<head].reduce(0) { $0 + Int($1.bytes) } }
        for position in exceptions {
            // Of rows that are gone nobody needs to know.
            guard let place = take(position) else { continue }
            place.run.uncount(place.index)
        }
        exceptions = []
        countRestored = countEver
        counts.restored = UInt64(count)
    }
}

extension LevelMarks {
    fileprivate init(_ bounds: QueueBounds) {
        self.init(messagesMax: bounds.messagesMax, bytesMax: bounds.bytesMax, bounds.watermarks)
    }
}
