package import BrokerCore
import MQTTCodec
import NIOCore

/// A naive spool in memory, which keeps what `SpoolRecord` promises: records of one append are committed together and
/// in order, a page is read after the commit of all that was appended before it was asked for, and a crash forgets
/// what was not committed.
package final class SimulatedSpool {
    private struct Row {
        var message: Message
        var deliveries: [ReceiverID: Delivery]
    }

    /// What is on disk.
    private struct Disk {
        var rows: [Position: Row] = [:]
        var receivers: [ReceiverID: SpoolContents.Receiver] = [:]
        var retained: [MQTTString: Message] = [:]
        var wills: [MQTTString: WillRecord] = [:]
        var streams: [(StreamID, [MessageID])] = []
        var last = Position.zero
        var nextReceiver: UInt64 = 1
        var boots: UInt64 = 0
    }

    private struct Batch {
        var ticket: Ticket
        var first: Position
        var records: [SpoolRecord]
        var loads: [LoadRequest]
    }

    private var disk = Disk()
    private var pending: [Batch] = []
    private var next = Position(1)

    /// Why messages were given up, in the order in which they were.
    package private(set) var givenUp: [GivenUpReason] = []
    /// Messages that commands took out of queues.
    package private(set) var removed: [RemovalReason: Int] = [:]
    /// What was said of files, in order.
    package private(set) var carried: [CarriedFile] = []

    package init() {}

    /// Batches that wait for a commit, and loads for their answer.
    package var hasPending: Bool { !pending.isEmpty }
    /// Messages on disk, each with at least one receiver.
    package var rows: Int { disk.rows.count }
    package var receivers: Int { disk.receivers.count }
    package var retained: Int { disk.retained.count }
    package var wills: Int { disk.wills.count }
    /// Unfinished QoS 2 exchanges on disk, both directions.
    package var identifiers: Int {
        disk.receivers.values.reduce(0) { $0 + $1.inbound.count + $1.outbound.count }
    }

    /// Unfinished exchanges as text, for the message of a test that fails.
    package var openExchanges: String {
        disk.receivers.values.filter { !$0.inbound.isEmpty || !$0.outbound.isEmpty }
            .map { "\($0.record.kind): in \($0.inbound) out \($0.outbound)" }.sorted().joined(separator: "; ")
    }

    /// - Returns: the position of the first message record.
    package func append(_ records: [SpoolRecord], _ loads: [LoadRequest], ticket: Ticket) -> Position {
        let first = next
        for case .message in records { next = Position(next.number + 1) }
        pending.append(Batch(ticket: ticket, first: first, records: records, loads: loads))
        return first
    }

    /// Commits everything, or the oldest batches only.
    ///
    /// - Returns: what the shard is to be told.
    package func commit(batches: Int = .max) -> [SpoolEvent] {
        var events: [SpoolEvent] = []
        let taken = pending.prefix(batches)
        pending.removeFirst(taken.count)
        for batch in taken {
            var position = batch.first
            for record in batch.records { apply(record, &position) }
        }
        for batch in taken {
            if !batch.records.isEmpty { events.append(.committed(batch.ticket)) }
            for load in batch.loads { events.append(.loaded(page(load))) }
        }
        return events
    }

    /// The power goes: what was not committed never was.
    package func crash() {
        pending.removeAll()
        next = Position(disk.last.number + 1)
    }

    package func contents() -> SpoolContents {
        disk.boots += 1
        var contents = SpoolContents()
        contents.streams = disk.streams
        for (id, receiver) in disk.receivers.sorted(by: { $0.key < $1.key }) {
            var receiver = receiver
            receiver.depth = disk.rows.values.filter { $0.deliveries[id] != nil }.count
            if case .link = receiver.record.kind {
                var waiting = WaitingForLink()
                for (position, row) in disk.rows.sorted(by: { $0.key < $1.key }) {
                    guard let delivery = row.deliveries[id] else { continue }
                    waiting.insert(
                        row.message.topic, from: row.message.publisher, row.message.mark,
                        priority: delivery.priority, at: position)
                }
                receiver.waiting = waiting
            }
            contents.receivers.append(receiver)
        }
        contents.retained = disk.retained.sorted { $0.key < $1.key }.map(\.value)
        contents.wills = disk.wills.sorted { $0.key < $1.key }.map(\.value)
        contents.nextReceiver = ReceiverID(disk.nextReceiver)
        contents.lastPosition = disk.last
        contents.nodeNumber = 0xABCD
        contents.bootCount = disk.boots
        return contents
    }

    private func page(_ load: LoadRequest) -> Page {
        var entries: [Page.Entry] = []
        var bytes = 0
        let positions = load.listed.isEmpty ? disk.rows.keys.filter { $0 > load.after }.sorted() : load.listed
        for position in positions {
            guard let row = disk.rows[position], let delivery = row.deliveries[load.receiver] else { continue }
            entries.append(Page.Entry(position: position, message: row.message, delivery: delivery))
            bytes += row.message.payload.readableBytes
            if entries.count >= load.messagesMax || bytes >= load.bytesMax {
                return Page(receiver: load.receiver, entries: entries, end: position, epoch: load.epoch)
            }
        }
        let end = load.listed.last ?? disk.last
        return Page(receiver: load.receiver, entries: entries, end: end, epoch: load.epoch)
    }

    private func apply(_ record: SpoolRecord, _ position: inout Position) {
        switch record {
        case .message(let message, let deliveries):
            disk.last = position
            if !deliveries.isEmpty {
                let byReceiver = Dictionary(deliveries.map { ($0.receiver, $0) }) { first, _ in first }
                disk.rows[position] = Row(message: message, deliveries: byReceiver)
            }
            position = Position(position.number + 1)
        case .acknowledged(let receiver, let position): settle(receiver, position)
        case .givenUp(let receiver, let position, let reason):
            givenUp.append(reason)
            settle(receiver, position)
        case .outboundShared(let receiver, let packetID, let position, let source):
            disk.receivers[receiver]?.outbound.append(
                SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false, source: source)
            )
        case .outboundPublish(let receiver, let packetID, let position):
            disk.receivers[receiver]?.outbound.append(
                SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false)
            )
        case .outboundRelease(let receiver, let packetID, let position):
            disk.receivers[receiver]?.outbound.removeAll { $0.packetID == packetID }
            disk.receivers[receiver]?.outbound.append(
                SpoolContents.Outbound(packetID: packetID, position: position, isReleased: true)
            )
            settle(receiver, position)
        case .outboundComplete(let receiver, let packetID):
            disk.receivers[receiver]?.outbound.removeAll { $0.packetID == packetID }
        case .inboundPublish(let receiver, let packetID): disk.receivers[receiver]?.inbound.append(packetID)
        case .inboundRelease(let receiver, let packetID):
            disk.receivers[receiver]?.inbound.removeAll { $0 == packetID }
        case .receiver(let record):
            disk.receivers[record.receiver, default: SpoolContents.Receiver(record: record)].record = record
            disk.nextReceiver = max(disk.nextReceiver, record.receiver.number + 1)
        case .receiverGone(let receiver):
            disk.receivers[receiver] = nil
            for position in disk.rows.keys { settle(receiver, position) }
        case .subscribe(let receiver, let subscription):
            disk.receivers[receiver]?.subscriptions.removeAll { $0.filter == subscription.filter }
            disk.receivers[receiver]?.subscriptions.append(subscription)
        case .unsubscribe(let receiver, let filter):
            disk.receivers[receiver]?.subscriptions.removeAll { $0.filter == filter }
        case .retain(let message): disk.retained[message.topic] = message
        case .retainGone(let topic): disk.retained[topic] = nil
        case .will(let record): disk.wills[record.clientID] = record
        case .willGone(let clientID): disk.wills[clientID] = nil
        case .streamSeen(let stream, let id): disk.streams.append((stream, [id]))
        case .removed(let receiver, let positions, let reason):
            removed[reason, default: 0] += positions.count
            for position in positions { settle(receiver, position) }
        case .carried(let file): carried.append(file)
        case .demandsSync: break
        }
    }

    private func settle(_ receiver: ReceiverID, _ position: Position) {
        disk.rows[position]?.deliveries[receiver] = nil
        if disk.rows[position]?.deliveries.isEmpty == true { disk.rows[position] = nil }
    }
}
