import BrokerCore

/// The queue of one durable receiver: what waits, within which bounds, what became of the rest, and its open exchanges of
/// QoS 2. Used by one thread.
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
    var waiting = WaitingRuns()
    /// Messages that had been in its runs before the spool was opened.
    private var countRestored = 0
    /// Messages that did not fit and were never in a run.
    private var turnedAway: UInt64 = 0
    /// Everything up to here that waited was given up for its age.
    private var agedThrough: UInt64 = 0
    /// What became of its messages, apart from those that wait.
    private var counts = ReceiverTally()
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
        didSet { (searched, inExchange) = (0, nil) }
    }
    /// Positions that open exchanges stand on, once somebody has asked.
    private var inExchange: Set<UInt64>?
    private var busy: Set<UInt64> {
        if let inExchange { return inExchange }
        let busy = Set(outbound.values.lazy.filter { !$0.isReleased }.map(\.position.number))
        inExchange = busy
        return busy
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
    var count: Int { waiting.count }
    /// Bytes of the messages that wait.
    var bytes: Int { waiting.bytes }

    /// As many as a window can be wide: a receiver that has answered so many messages behind one that it has not, will
    /// not answer that one, and what is done behind it would fill the memory. The same goes for one that stands in an open
    /// exchange of QoS 2: it is dropped and counted, never sent again, and released when its client returns.
    ///
    /// A link sends what comes ahead of what waits, and answers behind its oldest for as long as it catches up.
    private var holesMax: Int {
        if case .link = kind { return 1 << 19 }
        return 65_535
    }
    var hasTooManyHoles: Bool { waiting.holeCount - min(holesByHand, waiting.holeCount) > holesMax }
    /// Holes that commands made: they are no fault of the receiver. Other receivers wait for what stood there, or it is
    /// gone with the run.
    private var holesByHand = 0

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
        holesByHand = min(holesByHand, waiting.holeCount)
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

    /// What came is counted where it stands, so that a message to a room costs nothing here; what goes is counted as it
    /// goes.
    var tally: ReceiverTally {
        var tally = counts
        tally.taken = UInt64(waiting.countEver - countRestored) + turnedAway
        tally.waiting = count
        tally.bytes = bytes
        tally.first = waiting.first?.position ?? 0
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

    // MARK: What gives way

    /// The oldest message that waits and that no open exchange of QoS 2 stands on: what was sent as QoS 2 must be
    /// finished, unless too much is done behind it. It is taken out.
    func takeOldestNotInExchange() -> RunPlace? {
        guard !outbound.isEmpty, !hasTooManyHoles else {
            guard let first = waiting.first else { return nil }
            waiting.take(first)
            return first
        }
        let busy = busy
        var found: RunPlace?
        waiting.forEachWaiting(after: searched) { place in
            guard !busy.contains(place.position) else { return true }
            found = place
            return false
        }
        if let found {
            searched = found.position
            waiting.take(found)
        }
        return found
    }

    /// Whether something below a position waits that may go.
    ///
    /// - Complexity: one comparison when nothing is so old.
    func hasWaiting(below position: UInt64) -> Bool {
        guard let first = waiting.first, first.position < position else { return false }
        return outbound.isEmpty || !oldest(below: position, atMost: 1).isEmpty
    }

    /// Takes out what waits below a position because of its age, but for what an open exchange of QoS 2 stands on.
    func takeAged(below position: UInt64, atMost count: Int) -> [RunPlace] {
        guard let first = waiting.first, first.position < position else { return [] }
        // What is taken behind an exchange that stays open leaves holes, of which there may be only so many.
        let places = oldest(below: position, atMost: min(count, max(0, holesMax - waiting.holeCount)))
        for place in places { waiting.take(place) }
        if let last = places.last { agedThrough = max(agedThrough, last.position) }
        return places
    }

    private func oldest(below position: UInt64, atMost count: Int) -> [RunPlace] {
        let busy = busy
        var places: [RunPlace] = []
        waiting.forEachWaiting { place in
            guard places.count < count, place.position < position else { return false }
            if busy.isEmpty || !busy.contains(place.position) { places.append(place) }
            return true
        }
        return places
    }

    /// Takes out what waits of some positions, which ascend.
    func take(_ positions: [Position]) -> [RunPlace] {
        let before = waiting.holeCount
        let places = waiting.take(positions)
        holesByHand = min(holesByHand, before) + max(0, waiting.holeCount - before)
        return places
    }

    /// Empties the queue.
    func takeAll() -> [RunPlace] {
        unwritten = []
        return waiting.takeAll()
    }

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
    ///
    /// - Parameter passed: what others come to later is added.
    func settle(_ passed: inout [MessageRun]) -> (lowWater: UInt64, exceptions: [UInt64])? {
        let isNeeded = unwritten.contains { part in
            part.indices.contains { part.run[$0].waiting > 0 }
        }
        for part in unwritten where part.run !== waiting.first?.run { passed.append(part.run) }
        unwritten = []
        guard isNeeded else { return nil }
        lowWater = max(lowWater, waiting.doneThrough)
        return (lowWater, waiting.exceptions)
    }

    // MARK: While the spool is being opened

    /// Takes out what the file says is done, once all rows are known.
    func restoreProgress() {
        waiting.restore(from: lowWater)
        for position in exceptions {
            // Of rows that are gone nobody needs to know.
            guard let place = waiting.take(position) else { continue }
            place.run.finish(place.index)
        }
        exceptions = []
        // Who made them is not known any more; what is answered from now on counts.
        holesByHand = waiting.holeCount
        countRestored = waiting.countEver
        counts.restored = UInt64(count)
    }
}

extension LevelMarks {
    fileprivate init(_ bounds: QueueBounds) {
        self.init(messagesMax: bounds.messagesMax, bytesMax: bounds.bytesMax, bounds.watermarks)
    }
}
