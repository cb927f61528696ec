package import BrokerCore
package import MQTTCodec

/// A part of a queue, read from a running spool.
package struct QueuePart: Sendable {
    package struct Entry: Sendable {
        package var position: Position
        package var message: Message
        /// How the receiver gets it.
        package var delivery: Delivery
    }

    /// What was asked for, in the order of positions.
    package var entries: [Entry] = []
    /// Where to go on; nil at the end of the queue.
    package var next: Position?
    /// Rows that wait for the receiver and whose checksum or form is wrong.
    package var damaged = 0
}

extension Spool {
    /// Reads what waits for a receiver, as of the last commit. Blocking; over a connection of its own, which it holds
    /// no longer than `rowsMax` rows take, so that the log can be emptied in between.
    ///
    /// - Parameters:
    ///   - receiver: whose queue.
    ///   - after: where the part before this one ended.
    ///   - rowsMax: rows of the spool to look at, of whoever waits for them.
    ///   - entriesMax: ends the part.
    ///   - bytesMax: ends the part behind the message that reaches it.
    ///   - isWanted: whether a message is to be in it.
    package func queue(
        of receiver: ReceiverID,
        after: Position = .zero,
        rowsMax: Int = 10_000,
        entriesMax: Int = 1_000,
        bytesMax: Int = 4 << 20,
        isWanted: (Position, Message) -> Bool = { _, _ in true }
    ) throws(SpoolError) -> QueuePart {
        guard depth(of: receiver) > 0 else { return QueuePart() }
        let connection = try SQLConnection(path: path, role: .reader)
        defer { connection.close() }
        try connection.run("BEGIN", while: "reading a queue")
        defer { connection.rollBack() }
        guard let progress = try Progress(of: receiver, connection) else { return QueuePart() }
        let rows = try connection.prepare(
            "\(MessageRow.Table.message.select) WHERE position > ? ORDER BY position LIMIT ?"
        )
        defer { rows.reset() }
        // Nothing below the first that waits is worth a look; what was acknowledged since is not there any more.
        let first = tally(of: receiver).first
        let start = max(after.number, progress.lowWater, first > 0 ? first - 1 : 0)
        rows.bind(start, at: 1)
        rows.bind(Int64(rowsMax), at: 2)
        var part = QueuePart()
        var row = MessageRow()
        var (count, bytes) = (0, 0)
        while try rows.step() {
            count += 1
            let position = rows.number(0)
            part.next = Position(position)
            guard !progress.exceptions.contains(position) else { continue }
            // Who is named in a row whose checksum is wrong cannot be known; what is not for this receiver is not its.
            guard let message = row.decode(rows, from: .message) else {
                let list = DeliveryList.readSound(rows.buffer(8)).deliveries
                if list.contains(where: { $0.receiver == receiver }) { part.damaged += 1 }
                continue
            }
            guard let delivery = row.delivery(to: receiver), isWanted(Position(position), message) else { continue }
            part.entries.append(.init(position: Position(position), message: message, delivery: delivery))
            bytes += message.bytes
            if part.entries.count >= entriesMax || bytes >= bytesMax { return part }
        }
        if count < rowsMax { part.next = nil }
        return part
    }

    /// What the file says that a receiver is done with.
    private struct Progress {
        let lowWater: UInt64
        let exceptions: Set<UInt64>

        /// Nil when there is no such receiver.
        init?(of receiver: ReceiverID, _ connection: SQLConnection) throws(SpoolError) {
            let rows = try connection.prepare("SELECT \(ReceiverRow.list) FROM receiver WHERE number = ?")
            defer { rows.reset() }
            rows.bind(receiver, at: 1)
            guard try rows.step() else { return nil }
            let row = ReceiverRow(rows)
            lowWater = row.lowWater
            exceptions = Set(row.exceptions ?? [])
        }
    }

    /// How far a file with messages of links has come; nil when this node knows nothing of it. Blocking.
    package func carried(_ id: MessageID, _ way: CarriedFile.Way) throws(SpoolError) -> CarriedFile? {
        let connection = try SQLConnection(path: path, role: .reader)
        defer { connection.close() }
        let rows = try connection.prepare("\(CarriedRow.select) WHERE file = ? AND way = ?")
        defer { rows.reset() }
        rows.bind(copyOf: MessageIDList.write([id]), at: 1)
        rows.bind(way.rawValue, at: 2)
        return try rows.step() ? CarriedRow.file(rows) : nil
    }
}
