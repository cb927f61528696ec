import BrokerCore
import DequeModule
import MQTTCodec

/// All queues of the spool in memory: who waits for which position. It belongs to the writer thread, which applies a
/// batch of records to it and gets the net effect that must be written; pages are looked up between batches, so they
/// only ever name rows that are committed.
///
/// A message whose receivers all acknowledge it inside the batch that brings it needs no row. An acknowledgement is
/// not a row either: the last one deletes the message's row, an earlier one joins the exceptions of its receiver.
struct QueueIndex {
    private var queues: [ReceiverID: ReceiverQueue] = [:]
    /// How many receivers still wait for a position. Positions that nobody waits for are not in it.
    private var open: [UInt64: Int] = [:]
    private let queueMessagesMax: Int
    private(set) var lastPosition: UInt64
    private(set) var nextReceiver: UInt64

    init(queueMessagesMax: Int, lastPosition: UInt64, nextReceiver: UInt64) {
        self.queueMessagesMax = queueMessagesMax
        self.lastPosition = lastPosition
        self.nextReceiver = nextReceiver
    }

    // MARK: At the start

    mutating func restore(_ queue: ReceiverQueue) { queues[queue.receiver] = queue }

    /// Takes in a row of the file. False when nobody waits for it.
    mutating func restore(_ position: UInt64, deliveries: [Delivery]) -> Bool {
        var count = 0
        for delivery in deliveries {
            guard let queue = queues[delivery.receiver], !queue.isDone(with: position), queue.enqueue(position) else {
                continue
            }
            count += 1
        }
        guard count > 0 else { return false }
        open[position] = count
        return true
    }

    func depth(of receiver: ReceiverID) -> Int { queues[receiver]?.waiting.count ?? 0 }

    func depths() -> [(ReceiverID, Int?)] { queues.map { ($0.key, $0.value.waiting.count) } }

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
            acknowledge(position.number, by: receiver, &changes)
        case .outboundPublish(let receiver, let packetID, let position):
            let outbound = SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false)
            setOutbound(outbound, packetID, of: receiver, &changes)
        case .outboundRelease(let receiver, let packetID, let position):
            let outbound = SpoolContents.Outbound(packetID: packetID, position: position, isReleased: true)
            setOutbound(outbound, packetID, of: receiver, &changes)
            acknowledge(position.number, by: receiver, &changes)
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
        case .will, .willGone, .demandsSync:
            break
        }
    }

    private mutating func enqueue(
        _ message: Message,
        _ deliveries: [Delivery],
        shard: Int,
        _ changes: inout BatchChanges
    ) {
        let position = lastPosition
        var row = BatchChanges.Fresh(message: message, deliveries: deliveries)
        var overflowing: [ReceiverQueue] = []
        var count = 0
        for delivery in deliveries {
            // A receiver that is gone by now had its messages discarded with it.
            guard let queue = queues[delivery.receiver] else {
                row.done.append(delivery.receiver)
                continue
            }
            guard queue.enqueue(position) else {
                row.keepFirstOfEachReceiver()
                continue
            }
            count += 1
            changes.touchedDepths.insert(delivery.receiver)
            if queue.isSession, queue.waiting.count > queueMessagesMax { overflowing.append(queue) }
        }
        if count > 0 { open[position] = count }
        changes.fresh.append(row)
        for queue in overflowing { dropOldest(of: queue, shard: shard, &changes) }
    }

    private mutating func dropOldest(of queue: ReceiverQueue, shard: Int, _ changes: inout BatchChanges) {
        var count = 0
        while queue.waiting.count > queueMessagesMax, let position = queue.removeOldestNotInExchange() {
            finish(position, for: queue, &changes)
            count += 1
        }
        if count > 0 { changes.dropped(queue.receiver, shard: shard, messages: count) }
    }

    private mutating func acknowledge(_ position: UInt64, by receiver: ReceiverID, _ changes: inout BatchChanges) {
        guard let queue = queues[receiver], queue.remove(position) else { return }
        changes.touchedDepths.insert(receiver)
        finish(position, for: queue, &changes)
    }

    /// A position that was taken out of a queue has one receiver less.
    private mutating func finish(_ position: UInt64, for queue: ReceiverQueue, _ changes: inout BatchChanges) {
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
        guard let count = open[position] else { return true }
        guard count == 1 else {
            open[position] = count - 1
            return false
        }
        open.removeValue(forKey: position)
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
        let isSession = if case .session = record.kind { true } else { false }
        if let queue = queues[receiver] {
            queue.isSession = isSession
        } else {
            // Nothing before this moment can be for it.
            queues[receiver] = ReceiverQueue(receiver: receiver, isSession: isSession, lowWater: lastPosition)
            changes.touchedDepths.insert(receiver)
        }
        changes.receivers.set(receiver, record)
        if receiver.number >= nextReceiver { nextReceiver = receiver.number &+ 1 }
    }

    private mutating func remove(_ receiver: ReceiverID, _ changes: inout BatchChanges) {
        guard let queue = queues.removeValue(forKey: receiver) else { return }
        for position in queue.removeAll() where !releases(position, &changes) && position >= changes.base {
            changes.fresh[Int(position - changes.base)].done.append(receiver)
        }
        changes.gone.append(receiver)
        changes.touchedDepths.insert(receiver)
        // Whatever this batch has for it is deleted by number before anything is written.
        changes.receivers.set(receiver, nil)
        changes.subscriptions.removeAll { $0.receiver == receiver }
        changes.inbound.removeAll { $0.receiver == receiver }
        changes.outbound.removeAll { $0.receiver == receiver }
    }

    // MARK: The net effect

    private func finish(_ changes: inout BatchChanges) -> Batch {
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
            batch.rows.append(Batch.Row(position: position, message: fresh.message, deliveries: fresh.remaining))
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
        for receiver in changes.touchedDepths.sorted() {
            batch.depths.append((receiver, queues[receiver]?.waiting.count))
        }
        return batch
    }
}
