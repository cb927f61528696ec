import BrokerCore
import MQTTCodec
import NIOCore

/// The one connection that writes, with its statements. Used by one thread.
final class BatchStore {
    let connection: SQLConnection
    /// The settings that were read back.
    let durability: [String: String]
    private let begin: SQLStatement
    private let commit: SQLStatement
    private let readBatch: SQLStatement
    private let updateNode: SQLStatement
    private let insertMessage: SQLStatement
    private let deleteMessage: SQLStatement
    private let upsertReceiver: SQLStatement
    private let updateCursor: SQLStatement
    private let deleteReceiver: [SQLStatement]
    private let replaceSubscription: SQLStatement
    private let deleteSubscription: SQLStatement
    private let insertInbound: SQLStatement
    private let deleteInbound: SQLStatement
    private let replaceOutbound: SQLStatement
    private let deleteOutbound: SQLStatement
    private let replaceRetained: SQLStatement
    private let deleteRetained: SQLStatement
    private let freePages: SQLStatement
    private let allPages: SQLStatement
    private var row = MessageRow()

    /// Beyond this much log the writer checkpoints between two batches.
    private static let walPagesMax = 16 * 1024 * 1024 / 4096
    /// Log that must come together before a checkpoint that could not finish is tried again.
    private static let walPagesStep = 1024
    private var nextCheckpoint = BatchStore.walPagesMax
    private var lastPages = 0

    init(path: String) throws(SpoolError) {
        connection = try SQLConnection(path: path, role: .writer)
        try SpoolSchema.migrate(connection)
        durability = try SpoolSchema.verify(connection)
        begin = try connection.prepare("BEGIN IMMEDIATE")
        commit = try connection.prepare("COMMIT")
        readBatch = try connection.prepare("SELECT batch FROM node")
        updateNode = try connection.prepare(
            "UPDATE node SET next_position = ?, next_receiver = ?, batch = ?, wall_mark = ?"
        )
        insertMessage = try connection.prepare(
            """
            INSERT OR REPLACE INTO message
            (position, id, topic, payload, qos, flags, properties, expiry, receivers, checksum)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        )
        deleteMessage = try connection.prepare("DELETE FROM message WHERE position = ?")
        upsertReceiver = try connection.prepare(
            """
            INSERT INTO receiver (number, kind, name, expiry, disconnected_at, low_water, exceptions)
            VALUES (?, ?, ?, ?, ?, ?, x'')
            ON CONFLICT (number) DO UPDATE SET kind = excluded.kind, name = excluded.name, expiry = excluded.expiry,
            disconnected_at = excluded.disconnected_at
            """
        )
        updateCursor = try connection.prepare("UPDATE receiver SET low_water = ?, exceptions = ? WHERE number = ?")
        deleteReceiver = [
            try connection.prepare("DELETE FROM subscription WHERE receiver = ?"),
            try connection.prepare("DELETE FROM inbound WHERE receiver = ?"),
            try connection.prepare("DELETE FROM outbound WHERE receiver = ?"),
            try connection.prepare("DELETE FROM receiver WHERE number = ?"),
        ]
        replaceSubscription = try connection.prepare("INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?)")
        deleteSubscription = try connection.prepare("DELETE FROM subscription WHERE receiver = ? AND filter = ?")
        insertInbound = try connection.prepare("INSERT OR REPLACE INTO inbound VALUES (?, ?)")
        deleteInbound = try connection.prepare("DELETE FROM inbound WHERE receiver = ? AND packet_id = ?")
        replaceOutbound = try connection.prepare("INSERT OR REPLACE INTO outbound VALUES (?, ?, ?, ?)")
        deleteOutbound = try connection.prepare("DELETE FROM outbound WHERE receiver = ? AND packet_id = ?")
        replaceRetained = try connection.prepare("INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        deleteRetained = try connection.prepare("DELETE FROM retained WHERE topic = ?")
        freePages = try connection.prepare("PRAGMA freelist_count")
        allPages = try connection.prepare("PRAGMA page_count")
    }

    func close() { connection.close() }

    /// The number of the last batch that is on disk.
    func lastBatch() throws(SpoolError) -> UInt64 {
        defer { readBatch.reset() }
        guard try readBatch.step() else { throw .corrupt(detail: "the node row is missing") }
        return readBatch.number(0)
    }

    /// Writes a batch in one transaction; when this returns it is on disk.
    func write(_ batch: Batch, hooks: SpoolHooks) throws(SpoolError) {
        do throws(SpoolError) {
            try begin.run()
            try writeReceivers(batch)
            try writeMessages(batch)
            try writeExchanges(batch)
            try writeRetained(batch)
            updateNode.bind(batch.nextPosition, at: 1)
            updateNode.bind(batch.nextReceiver, at: 2)
            updateNode.bind(batch.number, at: 3)
            updateNode.bind(batch.wallMark, at: 4)
            try updateNode.run()
            try hooks.willCommit(batch.number)
            try commit.run()
            try hooks.didCommit(batch.number)
        } catch {
            connection.rollBack()
            throw error
        }
    }

    private func writeReceivers(_ batch: Batch) throws(SpoolError) {
        for receiver in batch.gone {
            for statement in deleteReceiver {
                statement.bind(receiver, at: 1)
                try statement.run()
            }
        }
        for new in batch.receivers {
            upsertReceiver.bind(new.record.receiver, at: 1)
            switch new.record.kind {
            case .session(let clientID):
                upsertReceiver.bind(Int64(0), at: 2)
                upsertReceiver.bind(clientID, at: 3)
            case .link(let name):
                upsertReceiver.bind(Int64(1), at: 2)
                upsertReceiver.bind(name, at: 3)
            }
            upsertReceiver.bind(Int64(new.record.expiryInterval), at: 4)
            upsertReceiver.bind(new.record.disconnectedAt, at: 5)
            upsertReceiver.bind(new.lowWater, at: 6)
            try upsertReceiver.run()
        }
        for subscription in batch.subscriptions {
            let statement = subscription.record == nil ? deleteSubscription : replaceSubscription
            statement.bind(subscription.receiver, at: 1)
            statement.bind(subscription.filter, at: 2)
            if let record = subscription.record {
                statement.bind(Int64(record.options.rawValue), at: 3)
                statement.bind(record.identifier, at: 4)
            }
            try statement.run()
        }
    }

    private func writeMessages(_ batch: Batch) throws(SpoolError) {
        for new in batch.rows {
            row.encode(new.message, position: new.position, deliveries: new.deliveries)
            try row.insert(with: insertMessage, into: .message)
        }
        for position in batch.finished {
            deleteMessage.bind(position, at: 1)
            try deleteMessage.run()
        }
        for cursor in batch.cursors {
            updateCursor.bind(cursor.lowWater, at: 1)
            updateCursor.bind(copyOf: PositionList.write(cursor.exceptions, above: cursor.lowWater), at: 2)
            updateCursor.bind(cursor.receiver, at: 3)
            try updateCursor.run()
        }
    }

    private func writeExchanges(_ batch: Batch) throws(SpoolError) {
        for inbound in batch.inbound {
            let statement = inbound.isOpen ? insertInbound : deleteInbound
            statement.bind(inbound.receiver, at: 1)
            statement.bind(Int64(inbound.packetID), at: 2)
            try statement.run()
        }
        for exchange in batch.outbound {
            let statement = exchange.outbound == nil ? deleteOutbound : replaceOutbound
            statement.bind(exchange.receiver, at: 1)
            statement.bind(Int64(exchange.packetID), at: 2)
            if let outbound = exchange.outbound {
                statement.bind(outbound.position, at: 3)
                statement.bind(Int64(outbound.isReleased ? 1 : 0), at: 4)
            }
            try statement.run()
        }
    }

    private func writeRetained(_ batch: Batch) throws(SpoolError) {
        for retained in batch.retained {
            if let message = retained.message {
                row.encode(message, position: 0, deliveries: [])
                try row.insert(with: replaceRetained, into: .retained)
            } else {
                deleteRetained.bind(retained.topic, at: 1)
                try deleteRetained.run()
            }
        }
    }

    /// Between two batches: moves the log into the file when it is long. Readers are never waited for.
    func checkpointIfLong() throws(SpoolError) {
        let pages = connection.walPages
        if pages < lastPages { nextCheckpoint = Self.walPagesMax }
        lastPages = pages
        guard pages > nextCheckpoint else { return }
        try connection.checkpoint(.passive)
        nextCheckpoint = pages + Self.walPagesStep
    }

    /// True when there is log to be moved.
    var hasLog: Bool { connection.walPages > 0 }

    /// When nothing is to be done: gives free pages back if there are many, and empties the log.
    func tidy() throws(SpoolError) {
        let free = try count(freePages)
        if free > 1024, free * 4 > (try count(allPages)) {
            try connection.run("PRAGMA incremental_vacuum(16384)", while: "giving back free pages")
        }
        try connection.checkpoint(.truncate)
        nextCheckpoint = Self.walPagesMax
        lastPages = 0
    }

    private func count(_ statement: SQLStatement) throws(SpoolError) -> Int64 {
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : 0
    }
}
