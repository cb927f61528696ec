import BrokerCore
import MQTTCodec

/// From records to what must be written.
extension QueueIndex {
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
            for index in records.indices { apply(records[index], &changes) }
        }
        ages.note(lastPosition + 1, at: now)
        if var cutoff = ages.cutoff(at: now) { giveUpAged(appends, below: &cutoff, at: now, &changes) }
        return finish(&changes)
    }

    private mutating func apply(_ record: SpoolRecord, _ changes: inout BatchChanges) {
        switch record {
        case .message(let message, let deliveries):
            lastPosition += 1
            enqueue(message, deliveries, &changes)
        case .acknowledged(let receiver, let position):
            acknowledge(position, by: receiver, &changes)
        case .givenUp(let receiver, let position, let reason):
            giveUp(position.number, for: receiver, reason, &changes)
        case .removed(let receiver, let positions, let reason):
            remove(positions, from: receiver, reason, &changes)
        case .carried(let file):
            changes.carried.set(CarriedKey(file), file)
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
        case .streamSeen(let stream, let id):
            changes.saw(id, of: stream)
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
            changes.batch.demandsSync = true
        }
    }

    private mutating func enqueue(_ message: Message, _ deliveries: [Delivery], _ changes: inout BatchChanges) {
        var row = Batch.Row(position: lastPosition, message: message, deliveries: deliveries)
        if keepsNewestOut { refuseNewest(&row, &changes) }
        guard !row.deliveries.isEmpty else { return changes.append(row, nil) }
        let run = run(for: row.deliveries)
        guard run.isOpen else {
            changes.batch.missed += row.deliveries.count
            return changes.append(row, nil)
        }
        changes.touch(run)
        let place = RunPlace(run, run.append(lastPosition, bytes: message.bytes))
        count(place.entry)
        if run.receivers < row.deliveries.count { keepReceivers(&row, of: run, &changes) }
        changes.append(row, place)
        if run.mayOverflow {
            for queue in run.queues { makeRoom(in: queue, &changes) }
            run.measureRoom()
        }
        openRuns.closeIfLong(run)
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
            changes.dropped(receiver, messages: 1, reason)
        }
        row.deliveries.removeAll(where: isRefused)
    }

    /// Leaves out receivers that are gone, and whoever is named twice: it gets the message once.
    private func keepReceivers(_ row: inout Batch.Row, of run: MessageRun, _ changes: inout BatchChanges) {
        changes.batch.missed += row.deliveries.count { queues[$0.receiver] == nil }
        var members = Set(run.queues.map(\.receiver))
        row.deliveries.removeAll { members.remove($0.receiver) == nil }
    }

    // MARK: What is done

    private mutating func makeRoom(in queue: ReceiverQueue, _ changes: inout BatchChanges) {
        guard queue.dropsOldest else { return }
        while let reason = queue.excess, let place = queue.takeOldestNotInExchange() {
            finish(place, for: queue, &changes)
            queue.dropped(reason)
            changes.dropped(queue.receiver, messages: 1, reason)
        }
    }

    private mutating func acknowledge(_ position: Position, by receiver: ReceiverID, _ changes: inout BatchChanges) {
        guard position > .zero, let queue = queues[receiver] else { return }
        changes.touch(queue)
        guard let place = queue.waiting.take(position.number) else { return queue.deliveredAfterAll(position.number) }
        queue.delivered()
        finish(place, for: queue, &changes)
        if queue.hasTooManyHoles { makeRoom(in: queue, &changes) }
    }

    private mutating func giveUp(
        _ position: UInt64,
        for receiver: ReceiverID,
        _ reason: GivenUpReason,
        _ changes: inout BatchChanges
    ) {
        // What vanished was counted when it did, unless it is told here first.
        guard let queue = queues[receiver], let place = queue.waiting.take(position) else { return }
        changes.touch(queue)
        queue.dropped(DropReason(reason))
        finish(place, for: queue, &changes)
    }

    /// Takes what still waits of some messages out of a queue.
    private mutating func remove(
        _ positions: [Position],
        from receiver: ReceiverID,
        _ reason: RemovalReason,
        _ changes: inout BatchChanges
    ) {
        guard let queue = queues[receiver] else { return }
        changes.touch(queue)
        let places = queue.take(positions)
        queue.dropped(DropReason(reason), places.count)
        for place in places { finish(place, for: queue, &changes) }
    }

    /// An entry that was taken out of a queue has one receiver less.
    mutating func finish(_ place: RunPlace, for queue: ReceiverQueue, _ changes: inout BatchChanges) {
        let position = place.position
        if place.run.finish(place.index) {
            uncount(place.entry)
            if position < changes.base { changes.batch.finished.append(position) }
        } else if position >= changes.base {
            changes.done(queue.receiver, with: position)
        } else {
            queue.remember(place)
            changes.touchedCursors.insert(queue.receiver)
        }
        if let run = queue.waiting.finishedRun {
            openRuns.close(run)
            queue.waiting.leaveFinishedRun()
        }
    }

    private func setOutbound(
        _ outbound: SpoolContents.Outbound?,
        _ packetID: UInt16,
        of receiver: ReceiverID,
        _ changes: inout BatchChanges
    ) {
        guard let queue = queues[receiver] else { return }
        let before =
            if let outbound {
                queue.outbound.updateValue(outbound, forKey: packetID)
            } else {
                queue.outbound.removeValue(forKey: packetID)
            }
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
        if let run = queue.waiting.openRun { openRuns.close(run) }
        changes.batch.tallies.append(Batch.Tallied(receiver: receiver, tally: queue.lastTally, isGone: true))
        for place in queue.takeAll() {
            let position = place.position
            if changes.passed.last !== place.run { changes.passed.append(place.run) }
            if place.run.finish(place.index) {
                uncount(place.entry)
                if position < changes.base { changes.batch.finished.append(position) }
            } else if position >= changes.base {
                changes.done(receiver, with: position)
            }
        }
        changes.batch.gone.append(receiver)
        // Whatever this batch has for it is deleted by number before anything is written.
        changes.receivers.set(receiver, nil)
        changes.subscriptions.removeAll { $0.receiver == receiver }
        changes.inbound.removeAll { $0.receiver == receiver }
        changes.outbound.removeAll { $0.receiver == receiver }
    }

    // MARK: The net effect

    private mutating func finish(_ changes: inout BatchChanges) -> Batch {
        changes.keepOpenRows()
        var batch = changes.batch
        batch.nextPosition = lastPosition + 1
        batch.nextReceiver = nextReceiver
        for (receiver, record) in changes.receivers.inOrder {
            guard let record, let queue = queues[receiver] else { continue }
            batch.receivers.append(Batch.NewReceiver(record: record, lowWater: queue.lowWater))
        }
        for receiver in changes.touchedCursors.sorted() {
            guard let (lowWater, exceptions) = queues[receiver]?.settle(&changes.passed) else { continue }
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
        batch.carried = changes.carried.inOrder.map(\.value)
        for (stream, ids) in changes.streams.inOrder { batch.streams.append(streams.add(ids, of: stream)) }
        batch.streams += streams.forgetSilent(beyond: StreamParts.openStreamsMax)
        tell(changes.touched.filter { queues[$0.receiver] === $0 }, &batch)
        for run in changes.passed { run.pack() }
        openRuns.packClosed()
        return batch
    }
}
