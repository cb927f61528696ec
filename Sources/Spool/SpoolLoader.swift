import BrokerCore
import MQTTCodec

/// Reads the whole spool at the start: what the node must know, and the queues. Payloads of waiting messages are not
/// read.
struct SpoolLoader {
    private let connection: SQLConnection
    private let status: SpoolStatus
    private let options: SpoolOptions
    private let now: Timestamp
    private(set) var contents = SpoolContents()
    private(set) var index: QueueIndex
    private(set) var lastBatch: UInt64 = 0

    /// After an end without `close` this many positions are skipped: some may have been given, and shown to somebody,
    /// without being committed, and a position is never reused.
    static let positionsSkipped: UInt64 = 1 << 20

    init(_ connection: SQLConnection, options: SpoolOptions, now: Timestamp, status: SpoolStatus) throws(SpoolError) {
        self.connection = connection
        self.status = status
        self.options = options
        self.now = now
        index = QueueIndex(options: options, lastPosition: 0, nextReceiver: 1)
        try startNode(now)
        index = QueueIndex(
            options: options,
            lastPosition: contents.lastPosition.number,
            nextReceiver: contents.nextReceiver.number
        )
        try readReceivers()
        try readQueues()
        try readRetained()
        try readWills()
        try readStreams()
        for at in contents.receivers.indices {
            contents.receivers[at].depth = index.depth(of: contents.receivers[at].record.receiver)
        }
    }

    /// Reads the node row, made at the first start, and notes that the spool is open.
    private mutating func startNode(_ now: Timestamp) throws(SpoolError) {
        let number = UInt64.random(in: 1...0xFFFF_FFFF_FFFF)
        try connection.run(
            "INSERT OR IGNORE INTO node VALUES (1, \(number), 1, 1, 0, 0, 0, 0)",
            while: "making the node row"
        )
        let read = try connection.prepare(
            "SELECT number, next_position, next_receiver, batch, wall_mark, boot_count, is_open FROM node"
        )
        guard try read.step() else { throw .corrupt(detail: "the node row is missing") }
        let skipped = read.integer(6) == 0 ? 0 : Self.positionsSkipped
        let nextPosition = read.number(1) &+ skipped
        guard nextPosition > 0, nextPosition < UInt64(Int64.max) else {
            throw .corrupt(detail: "the next position is out of range")
        }
        contents.nodeNumber = read.number(0)
        contents.lastPosition = Position(nextPosition - 1)
        contents.nextReceiver = ReceiverID(read.number(2))
        lastBatch = read.number(3)
        contents.wallMark = Timestamp(microseconds: read.number(4))
        contents.bootCount = read.number(5) &+ 1
        read.reset()
        let update = try connection.prepare(
            "UPDATE node SET next_position = ?, wall_mark = ?, boot_count = ?, is_open = 1"
        )
        update.bind(nextPosition, at: 1)
        update.bind(max(contents.wallMark, now), at: 2)
        update.bind(contents.bootCount, at: 3)
        try update.run()
    }

    private mutating func readReceivers() throws(SpoolError) {
        var places: [ReceiverID: Int] = [:]
        var queues: [ReceiverID: ReceiverQueue] = [:]
        let rows = try connection.prepare(ReceiverRow.select)
        while try rows.step() {
            let row = ReceiverRow(rows)
            let receiver = row.receiver
            // Nobody is done with what has not come. How far this one was is not known then: all that names it comes again.
            let isAhead = row.lowWater > contents.lastPosition.number
            if isAhead { status.foundDamage() }
            guard let exceptions = isAhead ? [] : row.exceptions else {
                throw .corrupt(detail: "receiver \(receiver.number) has an unreadable list of positions")
            }
            guard let kind = row.kind else {
                throw .corrupt(detail: "receiver \(receiver.number) is of no known kind")
            }
            let record = ReceiverRecord(
                receiver: receiver,
                kind: kind.named(MQTTString(row.name)),
                expiryInterval: row.expiryInterval,
                disconnectedAt: row.disconnectedAt
            )
            places[receiver] = contents.receivers.count
            contents.receivers.append(SpoolContents.Receiver(record: record))
            queues[receiver] = ReceiverQueue(
                receiver: receiver,
                kind: record.kind,
                bounds: options.bounds(of: record.kind),
                lowWater: isAhead ? 0 : row.lowWater,
                exceptions: exceptions
            )
        }
        rows.reset()

        let subscriptions = try connection.prepare("SELECT receiver, filter, options, identifier FROM subscription")
        while try subscriptions.step() {
            guard let place = places[ReceiverID(subscriptions.number(0))],
                let options = SubscriptionOptions(rawValue: UInt8(truncatingIfNeeded: subscriptions.integer(2)))
            else { continue }
            contents.receivers[place].subscriptions.append(
                SubscriptionRecord(
                    filter: MQTTString(subscriptions.string(1)),
                    options: options,
                    identifier: subscriptions.isNull(3)
                        ? nil : UInt32(truncatingIfNeeded: subscriptions.integer(3))
                )
            )
        }
        subscriptions.reset()

        let inbound = try connection.prepare("SELECT receiver, packet_id FROM inbound")
        while try inbound.step() {
            let receiver = ReceiverID(inbound.number(0))
            guard let place = places[receiver] else { continue }
            let packetID = UInt16(truncatingIfNeeded: inbound.integer(1))
            contents.receivers[place].inbound.append(packetID)
            queues[receiver]?.inbound.insert(packetID)
        }
        inbound.reset()

        let outbound = try connection.prepare("SELECT receiver, packet_id, position, is_released, source FROM outbound")
        while try outbound.step() {
            let receiver = ReceiverID(outbound.number(0))
            guard let place = places[receiver] else { continue }
            let exchange = SpoolContents.Outbound(
                packetID: UInt16(truncatingIfNeeded: outbound.integer(1)),
                position: Position(outbound.number(2)),
                isReleased: outbound.integer(3) != 0,
                source: outbound.isNull(4) ? nil : ReceiverID(outbound.number(4))
            )
            contents.receivers[place].outbound.append(exchange)
            queues[receiver]?.outbound[exchange.packetID] = exchange
        }
        outbound.reset()
        for queue in queues.values { index.restore(queue) }
    }

    /// Finds out who waits for what. Checksums are not looked at here: that would read every payload.
    private mutating func readQueues() throws(SpoolError) {
        var damaged: [UInt64] = []
        var list = DeliveryListReader()
        let rows = try connection.prepare(
            """
            SELECT position, receivers, length(CAST(topic AS BLOB)) + length(payload) + length(properties), id,
                topic, properties
            FROM message ORDER BY position
            """
        )
        var links = LinkKeys(contents.receivers)
        var last: UInt64 = 0
        while try rows.step() {
            let position = rows.number(0)
            let (deliveries, isSound) = rows.bytes(1) { list.read($0) }
            // Whoever is named before the damage keeps it until the row is read, and its checksum tells.
            index.restore(
                position,
                for: deliveries,
                bytes: Int(clamping: max(0, rows.integer(2))),
                came: came(rows.bytes(3) { MessageRow.came($0) })
            )
            links.note(deliveries, at: Position(position)) {
                let properties = MessageProperties.read(rows.buffer(5))
                return (MQTTString(rows.string(4)), properties?.publisher, properties?.mark)
            }
            if !isSound { damaged.append(position) }
            last = position
        }
        rows.reset()
        if last > contents.lastPosition.number {
            guard last < UInt64(Int64.max) / 2 else { throw .corrupt(detail: "a position is out of range") }
            // The node row says less, and no position is given twice.
            status.foundDamage()
            contents.lastPosition = Position(last)
            index.lastPosition = last
        }
        links.give(to: &contents.receivers)
        let finished = index.restoreProgress()
        if !finished.isEmpty {
            try connection.run("BEGIN", while: "forgetting what nobody waits for")
            let delete = try connection.prepare("DELETE FROM message WHERE position = ?")
            for position in finished {
                delete.bind(position, at: 1)
                try delete.run()
            }
            try connection.run("COMMIT", while: "forgetting what nobody waits for")
        }
        for position in damaged {
            status.foundDamage(at: position)
            status.changed(index.forget(position, .damaged))
        }
    }

    /// When a message came to this node: now, when its row, or the clock of that time, does not say it.
    private func came(_ time: Timestamp?) -> Timestamp {
        guard let time, time >= ArrivalTimes.earliest else { return now }
        return min(time, now)
    }

    private mutating func readWills() throws(SpoolError) {
        let rows = try connection.prepare("\(MessageRow.Table.will.select) ORDER BY client_id")
        var row = MessageRow()
        while try rows.step() {
            index.restore(will: MQTTString(rows.string(0)))
            if let will = row.decodeWill(rows) {
                contents.wills.append(will)
            } else {
                status.foundDamage()
            }
        }
        rows.reset()
    }

    private mutating func readStreams() throws(SpoolError) {
        let rows = try connection.prepare("SELECT node, receiver, number, ids FROM stream ORDER BY number")
        while try rows.step() {
            let stream = StreamID(node: rows.number(0), receiver: rows.number(1))
            let ids = rows.bytes(3) { MessageIDList.read($0) }
            contents.streams.append((stream, ids))
            index.streams.restore(ids.count, of: stream, number: rows.number(2))
        }
        rows.reset()
        let silent = Set(index.streams.forgetSilent(beyond: StreamParts.streamsMax).map(\.stream))
        guard !silent.isEmpty else { return }
        contents.streams.removeAll { silent.contains($0.0) }
        let delete = try connection.prepare("DELETE FROM stream WHERE node = ? AND receiver = ?")
        for stream in silent {
            delete.bind(stream.node, at: 1)
            delete.bind(stream.receiver, at: 2)
            try delete.run()
        }
    }

    private mutating func readRetained() throws(SpoolError) {
        let rows = try connection.prepare("\(MessageRow.Table.retained.select) ORDER BY topic")
        var row = MessageRow()
        while try rows.step() {
            if let message = row.decode(rows, from: .retained) {
                contents.retained.append(message)
            } else {
                status.foundDamage()
            }
        }
        rows.reset()
    }
}
