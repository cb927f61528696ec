import BrokerCore
import DequeModule
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
    /// The positions that somebody waits for.
    private var open: [UInt64: Waiting] = [:]
    /// Clients whose will is on disk.
    private var wills: Set<MQTTString> = []
    /// Bytes of the messages in `open`, each counted once.
    private var openBytes = 0
    private let options: SpoolOptions
    private(set) var lastPosition: UInt64
    private(set) var nextReceiver: UInt64

    /// How many receivers wait for a position, and the size of its message.
    private struct Waiting {
        var receivers: UInt32
        var bytes: UInt32
    }

    init(options: SpoolOptions, lastPosition: UInt64, nextReceiver: UInt64) {
        self.options = options
        self.lastPosition = lastPosition
        self.nextReceiver = nextReceiver
    }

    // MARK: At the start

    mutating func restore(_ queue: ReceiverQueue) { queues[queue.receiver] = queue }

    mutating func restore(will clientID: MQTTString) { wills.insert(clientID) }

    /// The receivers that are full and refuse, once all is restored.
    func full() -> [ReceiverID] {
        for queue in queues.values { _ = queue.updateFullness() }
        return queues.values.filter(\.isFull).map(\.receiver).sorted()
    }

    /// Takes in a row of the file. False when nobody waits for it.
    mutating func restore(_ position: UInt64, receivers: ByteBuffer, bytes: Int) -> Restored {
        var count: UInt32 = 0
        let isSound = DeliveryList.forEachReceiver(in: receivers) { receiver in
            guard let queue = queues[receiver], !queue.isDone(with: position),
                queue.enqueue(position, bytes: bytes)
            else { return }
            queue.restored()
            count += 1
        }
        if count > 0 { wait(for: position, receivers: count, bytes: bytes) }
        // Whoever is named before the damage keeps it until the row is read, and its checksum tells.
        return isSound ? count > 0 ? .waits : .finished : .damaged
    }

    enum Restored {
        case waits, finished, damaged
    }

    func depth(of receiver: ReceiverID) -> Int { queues[receiver]?.waiting.count ?? 0 }

    /// The books of all, as if something had happened to each.
    func allTallies() -> Batch {
        var batch = Batch()
        tell(Set(queues.keys), &batch)
        return batch
    }

    private mutating func wait(for position: UInt64, receivers: UInt32, bytes: Int) {
        let waiting = Waiting(receivers: receivers, bytes: UInt32(clamping: bytes))
        open[position] = waiting
        openBytes += Int(waiting.bytes)
    }

    /// - Returns: nil when nobody waits for the position.
    private mutating func removeOpen(_ position: UInt64) -> Waiting? {
        guard let waiting = open.removeValue(forKey: position) else { return nil }
        openBytes -= Int(waiting.bytes)
        return waiting
    }

    // MARK: Pages

    /// The positions of a page, and where it ends.
    func page(_ request: LoadRequest) -> (positions: [UInt64], end: Position) {
        guard let queue = queues[request.receiver] else { return ([], Position(lastPosition)) }
        let (positions, isComplete) = queue.positions(after: request.after.number, count: request.messagesMax)
        return (positions, Position(isComplete ? lastPosition : positions.last ?? lastPosition))
    }

    // MARK: Batches

    /// Applies records in their order and returns what must be written. Done once per batch, however often writing it
    /// fails.
    mutating func apply(_ appends: [SpoolAppend]) -> Batch {
        var changes = BatchChanges(base: lastPosition + 1)
        for append in appends {
            for record in append.records { apply(record, shard: append.shard, &changes) }
        }
        return finish(&changes)
    }

    private mutating func apply(_ record: SpoolRecord, shard: Int, _ changes: inout BatchChanges) {
        switch record {
        case .message(let message, let deliveries):
            lastPosition += 1
            enqueue(message, deliveries, shard: shard, &changes)
        case .acknowledged(let receiver, let position):
            acknowledge(position, by: receiver, &changes)
        case .givenUp(let receiver, let position, let reason):
            giveUp(position.number, for: receiver, reason, &changes)
        case .outboundPublish(let receiver, let packetID, let position):
            let outbound = SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false)
            setOutbound(outbound, packetID, of: receiver, &changes)
        case .outboundRelease(let receiver, let packetID, let position):
            let outbound = SpoolContents.Outbound(packetID: packetID, position: position, isReleased: true)
            setOutbound(outbound, packetID, of: receiver, &changes)
            acknowledge(position, by: receiver, &changes)
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
        let position = lastPosition
        let bytes = message.bytes
        var row = BatchChanges.Fresh(message: message, deliveries: deliveries, shard: shard)
        var overflowing: [ReceiverQueue] = []
        var count: UInt32 = 0
        for delivery in deliveries {
            // A receiver that is gone by now had its messages discarded with it.
            guard let queue = queues[delivery.receiver] else {
                row.done.append(delivery.receiver)
                changes.missed += 1
                continue
            }
            if queue.bounds.whenFull == .dropNewest, queue.isBeyondBounds(with: bytes), !queue.isLast(position) {
                if queue.turnAway(position) {
                    changes.touchedQueues.insert(delivery.receiver)
                    row.done.append(delivery.receiver)
                    changes.dropped(delivery.receiver, shard: shard, messages: 1, .newest)
                }
                continue
            }
            guard queue.enqueue(position, bytes: bytes) else {
                row.keepFirstOfEachReceiver()
                continue
            }
            count += 1
            queue.taken()
            changes.touchedQueues.insert(delivery.receiver)
            if queue.isBeyondBounds { overflowing.append(queue) }
        }
        if count > 0 { wait(for: position, receivers: count, bytes: bytes) }
        changes.fresh.append(row)
        for queue in overflowing { makeRoom(in: queue, shard: shard, &changes) }
    }

    private mutating func makeRoom(in queue: ReceiverQueue, shard: Int, _ changes: inout BatchChanges) {
        switch queue.bounds.whenFull {
        case .dropOldest, .dropQoS0ThenOldest: break
        // What does not fit was not taken in, or is refused to those who publish next.
        case .dropNewest, .reject: return
        }
        var count = 0
        while queue.isBeyondBounds, let position = queue.removeOldestNotInExchange() {
            finish(position, for: queue, &changes)
            count += 1
        }
        guard count > 0 else { return }
        queue.dropped(.oldest, count)
        changes.dropped(queue.receiver, shard: shard, messages: count, .oldest)
    }

    private mutating func acknowledge(_ position: Position, by receiver: ReceiverID, _ changes: inout BatchChanges) {
        guard position > .zero, let queue = queues[receiver] else { return }
        changes.touchedQueues.insert(receiver)
        guard queue.remove(position.number) else { return queue.deliveredAfterAll() }
        queue.delivered()
        finish(position.number, for: queue, &changes)
    }

    private mutating func giveUp(
        _ position: UInt64,
        for receiver: ReceiverID,
        _ reason: GivenUpReason,
        _ changes: inout BatchChanges
    ) {
        // What vanished was counted when it did, unless it is told here first.
        guard let queue = queues[receiver], queue.remove(position) else { return }
        changes.touchedQueues.insert(receiver)
        queue.dropped(DropReason(reason))
        finish(position, for: queue, &changes)
    }

    /// A position that was taken out of a queue has one receiver less.
    private mutating func finish(_ position: UInt64, for queue: ReceiverQueue, _ changes: inout BatchChanges) {
        queue.bytes -= Int(open[position]?.bytes ?? 0)
        if releases(position, &changes) { return }
        if position >= changes.base {
            changes.fresh[Int(position - changes.base)].done.append(queue.receiver)
        } else {
            queue.addException(position)
            changes.touchedCursors.insert(queue.receiver)
        }
    }

    /// True when nobody waits for the position any more.
    private mutating func releases(_ position: UInt64, _ changes: inout BatchChanges) -> Bool {
        guard let waiting = open[position] else { return true }
        guard waiting.receivers == 1 else {
            open[position] = Waiting(receivers: waiting.receivers - 1, bytes: waiting.bytes)
            return false
        }
        _ = removeOpen(position)
        if position < changes.base { changes.finished.append(position) }
        return true
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
            queue.bounds = bounds
        } else {
            // Nothing before this moment can be for it.
            queues[receiver] = ReceiverQueue(receiver: receiver, bounds: bounds, lowWater: lastPosition)
            changes.touchedQueues.insert(receiver)
        }
        changes.receivers.set(receiver, record)
        if receiver.number >= nextReceiver { nextReceiver = receiver.number &+ 1 }
    }

    private mutating func remove(_ receiver: ReceiverID, _ changes: inout BatchChanges) {
        guard let queue = queues.removeValue(forKey: receiver) else { return }
        queue.dropped(.ended, queue.waiting.count)
        for position in queue.removeAll() where !releases(position, &changes) && position >= changes.base {
            changes.fresh[Int(position - changes.base)].done.append(receiver)
        }
        changes.gone.append(receiver)
        changes.touchedQueues.remove(receiver)
        changes.closedBooks.append(Batch.Tallied(receiver: receiver, tally: queue.tally, isGone: true))
        // Whatever this batch has for it is deleted by number before anything is written.
        changes.receivers.set(receiver, nil)
        changes.subscriptions.removeAll { $0.receiver == receiver }
        changes.inbound.removeAll { $0.receiver == receiver }
        changes.outbound.removeAll { $0.receiver == receiver }
    }

    // MARK: The net effect

    private mutating func finish(_ changes: inout BatchChanges) -> Batch {
        var batch = Batch()
        batch.nextPosition = lastPosition + 1
        batch.nextReceiver = nextReceiver
        batch.messages = changes.fresh.count
        batch.gone = changes.gone
        batch.finished = changes.finished
        batch.dropped = changes.drops
        for (index, fresh) in changes.fresh.enumerated() {
            let position = changes.base + UInt64(index)
            guard open[position] != nil else { continue }
            batch.rows.append(
                Batch.Row(
                    position: position,
                    message: fresh.message,
                    deliveries: fresh.remaining,
                    shard: fresh.shard
                )
            )
        }
        for (receiver, record) in changes.receivers.inOrder {
            guard let record, let queue = queues[receiver] else { continue }
            batch.receivers.append(Batch.NewReceiver(record: record, lowWater: queue.lowWater))
        }
        for receiver in changes.touchedCursors.sorted() {
            guard let queue = queues[receiver] else { continue }
            let (lowWater, exceptions) = queue.settle { open[$0] != nil }
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
        tell(changes.touchedQueues, &batch)
        return batch
    }

    private func tell(_ receivers: Set<ReceiverID>, _ batch: inout Batch) {
        batch.open = (open.count, openBytes)
        for receiver in receivers.sorted() {
            guard let queue = queues[receiver] else { continue }
            batch.tallies.append(Batch.Tallied(receiver: receiver, tally: queue.tally, isGone: false))
            if queue.updateFullness() { batch.fullness.append((receiver, queue.isFull)) }
        }
    }

    // MARK: Messages that are lost

    /// Takes a message out of all queues, because it could not be stored or its row is damaged.
    /// - Returns: what changed, for those who are told; nothing of it needs to be written.
    mutating func forget(_ position: UInt64, shard: Int, _ reason: DropReason) -> Batch {
        var batch = Batch()
        batch.open = (open.count, openBytes)
        guard let waiting = removeOpen(position) else { return batch }
        var touched: Set<ReceiverID> = []
        for queue in queues.values.sorted(by: { $0.receiver < $1.receiver }) where queue.remove(position) {
            queue.bytes -= Int(waiting.bytes)
            queue.dropped(reason)
            touched.insert(queue.receiver)
            batch.dropped.append(.init(shard: shard, receiver: queue.receiver, messages: 1, reason: reason))
        }
        tell(touched, &batch)
        return batch
    }
}

extension DropReason {
    init(_ reason: GivenUpReason) {
        self =
            switch reason {
            case .expired: .expired
            case .tooLarge: .tooLarge
            case .rejected: .rejected
            case .vanished: .damaged
            }
    }
}
