import BrokerCore
import MQTTCodec
import NIOCore

/// All queues of the spool in memory: who waits for which position. It belongs to the writer thread, which applies a
/// batch of records to it and gets the net effect that must be written; pages are looked up between batches, so they
/// only ever name rows that are committed.
///
/// A message whose receivers all acknowledge it inside the batch that brings it needs no row. An acknowledgement is
/// not a row either: the last one deletes the message's row, an earlier one joins the exceptions of its receiver.
struct QueueIndex {
    private var queues: [ReceiverID: ReceiverQueue] = [:]
    /// Runs of several receivers that the next message for them joins.
    private var openRuns: [RunKey: MessageRun] = [:]
    /// While the spool is being opened: all runs that were made of its rows.
    private var restored: [MessageRun] = []
    /// Clients whose will is on disk.
    private var wills: Set<MQTTString> = []
    /// True when there may be queues that keep what they have when they are full.
    private var keepsNewestOut = false
    /// How many were applied.
    private var batches: UInt64 = 0
    /// Messages that somebody waits for, each counted once, and their bytes.
    private var open: (messages: Int, bytes: Int) = (0, 0)
    private var options: SpoolOptions
    /// The shortest and the longest time that a queue keeps messages; nil when none looks at their age.
    private var ages: ClosedRange<Duration>?
    /// When messages came, for queues that keep them for so long only.
    private var arrivals = ArrivalTimes()
    /// When all queues are looked at for messages that are too old.
    private var nextSweep = Timestamp(microseconds: 0)
    private(set) var lastPosition: UInt64
    private(set) var nextReceiver: UInt64

    /// What two different sets of receivers seldom have in common.
    private struct RunKey: Hashable {
        var count: Int
        var first: ReceiverID
        var last: ReceiverID

        /// Nil for one receiver, whose run is found in its queue.
        init?(_ deliveries: [Delivery]) {
            guard deliveries.count > 1, let first = deliveries.first, let last = deliveries.last else { return nil }
            (count, self.first, self.last) = (deliveries.count, first.receiver, last.receiver)
        }
    }

    init(options: SpoolOptions, lastPosition: UInt64, nextReceiver: UInt64) {
        self.options = options
        self.lastPosition = lastPosition
        self.nextReceiver = nextReceiver
        ages = options.ages
        arrivals.grain = sweepInterval
    }

    // MARK: At the start

    mutating func restore(_ queue: ReceiverQueue) {
        queues[queue.receiver] = queue
        if queue.bounds.whenFull == .dropNewest { keepsNewestOut = true }
    }

    mutating func restore(will clientID: MQTTString) { wills.insert(clientID) }

    /// The receivers that are full and refuse, once all is restored.
    func full() -> [ReceiverID] {
        for queue in queues.values { _ = queue.updateFullness() }
        return queues.values.filter(\.isFull).map(\.receiver).sorted()
    }

    /// The receivers whose queues are above their watermarks, once all is restored and was told.
    func high() -> [(ReceiverID, QueueLevel)] {
        queues.values.filter(\.isHigh).map { ($0.receiver, $0.level) }.sorted { $0.0 < $1.0 }
    }

    /// Takes in a row of the file. Rows come in the order of their positions, after all queues.
    ///
    /// - Parameter came: when this node took the message, as far as the row says it; not later than now.
    mutating func restore(_ position: UInt64, for deliveries: [Delivery], bytes: Int, came: Timestamp) {
        arrivals.note(position + 1, at: came)
        let run = run(for: deliveries)
        if run.entries.isEmpty { restored.append(run) }
        _ = run.append(position, bytes: bytes)
        closeIfLong(run)
    }

    /// All rows were taken in.
    /// - Returns: the positions of those that nobody waits for.
    mutating func restoreProgress() -> [UInt64] {
        for run in restored { close(run) }
        for queue in queues.values { queue.restoreProgress() }
        var finished: [UInt64] = []
        for run in restored {
            run.settleBeginnings()
            for entry in run.entries {
                if entry.waiting == 0 { finished.append(entry.position) } else { count(entry) }
            }
        }
        restored = []
        return finished
    }

    /// Messages that somebody waits for, each counted once.
    var openMessages: Int { open.messages }

    func depth(of receiver: ReceiverID) -> Int { queues[receiver]?.count ?? 0 }

    /// Other bounds for all queues.
    /// - Returns: what changed, for those who are told; nothing of it needs to be written.
    mutating func setBounds(session: QueueBounds, links: [MQTTString: QueueBounds]) -> Batch {
        options.session = session
        options.links = links
        ages = options.ages
        arrivals.grain = sweepInterval
        nextSweep = Timestamp(microseconds: 0)
        var runs: [ObjectIdentifier: MessageRun] = [:]
        for queue in queues.values {
            queue.bounds = options.bounds(of: queue.kind)
            if let run = queue.openRun { runs[ObjectIdentifier(run)] = run }
        }
        for run in runs.values { run.measureRoom() }
        keepsNewestOut = queues.values.contains { $0.bounds.whenFull == .dropNewest }
        return allTallies()
    }

    /// The books of all, as if something had happened to each.
    func allTallies() -> Batch {
        var batch = Batch()
        tell(queues.values.sorted { $0.receiver < $1.receiver }, &batch)
        return batch
    }

    /// Somebody waits for one more message.
    private mutating func count(_ entry: MessageRun.Entry) {
        open.messages += 1
        open.bytes += Int(entry.bytes)
    }

    /// Nobody waits for this message any more.
    private mutating func uncount(_ entry: MessageRun.Entry) {
        open.messages -= 1
        open.bytes -= Int(entry.bytes)
    }

    // MARK: Pages

    /// The positions of a page, and where it ends.
    func page(_ request: LoadRequest) -> (positions: [UInt64], end: Position) {
        guard let queue = queues[request.receiver] else { return ([], Position(lastPosition)) }
        let (positions, isComplete) = queue.positions(after: request.after.number, count: request.messagesMax)
        return (positions, Position(isComplete ? lastPosition : positions.last ?? lastPosition))
    }

    // MARK: Batches

    /// Applies records in their order, lets go what is too old, and returns what must be written. Done once per batch,
    /// however often writing it fails.
    ///
    /// - Parameter now: the wall time at which the spool was opened, and what has passed since: a wall clock that is
    ///   set makes nothing older.
    mutating func apply(_ appends: [SpoolAppend], at now: Timestamp) -> Batch {
        batches += 1
        var changes = BatchChanges(base: lastPosition + 1, number: batches)
        for append in appends {
            // Borrowed: copying a record takes a reference to its message and to its list of receivers.
            let records = append.records.span
            for index in records.indices { apply(records[index], shard: append.shard, &changes) }
        }
        arrivals.note(lastPosition + 1, at: now)
        if let ages {
            arrivals.forget(before: now.earlier(by: ages.upperBound))
            giveUpAged(appends, at: now, &changes)
        }
        return finish(&changes)
    }

    private mutating func apply(_ record: SpoolRecord, shard: Int, _ changes: inout BatchChanges) {
        switch record {
        case .message(let message, let deliveries):
            lastPosition += 1
            enqueue(message, deliveries, shard: shard, &changes)
        case .acknowledged(let receiver, let position):
            acknowledge(position, by: receiver, shard: shard, &changes)
        case .givenUp(let receiver, let position, let reason):
            giveUp(position.number, for: receiver, reason, &changes)
        case .outboundPublish(let receiver, let packetID, let position):
            let outbound = SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false)
            setOutbound(outbound, packetID, of: receiver, &changes)
        case .outboundShared(let receiver, let packetID, let position, let source):
            let outbound = SpoolContents.Outbound(
                packetID: packetID, position: position, isReleased: false, source: source)
            setOutbound(outbound, packetID, of: receiver, &changes)
        case .outboundRelease(let receiver, let packetID, let position):
            let outbound = SpoolContents.Outbound(packetID: packetID, position: position, isReleased: true)
            setOutbound(outbound, packetID, of: receiver, &changes)
            acknowledge(position, by: receiver, shard: shard, &changes)
        case .outboundComplete(let receiver, let packetID):
            setOutbound(nil, packetID, of: receiver, &changes)
        case .inboundPublish(let receiver, let packetID):
            guard let queue = queues[receiver] else { return }
            let wasNew = queue.inbound.insert(packetID).inserted
            changes.inbound.touch(PacketKey(receiver, packetID), existed: !wasNew)
        case .inboundRelease(let receiver, let packetID):
            guard let queue = queues[receiver] else { return }
            let existed = queue.inbound.remove(packetID) != nil
            changes.inbound.touch(PacketKey(receiver, packetID), existed: existed)
        case .receiver(let record):
            setReceiver(record, &changes)
        case .receiverGone(let receiver):
            remove(receiver, &changes)
        case .subscribe(let receiver, let record):
            guard queues[receiver] != nil else { return }
            changes.subscriptions.set(SubscriptionKey(receiver, record.filter), record)
        case .unsubscribe(let receiver, let filter):
            guard queues[receiver] != nil else { return }
            changes.subscriptions.set(SubscriptionKey(receiver, filter), nil)
        case .retain(let message):
            changes.retained.set(message.topic, message)
        case .retainGone(let topic):
            changes.retained.set(topic, nil)
        case .will(let record):
            changes.wills.set(record.clientID, record)
        case .willGone(let clientID):
            changes.wills.set(clientID, nil)
        case .demandsSync:
            changes.demandsSync = true
        }
    }

    private mutating func enqueue(
        _ message: Message,
        _ deliveries: [Delivery],
        shard: Int,
        _ changes: inout BatchChanges
    ) {
        var row = Batch.Row(position: lastPosition, message: message, deliveries: deliveries, shard: shard)
        if keepsNewestOut { refuseNewest(&row, &changes) }
        guard !row.deliveries.isEmpty else { return changes.append(row, nil) }
        let run = run(for: row.deliveries)
        guard run.isOpen else {
            changes.missed += row.deliveries.count
            return changes.append(row, nil)
        }
        changes.touch(run)
        let place = RunPlace(run: run, index: run.append(lastPosition, bytes: message.bytes))
        count(place.entry)
        if run.receivers < row.deliveries.count { keepReceivers(&row, of: run, &changes) }
        changes.append(row, place)
        if run.mayOverflow {
            for queue in run.queues { makeRoom(in: queue, shard: shard, &changes) }
            run.measureRoom()
        }
        closeIfLong(run)
    }

    /// Full queues that keep what they have do not take the message in.
    private func refuseNewest(_ row: inout Batch.Row, _ changes: inout BatchChanges) {
        let bytes = row.message.bytes
        func isRefused(_ delivery: Delivery) -> Bool {
            guard let queue = queues[delivery.receiver], queue.bounds.whenFull == .dropNewest else { return false }
            return queue.isBeyondBounds(with: bytes)
        }
        guard row.deliveries.contains(where: isRefused) else { return }
        let refused = row.deliveries.filter(isRefused)
        for receiver in Set(refused.map(\.receiver)).sorted() {
            guard let queue = queues[receiver] else { continue }
            let reason: DropReason = queue.hasTooManyHoles ? .holes : .newest
            queue.turnAway(reason)
            changes.touch(queue)
            changes.dropped(receiver, shard: row.shard, messages: 1, reason)
        }
        row.deliveries.removeAll(where: isRefused)
    }

    /// Leaves out receivers that are gone, and whoever is named twice: it gets the message once.
    private func keepReceivers(_ row: inout Batch.Row, of run: MessageRun, _ changes: inout BatchChanges) {
        changes.missed += row.deliveries.count { queues[$0.receiver] == nil }
        var members = Set(run.queues.map(\.receiver))
        row.deliveries.removeAll { members.remove($0.receiver) == nil }
    }

    // MARK: Runs

    /// The run that a message joins. One without receivers when nobody is there to wait for it.
    private mutating func run(for deliveries: [Delivery]) -> MessageRun {
        let key = RunKey(deliveries)
        if let key {
            // Mostly it is the same array, which one look at it tells.
            if let run = openRuns[key], Self.hasSameReceivers(run, deliveries) {
                run.deliveries = deliveries
                return run
            }
        } else if let run = deliveries.first.flatMap({ queues[$0.receiver]?.ownRun }) {
            return run
        }
        // A receiver that is gone by now had its messages discarded with it.
        var members: [ReceiverQueue] = []
        members.reserveCapacity(deliveries.count)
        var seen: Set<ReceiverID> = []
        for delivery in deliveries where key == nil || seen.insert(delivery.receiver).inserted {
            if let queue = queues[delivery.receiver] { members.append(queue) }
        }
        let run = MessageRun(members, deliveries: deliveries)
        for queue in members {
            if let open = queue.openRun { close(open) }
            queue.begin(run)
        }
        run.measureRoom()
        if let key, members.count == deliveries.count {
            if let other = openRuns[key] { close(other) }
            openRuns[key] = run
        }
        return run
    }

    private static func hasSameReceivers(_ run: MessageRun, _ deliveries: [Delivery]) -> Bool {
        run.deliveries == deliveries
            || zip(run.deliveries, deliveries).allSatisfy { $0.receiver == $1.receiver }
    }

    private mutating func close(_ run: MessageRun) {
        run.close()
        if let key = RunKey(run.deliveries), openRuns[key] === run { openRuns[key] = nil }
    }

    /// What is not among the open runs, although it has several receivers, is closed as well: those that are missing may
    /// come.
    private mutating func closeIfLong(_ run: MessageRun) {
        let isKnown = RunKey(run.deliveries).map { openRuns[$0] === run } ?? true
        if run.isLong || !isKnown { close(run) }
    }

    // MARK: What is done

    private mutating func makeRoom(in queue: ReceiverQueue, shard: Int, _ changes: inout BatchChanges) {
        guard queue.dropsOldest else { return }
        while let reason = queue.excess, let place = queue.takeOldestNotInExchange() {
            finish(place, for: queue, &changes)
            queue.dropped(reason)
            changes.dropped(queue.receiver, shard: shard, messages: 1, reason)
        }
    }

    private mutating func acknowledge(
        _ position: Position,
        by receiver: ReceiverID,
        shard: Int,
        _ changes: inout BatchChanges
    ) {
        guard position > .zero, let queue = queues[receiver] else { return }
        changes.touch(queue)
        guard let place = queue.take(position.number) else { return queue.deliveredAfterAll(position.number) }
        queue.delivered()
        finish(place, for: queue, &changes)
        if queue.hasTooManyHoles { makeRoom(in: queue, shard: shard, &changes) }
    }

    private mutating func giveUp(
        _ position: UInt64,
        for receiver: ReceiverID,
        _ reason: GivenUpReason,
        _ changes: inout BatchChanges
    ) {
        // What vanished was counted when it did, unless it is told here first.
        guard let queue = queues[receiver], let place = queue.take(position) else { return }
        changes.touch(queue)
        queue.dropped(DropReason(reason))
        finish(place, for: queue, &changes)
    }

    /// An entry that was taken out of a queue has one receiver less.
    private mutating func finish(_ place: RunPlace, for queue: ReceiverQueue, _ changes: inout BatchChanges) {
        let position = place.entry.position
        if place.run.finish(place.index) {
            uncount(place.entry)
            if position < changes.base { changes.finished.append(position) }
        } else if position >= changes.base {
            changes.done(queue.receiver, with: position)
        } else {
            queue.remember(place)
            changes.touchedCursors.insert(queue.receiver)
        }
        if let run = queue.finishedRun {
            close(run)
            queue.leaveFinishedRun()
        }
    }

    private func setOutbound(
        _ outbound: SpoolContents.Outbound?,
        _ packetID: UInt16,
        of receiver: ReceiverID,
        _ changes: inout BatchChanges
    ) {
        guard let queue = queues[receiver] else { return }
        let before = queue.outbound.removeValue(forKey: packetID)
        if let outbound { queue.outbound[packetID] = outbound }
        changes.outbound.touch(PacketKey(receiver, packetID), existed: before != nil)
    }

    private mutating func setReceiver(_ record: ReceiverRecord, _ changes: inout BatchChanges) {
        let receiver = record.receiver
        let bounds = options.bounds(of: record.kind)
        if let queue = queues[receiver] {
            (queue.kind, queue.bounds) = (record.kind, bounds)
        } else {
            // Nothing before this moment can be for it.
            let queue = ReceiverQueue(receiver: receiver, kind: record.kind, bounds: bounds, lowWater: lastPosition)
            queues[receiver] = queue
            if bounds.whenFull == .dropNewest { keepsNewestOut = true }
            changes.touch(queue)
        }
        changes.receivers.set(receiver, record)
        if receiver.number >= nextReceiver { nextReceiver = receiver.number &+ 1 }
    }

    private mutating func remove(_ receiver: ReceiverID, _ changes: inout BatchChanges) {
        guard let queue = queues.removeValue(forKey: receiver) else { return }
        if let run = queue.openRun { close(run) }
        changes.closedBooks.append(Batch.Tallied(receiver: receiver, tally: queue.lastTally, isGone: true))
        for place in queue.takeAll() {
            let position = place.entry.position
            if place.run.finish(place.index) {
                uncount(place.entry)
                if position < changes.base { changes.finished.append(position) }
            } else if position >= changes.base {
                changes.done(receiver, with: position)
            }
        }
        changes.gone.append(receiver)
        // Whatever this batch has for it is deleted by number before anything is written.
        changes.receivers.set(receiver, nil)
        changes.subscriptions.removeAll { $0.receiver == receiver }
        changes.inbound.removeAll { $0.receiver == receiver }
        changes.outbound.removeAll { $0.receiver == receiver }
    }

    // MARK: What is too old

    /// As many go with one batch, so that nobody waits for the commit of a queue that was forgotten for a month.
    private static let agedMax = 10_000

    /// How far apart two looks at all queues are: a small part of the shortest bound.
    private var sweepInterval: UInt64 {
        guard let shortest = ages?.lowerBound else { return 60_000_000 }
        return min(max(shortest.microseconds / 32, 50_000), 60_000_000)
    }

    /// How long until all queues have to be looked at; nil while there is nothing to find.
    func untilSweep(at now: Timestamp) -> Duration? {
        guard open.messages > 0, ages != nil else { return nil }
        return nextSweep > now ? .microseconds(nextSweep.microseconds - now.microseconds) : .zero
    }

    /// Queues that somebody reads or writes are looked at with each batch, all others once in a while.
    private mutating func giveUpAged(_ appends: [SpoolAppend], at now: Timestamp, _ changes: inout BatchChanges) {
        var cutoff = Cutoff(arrivals, now)
        var left = Self.agedMax
        for append in appends {
            for load in append.loads {
                guard let queue = queues[load.receiver] else { continue }
                giveUpAged(in: queue, below: cutoff.position(for: queue), &left, &changes)
            }
        }
        for queue in changes.touched { giveUpAged(in: queue, below: cutoff.position(for: queue), &left, &changes) }
        guard nextSweep <= now else { return }
        nextSweep = Timestamp(microseconds: now.microseconds + sweepInterval)
        let old = queues.values.filter { $0.hasWaiting(below: cutoff.position(for: $0)) }
        for queue in old.sorted(by: { $0.receiver < $1.receiver }) {
            giveUpAged(in: queue, below: cutoff.position(for: queue), &left, &changes)
        }
        if left == 0 { nextSweep = now }
    }

    private mutating func giveUpAged(
        in queue: ReceiverQueue,
        below position: UInt64,
        _ left: inout Int,
        _ changes: inout BatchChanges
    ) {
        guard left > 0 else { return }
        let places = queue.takeAged(below: position, atMost: left)
        guard !places.isEmpty else { return }
        left -= places.count
        for place in places { finish(place, for: queue, &changes) }
        queue.dropped(.aged, places.count)
        changes.touch(queue)
        changes.dropped(queue.receiver, shard: nil, messages: places.count, .aged)
    }

    /// Below which position messages are too old for a queue; asked for one queue after the other, most of which have
    /// the same bound.
    private struct Cutoff {
        private let arrivals: ArrivalTimes
        private let now: Timestamp
        private var known: (age: Duration, position: UInt64)?

        init(_ arrivals: ArrivalTimes, _ now: Timestamp) {
            self.arrivals = arrivals
            self.now = now
        }

        mutating func position(for queue: ReceiverQueue) -> UInt64 {
            guard let age = queue.bounds.ageMax else { return 0 }
            if let known, known.age == age { return known.position }
            let position = arrivals.position(by: now.earlier(by: age))
            known = (age, position)
            return position
        }
    }

    // MARK: The net effect

    private mutating func finish(_ changes: inout BatchChanges) -> Batch {
        var batch = Batch()
        batch.nextPosition = lastPosition + 1
        batch.nextReceiver = nextReceiver
        batch.messages = changes.messages
        batch.gone = changes.gone
        batch.finished = changes.finished
        batch.dropped = changes.drops
        batch.rows = changes.takeRows()
        for (receiver, record) in changes.receivers.inOrder {
            guard let record, let queue = queues[receiver] else { continue }
            batch.receivers.append(Batch.NewReceiver(record: record, lowWater: queue.lowWater))
        }
        for receiver in changes.touchedCursors.sorted() {
            guard let (lowWater, exceptions) = queues[receiver]?.settle() else { continue }
            batch.cursors.append(Batch.Cursor(receiver: receiver, lowWater: lowWater, exceptions: exceptions))
        }
        for (key, record) in changes.subscriptions.inOrder {
            batch.subscriptions.append(.init(receiver: key.receiver, filter: key.filter, record: record))
        }
        for (key, existed) in changes.inbound.inOrder {
            let isOpen = queues[key.receiver]?.inbound.contains(key.packetID) ?? false
            guard isOpen || existed else { continue }
            batch.inbound.append(.init(receiver: key.receiver, packetID: key.packetID, isOpen: isOpen))
        }
        for (key, existed) in changes.outbound.inOrder {
            let outbound = queues[key.receiver]?.outbound[key.packetID]
            guard outbound != nil || existed else { continue }
            batch.outbound.append(.init(receiver: key.receiver, packetID: key.packetID, outbound: outbound))
        }
        for (topic, message) in changes.retained.inOrder {
            batch.retained.append(Batch.Retained(topic: topic, message: message))
        }
        for (clientID, record) in changes.wills.inOrder {
            if record == nil {
                // A will that came and went inside the batch needs no row.
                guard wills.remove(clientID) != nil else { continue }
            } else {
                wills.insert(clientID)
            }
            batch.wills.append(Batch.Will(clientID: clientID, record: record))
        }
        batch.demandsSync = changes.demandsSync
        batch.missed = changes.missed
        batch.tallies = changes.closedBooks
        tell(changes.touched.filter { queues[$0.receiver] === $0 }, &batch)
        return batch
    }

    private func tell(_ touched: [ReceiverQueue], _ batch: inout Batch) {
        batch.open = open
        for queue in touched {
            if queue.updateLevel() { batch.levels.append((queue.receiver, queue.level)) }
            batch.tallies.append(Batch.Tallied(receiver: queue.receiver, tally: queue.tally, isGone: false))
            if queue.updateFullness() { batch.fullness.append((queue.receiver, queue.isFull)) }
        }
    }

    // MARK: Messages that are lost

    /// Takes a message out of all queues, because it could not be stored or its row is damaged.
    /// - Returns: what changed, for those who are told; nothing of it needs to be written.
    mutating func forget(_ position: UInt64, shard: Int, _ reason: DropReason) -> Batch {
        var batch = Batch()
        var touched: [ReceiverQueue] = []
        for queue in queues.values.sorted(by: { $0.receiver < $1.receiver }) {
            guard let place = queue.take(position) else { continue }
            if place.entry.waiting > 0 { uncount(place.entry) }
            place.run.forget(place.index)
            queue.dropped(reason)
            touched.append(queue)
            batch.dropped.append(.init(shard: shard, receiver: queue.receiver, messages: 1, reason: reason))
        }
        tell(touched, &batch)
        return batch
    }
}

extension Timestamp {
    /// The timestamp so much before; saturates.
    func earlier(by duration: Duration) -> Timestamp {
        let back = duration.microseconds
        return Timestamp(microseconds: microseconds > back ? microseconds - back : 0)
    }

    /// The timestamp so much later; saturates.
    func later(by duration: Duration) -> Timestamp {
        let (sum, overflow) = microseconds.addingReportingOverflow(duration.microseconds)
        return Timestamp(microseconds: overflow ? .max : sum)
    }
}

extension Duration {
    /// Whole microseconds; none of a negative duration.
    fileprivate var microseconds: UInt64 {
        guard self > .zero else { return 0 }
        let (whole, overflow) = UInt64(clamping: components.seconds).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .max : whole &+ UInt64(clamping: components.attoseconds / 1_000_000_000_000)
    }
}
