import BrokerCore
import MQTTCodec
import NIOCore

/// What is on disk, as plainly as it can be said.
struct SpoolStore {
    struct Queue {
        var record: ReceiverRecord
        var subscriptions: [SubscriptionRecord] = []
        var inbound: Set<UInt16> = []
        var outbound: [SpoolContents.Outbound] = []
        /// In the order of positions.
        var entries: [Page.Entry] = []

        mutating func remove(_ position: Position) {
            if let index = entries.firstIndex(where: { $0.position == position }) { entries.remove(at: index) }
        }

        /// Whether something waits.
        ///
        /// - Parameter excusesLinks: as of `leftovers`.
        func hasLeftovers(excusesLinks: Bool) -> Bool {
            if !entries.isEmpty || !outbound.isEmpty { return true }
            if excusesLinks, case .link = record.kind { return false }
            return !inbound.isEmpty
        }
    }

    private(set) var queues: [UInt64: Queue] = [:]
    private var retained: [MQTTString: Message] = [:]
    private(set) var wills: [MQTTString: WillRecord] = [:]
    private var streams: [(StreamID, [MessageID])] = []
    private(set) var lastPosition: UInt64 = 0
    /// When each message that waits came.
    private var came: [UInt64: Instant] = [:]
    private var lastReceiver: UInt64 = 0
    var wallMark = Timestamp(microseconds: 0)

    /// - Returns: what is wrong with the record, or nil.
    mutating func apply(_ record: SpoolRecord, at now: Instant) -> String? {
        switch record {
        case .message(let message, let deliveries):
            lastPosition += 1
            came[lastPosition] = now
            for delivery in deliveries {
                guard queues[delivery.receiver.number] != nil else {
                    return "message \(message.id) for receiver \(delivery.receiver.number), which is not there"
                }
                let entry = Page.Entry(position: Position(lastPosition), message: message, delivery: delivery)
                queues[delivery.receiver.number]?.entries.append(entry)
            }
        case .acknowledged(let receiver, let position), .givenUp(let receiver, let position, _):
            queues[receiver.number]?.remove(position)
        case .outboundPublish(let receiver, let packetID, let position):
            if let known = queues[receiver.number]?.outbound.first(where: { $0.packetID == packetID }) {
                return "identifier \(packetID) of receiver \(receiver.number) given twice, first for \(known.position)"
            }
            queues[receiver.number]?.outbound.append(
                SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false)
            )
        case .outboundShared(let receiver, let packetID, let position, let source):
            if let known = queues[receiver.number]?.outbound.first(where: { $0.packetID == packetID }) {
                return "identifier \(packetID) of receiver \(receiver.number) given twice, first for \(known.position)"
            }
            queues[receiver.number]?.outbound.append(
                SpoolContents.Outbound(packetID: packetID, position: position, isReleased: false, source: source)
            )
        case .outboundRelease(let receiver, let packetID, let position):
            guard queues[receiver.number] != nil else { return nil }
            queues[receiver.number]?.remove(position)
            guard let index = queues[receiver.number]?.outbound.firstIndex(where: { $0.packetID == packetID }) else {
                return "release of identifier \(packetID) of receiver \(receiver.number), which is not in use"
            }
            queues[receiver.number]?.outbound[index].isReleased = true
        case .outboundComplete(let receiver, let packetID):
            queues[receiver.number]?.outbound.removeAll { $0.packetID == packetID }
        case .inboundPublish(let receiver, let packetID):
            if queues[receiver.number]?.inbound.insert(packetID).inserted == false {
                return "inbound identifier \(packetID) of receiver \(receiver.number) stored twice"
            }
        case .inboundRelease(let receiver, let packetID):
            queues[receiver.number]?.inbound.remove(packetID)
        case .receiver(let record):
            lastReceiver = max(lastReceiver, record.receiver.number)
            queues[record.receiver.number, default: Queue(record: record)].record = record
        case .receiverGone(let receiver):
            queues[receiver.number] = nil
        case .subscribe(let receiver, let subscription):
            queues[receiver.number]?.subscriptions.removeAll { $0.filter == subscription.filter }
            queues[receiver.number]?.subscriptions.append(subscription)
        case .unsubscribe(let receiver, let filter):
            queues[receiver.number]?.subscriptions.removeAll { $0.filter == filter }
        case .retain(let message):
            retained[message.topic] = message
        case .retainGone(let topic):
            retained[topic] = nil
        case .will(let record):
            wills[record.clientID] = record
        case .willGone(let clientID):
            wills[clientID] = nil
        case .streamSeen(let stream, let id):
            streams.append((stream, [id]))
        case .removed(let receiver, let positions, _):
            for position in positions { queues[receiver.number]?.remove(position) }
        case .demandsSync, .carried:
            break
        }
        return nil
    }

    /// What waits for too long for a session or a group goes, save what an exchange of QoS 2 has begun with; links keep
    /// everything.
    mutating func giveUpAged(
        _ options: SimulationOptions,
        at now: Instant
    ) -> [(ReceiverID, ReceiverRecord.Kind, [Position])] {
        guard let ageMax = options.spoolAgeMax else { return [] }
        var given: [(ReceiverID, ReceiverRecord.Kind, [Position])] = []
        for number in queues.keys.sorted() {
            guard let queue = queues[number] else { continue }
            if case .link = queue.record.kind { continue }
            let begun = Set(queue.outbound.filter { !$0.isReleased }.map(\.position))
            let positions = queue.entries.map(\.position).filter { position in
                guard let since = came[position.number], !begun.contains(position) else { return false }
                return since.advanced(by: ageMax) <= now
            }
            guard !positions.isEmpty else { continue }
            given.append((queue.record.receiver, queue.record.kind, positions))
            let gone = Set(positions)
            queues[number]?.entries.removeAll { gone.contains($0.position) }
        }
        return given
    }

    /// Queues of sessions and groups above their limit lose their oldest messages; links keep everything, and so does who waits
    /// for PUBREC: without the message nobody could end the exchange, and its identifier would stay taken at the client.
    mutating func giveUpOldest(_ options: SimulationOptions) -> [(ReceiverID, ReceiverRecord.Kind, [Position])] {
        let limit = options.spoolQueueMax
        guard limit < .max, !options.sessionsReject else { return [] }
        var given: [(ReceiverID, ReceiverRecord.Kind, [Position])] = []
        for number in queues.keys.sorted() {
            guard let queue = queues[number], queue.entries.count > limit else { continue }
            if case .link = queue.record.kind { continue }
            let begun = Set(queue.outbound.filter { !$0.isReleased }.map(\.position))
            let oldest = queue.entries.lazy.map(\.position).filter { !begun.contains($0) }
                .prefix(queue.entries.count - limit)
            let positions = Set(oldest)
            given.append((queue.record.receiver, queue.record.kind, positions.sorted()))
            queues[number]?.entries.removeAll { positions.contains($0.position) }
        }
        return given
    }

    /// Who refuses from now on and who no longer: a queue is full from its limit on until an eighth of it is free.
    func fullness(_ options: SimulationOptions, before: Set<UInt64>) -> [(ReceiverID, Bool)] {
        let sessionMax = options.sessionsReject ? options.spoolQueueMax : .max
        guard min(sessionMax, options.linkQueueMax) < .max else { return [] }
        var changes: [(ReceiverID, Bool)] = []
        for number in Set(queues.keys).union(before).sorted() {
            var isFull = false
            if let queue = queues[number] {
                var limit = sessionMax
                if case .link = queue.record.kind { limit = options.linkQueueMax }
                isFull = queue.entries.count >= limit
                if before.contains(number), queue.entries.count > limit - limit / 8 { isFull = true }
            }
            if isFull != before.contains(number) { changes.append((ReceiverID(number), isFull)) }
        }
        return changes
    }

    /// How many of the messages that came after `position` had receivers, and wait for none of them.
    func countElided(_ records: [SpoolRecord], after position: UInt64) -> Int {
        var waiting: Set<UInt64> = []
        for queue in queues.values {
            for entry in queue.entries.reversed() {
                guard entry.position.number > position else { break }
                waiting.insert(entry.position.number)
            }
        }
        var count = 0
        var number = position
        for case .message(_, let deliveries) in records {
            number += 1
            if !deliveries.isEmpty, !waiting.contains(number) { count += 1 }
        }
        return count
    }

    /// What no disk may do.
    mutating func loseRow(_ position: Position) {
        for number in queues.keys.sorted() { queues[number]?.remove(position) }
    }

    /// Nor this.
    mutating func loseRow() {
        guard let number = queues.keys.sorted().first(where: { queues[$0]?.entries.isEmpty == false }) else { return }
        queues[number]?.entries.removeLast()
    }

    func page(_ request: LoadRequest) -> Page {
        var entries: [Page.Entry] = []
        var bytes = 0
        let listed = Set(request.listed)
        for entry in queues[request.receiver.number]?.entries ?? [] {
            guard listed.isEmpty ? entry.position > request.after : listed.contains(entry.position) else { continue }
            guard entries.count < request.messagesMax, bytes < request.bytesMax else {
                let end = entries.last?.position ?? request.after
                return Page(receiver: request.receiver, entries: entries, end: end, epoch: request.epoch)
            }
            entries.append(entry)
            bytes += entry.message.payload.readableBytes
        }
        let end = request.listed.last ?? Position(lastPosition)
        return Page(receiver: request.receiver, entries: entries, end: end, epoch: request.epoch)
    }

    func contents(nodeNumber: UInt64, bootCount: UInt64, _ lanes: LaneLimits) -> SpoolContents {
        var contents = SpoolContents()
        for number in queues.keys.sorted() {
            guard let queue = queues[number] else { continue }
            var receiver = SpoolContents.Receiver(record: queue.record)
            receiver.subscriptions = queue.subscriptions
            receiver.inbound = queue.inbound.sorted()
            receiver.outbound = queue.outbound
            receiver.depth = queue.entries.count
            if case .link = queue.record.kind {
                var waiting = WaitingForLink(lanes)
                for entry in queue.entries {
                    waiting.insert(
                        entry.message.topic,
                        from: entry.message.publisher,
                        entry.message.mark,
                        priority: entry.delivery.priority,
                        at: entry.position
                    )
                }
                receiver.waiting = waiting
            }
            contents.receivers.append(receiver)
        }
        contents.wills = wills.keys.sorted().compactMap { wills[$0] }
        contents.retained = retained.keys.sorted().compactMap { retained[$0] }
        contents.nextReceiver = ReceiverID(lastReceiver + 1)
        contents.lastPosition = Position(lastPosition)
        contents.nodeNumber = nodeNumber
        contents.streams = streams
        contents.wallMark = wallMark
        contents.bootCount = bootCount
        return contents
    }

    func retained(topic: MQTTString) -> Message? { retained[topic] }

    func hasLeftovers(excusesLinks: Bool) -> Bool {
        queues.values.contains { $0.hasLeftovers(excusesLinks: excusesLinks) }
    }

    /// What still waits for somebody, in words; empty when nothing does.
    ///
    /// - Parameter excusesLinks: an upstream lost the session of a link. When both die before the link has heard of it,
    ///   nobody knows any more that its unreleased identifiers are of the lost session.
    func leftovers(excusesLinks: Bool) -> [String] {
        queues.keys.sorted().compactMap { number in
            guard let queue = queues[number], queue.hasLeftovers(excusesLinks: excusesLinks) else { return nil }
            return "\(queue.record.kind): \(queue.entries.count) messages from position "
                + "\(queue.entries.first?.position.number ?? 0), inbound \(queue.inbound.sorted()), "
                + "outbound \(queue.outbound.map { "\($0.packetID)\($0.isReleased ? "r" : "p")@\($0.position.number)" })"
        }
    }
}
