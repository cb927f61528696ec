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
    var queues: [ReceiverID: ReceiverQueue] = [:]
    var openRuns = OpenRuns()
    /// While the spool is being opened: all runs that were made of its rows.
    private var restored: [MessageRun] = []
    private var living = LivingReceivers()
    /// Clients whose will is on disk.
    var wills: Set<MQTTString> = []
    /// True when there may be queues that keep what they have when they are full.
    var keepsNewestOut = false
    var streams = StreamParts()
    /// How many were applied.
    var batches: UInt64 = 0
    /// Messages that somebody waits for, each counted once, and their bytes.
    var open: (messages: Int, bytes: Int) = (0, 0)
    var options: SpoolOptions
    var ages: AgeWatch
    var lastPosition: UInt64
    var nextReceiver: UInt64

    init(options: SpoolOptions, lastPosition: UInt64, nextReceiver: UInt64) {
        self.options = options
        self.lastPosition = lastPosition
        self.nextReceiver = nextReceiver
        ages = AgeWatch(options.ages)
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
        ages.note(position + 1, at: came)
        let run = run(for: living.of(deliveries, in: queues))
        if run.count == 0 { restored.append(run) }
        _ = run.append(position, bytes: bytes)
        openRuns.closeIfLong(run)
        openRuns.packClosed()
    }

    /// All rows were taken in.
    /// - Returns: the positions of those that nobody waits for.
    mutating func restoreProgress() -> [UInt64] {
        for run in restored where run.isOpen { openRuns.close(run) }
        openRuns.packClosed()
        for queue in queues.values { queue.restoreProgress() }
        var finished: [UInt64] = []
        for run in restored {
            run.settleBeginnings()
            for index in 0..<run.count {
                let entry = run[index]
                if entry.waiting == 0 { finished.append(entry.position) } else { count(entry) }
            }
            run.pack()
        }
        restored = []
        living = LivingReceivers()
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
        ages.set(options.ages)
        var runs: [ObjectIdentifier: MessageRun] = [:]
        for queue in queues.values {
            queue.bounds = options.bounds(of: queue.kind)
            if let run = queue.waiting.openRun { runs[ObjectIdentifier(run)] = run }
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

    /// The books and states of queues that changed, for those who are told.
    func tell(_ touched: [ReceiverQueue], _ batch: inout Batch) {
        batch.open = open
        for queue in touched {
            if queue.updateLevel() { batch.levels.append((queue.receiver, queue.level)) }
            batch.tallies.append(Batch.Tallied(receiver: queue.receiver, tally: queue.tally, isGone: false))
            if queue.updateFullness() { batch.fullness.append((queue.receiver, queue.isFull)) }
        }
    }

    /// Somebody waits for one more message.
    mutating func count(_ entry: MessageRun.Entry) {
        open.messages += 1
        open.bytes += Int(entry.bytes)
    }

    /// Nobody waits for this message any more.
    mutating func uncount(_ entry: MessageRun.Entry) {
        open.messages -= 1
        open.bytes -= Int(entry.bytes)
    }

    // MARK: Pages

    /// The positions of a page, and where it ends.
    func page(_ request: LoadRequest) -> (positions: [UInt64], end: Position) {
        guard let queue = queues[request.receiver] else { return ([], Position(lastPosition)) }
        if let last = request.listed.last {
            return (request.listed.map(\.number).filter(queue.waiting.contains), last)
        }
        let (positions, isComplete) = queue.waiting.positions(after: request.after.number, count: request.messagesMax)
        return (positions, Position(isComplete ? lastPosition : positions.last ?? lastPosition))
    }

    // MARK: Runs

    /// The run that a message joins. One without receivers when nobody is there to wait for it.
    mutating func run(for deliveries: [Delivery]) -> MessageRun {
        if deliveries.count == 1 {
            if let run = queues[deliveries[0].receiver]?.waiting.ownRun { return run }
        } else if let run = openRuns.run(for: deliveries) {
            return run
        }
        // A receiver that is gone by now had its messages discarded with it.
        var members: [ReceiverQueue] = []
        members.reserveCapacity(deliveries.count)
        var seen: Set<ReceiverID> = []
        for delivery in deliveries where deliveries.count == 1 || seen.insert(delivery.receiver).inserted {
            if let queue = queues[delivery.receiver] { members.append(queue) }
        }
        let run = MessageRun(members, deliveries: deliveries)
        for queue in members {
            if let open = queue.waiting.openRun { openRuns.close(open) }
            queue.waiting.begin(run)
        }
        run.measureRoom()
        if members.count == deliveries.count { openRuns.insert(run) }
        return run
    }

    // MARK: Messages that are lost

    /// Takes a message out of all queues, because it could not be stored or its row is damaged.
    /// - Returns: what changed, for those who are told; nothing of it needs to be written.
    mutating func forget(_ position: UInt64, _ reason: DropReason) -> Batch {
        var batch = Batch()
        var touched: [ReceiverQueue] = []
        for queue in queues.values.sorted(by: { $0.receiver < $1.receiver }) {
            guard let place = queue.waiting.take(position) else { continue }
            if place.entry.waiting > 0 { uncount(place.entry) }
            place.run.forget(place.index)
            queue.dropped(reason)
            touched.append(queue)
            batch.dropped.append(.init(receiver: queue.receiver, messages: 1, reason: reason))
        }
        tell(touched, &batch)
        return batch
    }
}

/// While the spool is being opened: rows name receivers that are gone by now, whose messages went with them. Without those the
/// rows of a room are of one run again. Most rows have the list of the row before them.
private struct LivingReceivers {
    private var last: (deliveries: [Delivery], living: [Delivery]) = ([], [])

    mutating func of(_ deliveries: [Delivery], in queues: [ReceiverID: ReceiverQueue]) -> [Delivery] {
        if deliveries != last.deliveries {
            last = (deliveries, deliveries.filter { queues[$0.receiver] != nil })
        }
        return last.living
    }
}
