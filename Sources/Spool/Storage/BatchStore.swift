import BrokerCore
import MQTTCodec
import NIOCore

/// The one connection that writes, with its statements. Used by one thread.
final class BatchStore {
    let connection: SQLConnection
    private let begin: SQLStatement
    private let commit: SQLStatement
    private let readBatch: SQLStatement
    private let updateNode: SQLStatement
    private let insertMessage: SQLStatement
    private let deleteMessage: SQLStatement
    private let deleteMessages: SQLStatement
    private let upsertReceiver: SQLStatement
    private let updateCursor: SQLStatement
    private let deleteReceiver: [SQLStatement]
    private let replaceSubscription: SQLStatement
    private let deleteSubscription: SQLStatement
    private let insertInbound: SQLStatement
    private let deleteInbound: SQLStatement
    private let deleteInbounds: SQLStatement
    private let replaceOutbound: SQLStatement
    private let deleteOutbound: SQLStatement
    private let deleteOutbounds: SQLStatement
    private let replaceRetained: SQLStatement
    private let deleteRetained: SQLStatement
    private let replaceWill: SQLStatement
    private let deleteWill: SQLStatement
    private let insertStream: SQLStatement
    private let deleteStream: SQLStatement
    private let upsertCarried: SQLStatement
    private let deleteCarried: SQLStatement
    private let insertAside: SQLStatement
    private let copyAside: SQLStatement
    private let freePages: SQLStatement
    private let allPages: SQLStatement
    private let giveBackPage: SQLStatement
    private var row = MessageRow()

    let mode: DurabilityMode
    /// How long the last commit took.
    private(set) var lastCommit = Duration.zero

    /// Beyond this much log the writer checkpoints between two batches.
    private static let walPagesMax = 16 * 1024 * 1024 / 4096
    /// Log that must come together before a checkpoint that could not finish is tried again.
    private static let walPagesStep = 1024
    private var nextCheckpoint = BatchStore.walPagesMax
    private var lastPages = 0
    /// From the moment that there are many free pages until there is none, while nothing else is to be done.
    private var isGivingPagesBack = false
    /// How many pages a step of that gives back at most, and when it begins no further one.
    private static let idleStep = (pagesMax: 2_048, time: Duration.milliseconds(50))
    /// The same of a step between two batches: whoever comes meanwhile waits for it, and for its commit.
    private static let busyStep = (pagesMax: 2_048, time: Duration.milliseconds(2))

    init(path: String, mode: DurabilityMode) throws(SpoolError) {
        self.mode = mode
        connection = try SQLConnection(path: path, role: .writer, mode: mode)
        try SpoolSchema.migrate(connection)
        try SpoolSchema.verify(connection, mode: mode)
        begin = try connection.prepare("BEGIN IMMEDIATE")
        commit = try connection.prepare("COMMIT")
        readBatch = try connection.prepare("SELECT batch FROM node")
        updateNode = try connection.prepare(
            "UPDATE node SET next_position = ?, next_receiver = ?, batch = ?, wall_mark = ?"
        )
        insertMessage = try connection.prepare(MessageRow.Table.message.replace)
        deleteMessage = try connection.prepare("DELETE FROM message WHERE position = ?")
        deleteMessages = try connection.prepare("DELETE FROM message WHERE position BETWEEN ? AND ?")
        upsertReceiver = try connection.prepare(
            """
            INSERT INTO receiver (\(ReceiverRow.list))
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
        deleteInbounds = try connection.prepare(
            "DELETE FROM inbound WHERE receiver = ? AND packet_id BETWEEN ? AND ?"
        )
        replaceOutbound = try connection.prepare("INSERT OR REPLACE INTO outbound VALUES (?, ?, ?, ?, ?)")
        deleteOutbound = try connection.prepare("DELETE FROM outbound WHERE receiver = ? AND packet_id = ?")
        deleteOutbounds = try connection.prepare(
            "DELETE FROM outbound WHERE receiver = ? AND packet_id BETWEEN ? AND ?"
        )
        replaceRetained = try connection.prepare(MessageRow.Table.retained.replace)
        deleteRetained = try connection.prepare("DELETE FROM retained WHERE topic = ?")
        replaceWill = try connection.prepare(MessageRow.Table.will.replace)
        deleteWill = try connection.prepare("DELETE FROM will WHERE client_id = ?")
        insertStream = try connection.prepare("INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?)")
        deleteStream = try connection.prepare("DELETE FROM stream WHERE node = ? AND receiver = ? AND number <= ?")
        upsertCarried = try connection.prepare(CarriedRow.upsert)
        deleteCarried = try connection.prepare(CarriedRow.forget)
        insertAside = try connection.prepare("INSERT INTO aside VALUES (NULL, ?, ?, ?, ?, ?, ?)")
        copyAside = try connection.prepare(
            """
            INSERT INTO aside SELECT NULL, ?, 'damaged', 'message', position, topic, payload FROM message
            WHERE position = ?
            """
        )
        freePages = try connection.prepare("PRAGMA freelist_count")
        allPages = try connection.prepare("PRAGMA page_count")
        giveBackPage = try connection.prepare("PRAGMA incremental_vacuum")
    }

    func close() { connection.close() }

    /// The number of the last batch that is on disk.
    func lastBatch() throws(SpoolError) -> UInt64 {
        defer { readBatch.reset() }
        guard try readBatch.step() else { throw .corrupt(detail: "the node row is missing") }
        return readBatch.number(0)
    }

    /// Writes a batch in one transaction; when this returns it is on disk.
    ///
    /// - Parameter aside: becomes what SQLite did not take for reasons of its own; set also when the commit fails, since
    ///   it may have taken effect. The rest is written, all in the same transaction, so that what belongs together is
    ///   never seen in part.
    func write(_ batch: Batch, hooks: SpoolHooks, aside: inout [SetAside]) throws(SpoolError) {
        do throws(SpoolError) {
            return try attempt(batch, hooks, isolating: false, &aside)
        } catch {
            guard error.isOfTheRecord else { throw error }
        }
        try attempt(batch, hooks, isolating: true, &aside)
    }

    private func attempt(
        _ batch: Batch,
        _ hooks: SpoolHooks,
        isolating: Bool,
        _ aside: inout [SetAside]
    ) throws(SpoolError) {
        let raises = batch.demandsSync && mode != .sync
        aside = []
        do throws(SpoolError) {
            // Not possible inside a transaction. A failure leaves it raised, and the connection is closed.
            if raises { try setSynchronous(DurabilityMode.sync.synchronous) }
            try begin.run()
            if isolating {
                try isolate(batch, 0..<batch.count, hooks, &aside)
            } else {
                try write(batch, 0..<batch.count, hooks)
            }
            updateNode.bind(batch.nextPosition, at: 1)
            updateNode.bind(batch.nextReceiver, at: 2)
            updateNode.bind(batch.number, at: 3)
            updateNode.bind(batch.wallMark, at: 4)
            try updateNode.run()
            try hooks.willCommit(batch.number)
            let start = ContinuousClock.now
            try commit.run()
            lastCommit = ContinuousClock.now - start
            try hooks.didCommit(batch.number)
            if raises { try setSynchronous(mode.synchronous) }
        } catch {
            connection.rollBack()
            throw error
        }
    }

    private func setSynchronous(_ wanted: Int64) throws(SpoolError) {
        try connection.run("PRAGMA synchronous = \(wanted)", while: "setting synchronous")
        let found = try connection.setting("PRAGMA synchronous")
        guard found == wanted else { throw .pragma(name: "synchronous", found: "\(found)", wanted: "\(wanted)") }
    }

    // MARK: The parts of a batch

    /// Writes some of the things of a batch, counted over all its parts.
    private func write(_ batch: Batch, _ range: Range<Int>, _ hooks: SpoolHooks) throws(SpoolError) {
        var parts = BatchParts(range)
        for at in parts.next(batch.gone.count) { try write(gone: batch.gone[at]) }
        for at in parts.next(batch.receivers.count) { try write(batch.receivers[at]) }
        for at in parts.next(batch.subscriptions.count) { try write(batch.subscriptions[at]) }
        try write(batch.rows.span.extracting(parts.next(batch.rows.count)), hooks)
        try delete(messages: batch.finished, parts.next(batch.finished.count))
        for at in parts.next(batch.cursors.count) { try write(batch.cursors[at]) }
        try write(batch.inbound, parts.next(batch.inbound.count), deleteInbounds, write)
        try write(batch.outbound, parts.next(batch.outbound.count), deleteOutbounds, write)
        for at in parts.next(batch.retained.count) { try write(batch.retained[at], hooks) }
        for at in parts.next(batch.wills.count) { try write(batch.wills[at], hooks) }
        for at in parts.next(batch.streams.count) { try write(batch.streams[at]) }
        for at in parts.next(batch.carried.count) { try write(batch.carried[at]) }
    }

    private func write(gone receiver: ReceiverID) throws(SpoolError) {
        for statement in deleteReceiver {
            statement.bind(receiver, at: 1)
            try statement.run()
        }
    }

    private func write(_ new: Batch.NewReceiver) throws(SpoolError) {
        upsertReceiver.bind(new.record.receiver, at: 1)
        upsertReceiver.bind(new.record.kind.inTable.rawValue, at: 2)
        upsertReceiver.bind(new.record.kind.name, at: 3)
        upsertReceiver.bind(Int64(new.record.expiryInterval), at: 4)
        upsertReceiver.bind(new.record.disconnectedAt, at: 5)
        upsertReceiver.bind(new.lowWater, at: 6)
        try upsertReceiver.run()
    }

    private func write(_ subscription: Batch.Subscription) throws(SpoolError) {
        let statement = subscription.record == nil ? deleteSubscription : replaceSubscription
        statement.bind(subscription.receiver, at: 1)
        statement.bind(subscription.filter, at: 2)
        if let record = subscription.record {
            statement.bind(Int64(record.options.rawValue), at: 3)
            statement.bind(record.identifier, at: 4)
        }
        try statement.run()
    }

    /// Borrows the rows: a copy of one takes a reference to its message and to its list of receivers.
    private func write(_ rows: Span<Batch.Row>, _ hooks: SpoolHooks) throws(SpoolError) {
        for at in rows.indices {
            if let hook = hooks.willInsert { try hook(rows[at].message) }
            row.encode(rows[at].message, position: rows[at].position, deliveries: rows[at].deliveries)
            try row.insert(with: insertMessage, into: .message)
        }
    }

    private func write(_ cursor: Batch.Cursor) throws(SpoolError) {
        updateCursor.bind(cursor.lowWater, at: 1)
        updateCursor.bind(copyOf: PositionList.write(cursor.exceptions, above: cursor.lowWater), at: 2)
        updateCursor.bind(cursor.receiver, at: 3)
        try updateCursor.run()
    }

    // What goes mostly goes in the order in which it came. Rows whose numbers follow one another go with one statement:
    // measured, a third of what one each costs.

    private func delete(messages positions: [UInt64], _ range: Range<Int>) throws(SpoolError) {
        try range.forEachRun {
            positions[$0] == positions[$0 - 1] + 1
        } do: { (run) throws(SpoolError) in
            let statement = run.count == 1 ? deleteMessage : deleteMessages
            statement.bind(positions[run.lowerBound], at: 1)
            if run.count > 1 { statement.bind(positions[run.upperBound - 1], at: 2) }
            try statement.run()
        }
    }

    /// - Parameters:
    ///   - deleteRange: deletes the rows of a receiver from one identifier to another.
    ///   - write: writes or deletes one.
    private func write<Identifier: BatchIdentifier>(
        _ identifiers: [Identifier],
        _ range: Range<Int>,
        _ deleteRange: SQLStatement,
        _ write: (Identifier) throws(SpoolError) -> Void
    ) throws(SpoolError) {
        try range.forEachRun {
            identifiers[$0].goes(after: identifiers[$0 - 1])
        } do: { (run) throws(SpoolError) in
            let first = identifiers[run.lowerBound]
            if run.count == 1 { return try write(first) }
            deleteRange.bind(first.receiver, at: 1)
            deleteRange.bind(Int64(first.packetID), at: 2)
            deleteRange.bind(Int64(identifiers[run.upperBound - 1].packetID), at: 3)
            try deleteRange.run()
        }
    }

    private func write(_ inbound: Batch.Inbound) throws(SpoolError) {
        let statement = inbound.isOpen ? insertInbound : deleteInbound
        statement.bind(inbound.receiver, at: 1)
        statement.bind(Int64(inbound.packetID), at: 2)
        try statement.run()
    }

    private func write(_ exchange: Batch.Exchange) throws(SpoolError) {
        let statement = exchange.outbound == nil ? deleteOutbound : replaceOutbound
        statement.bind(exchange.receiver, at: 1)
        statement.bind(Int64(exchange.packetID), at: 2)
        if let outbound = exchange.outbound {
            statement.bind(outbound.position, at: 3)
            statement.bind(Int64(outbound.isReleased ? 1 : 0), at: 4)
            statement.bind(outbound.source, at: 5)
        }
        try statement.run()
    }

    private func write(_ part: Batch.StreamPart) throws(SpoolError) {
        if !part.ids.isEmpty {
            insertStream.bind(part.stream.node, at: 1)
            insertStream.bind(part.stream.receiver, at: 2)
            insertStream.bind(part.number, at: 3)
            insertStream.bind(copyOf: MessageIDList.write(part.ids), at: 4)
            try insertStream.run()
        }
        guard part.forgotten > 0 else { return }
        deleteStream.bind(part.stream.node, at: 1)
        deleteStream.bind(part.stream.receiver, at: 2)
        deleteStream.bind(part.forgotten, at: 3)
        try deleteStream.run()
    }

    private func write(_ file: CarriedFile) throws(SpoolError) {
        CarriedRow.bind(file, to: upsertCarried)
        try upsertCarried.run()
        try deleteCarried.run()
    }

    private func write(_ retained: Batch.Retained, _ hooks: SpoolHooks) throws(SpoolError) {
        guard let message = retained.message else {
            deleteRetained.bind(retained.topic, at: 1)
            return try deleteRetained.run()
        }
        if let hook = hooks.willInsert { try hook(message) }
        row.encode(message, position: 0, deliveries: [])
        try row.insert(with: replaceRetained, into: .retained)
    }

    private func write(_ will: Batch.Will, _ hooks: SpoolHooks) throws(SpoolError) {
        guard let record = will.record else {
            deleteWill.bind(will.clientID, at: 1)
            return try deleteWill.run()
        }
        if let hook = hooks.willInsert { try hook(record.message) }
        row.encode(record)
        try row.insert(with: replaceWill, into: .will)
    }

    // MARK: What SQLite does not take

    /// Halves until what is not taken stands alone, which is set aside.
    private func isolate(
        _ batch: Batch,
        _ range: Range<Int>,
        _ hooks: SpoolHooks,
        _ aside: inout [SetAside]
    ) throws(SpoolError) {
        try connection.run("SAVEPOINT part", while: "beginning a part")
        do throws(SpoolError) {
            try write(batch, range, hooks)
            return try connection.run("RELEASE part", while: "ending a part")
        } catch {
            guard error.isOfTheRecord else { throw error }
            try connection.run("ROLLBACK TO part; RELEASE part", while: "undoing a part")
            if range.count == 1 { return aside.append(try setAside(batch, range.lowerBound, error)) }
        }
        let middle = range.lowerBound + range.count / 2
        try isolate(batch, range.lowerBound..<middle, hooks, &aside)
        try isolate(batch, middle..<range.upperBound, hooks, &aside)
    }

    /// Keeps one thing of a batch in the table for people, without its payload if it must be.
    private func setAside(_ batch: Batch, _ at: Int, _ error: SpoolError) throws(SpoolError) -> SetAside {
        let aside = SetAside(batch, at)
        for hasPayload in [true, false] {
            insertAside.bind(batch.wallMark, at: 1)
            insertAside.bind(MQTTString(error.description), at: 2)
            insertAside.bind(MQTTString(aside.kind), at: 3)
            insertAside.bind(aside.position ?? 0, at: 4)
            insertAside.bind(hasPayload ? aside.name : "", at: 5)
            insertAside.bind(copyOf: hasPayload ? aside.payload : ByteBuffer(), at: 6)
            do throws(SpoolError) {
                try insertAside.run()
                break
            } catch {
                guard error.isOfTheRecord else { throw error }
            }
        }
        return aside
    }

    /// Moves a row that was found damaged to the table for people. A row whose page cannot be read stays where it is.
    func setDamagedAside(_ position: UInt64, wall: UInt64) throws(SpoolError) {
        do throws(SpoolError) {
            try begin.run()
            copyAside.bind(wall, at: 1)
            copyAside.bind(position, at: 2)
            try copyAside.run()
            deleteMessage.bind(position, at: 1)
            try deleteMessage.run()
            try commit.run()
        } catch {
            connection.rollBack()
            if case .corrupt = error { return }
            throw error
        }
    }

    // MARK: Space

    /// Bytes of the pages that are in use, and of those that are free for new rows.
    func bytes() throws(SpoolError) -> (used: Int, free: Int) {
        let free = Int(try count(freePages)) * 4096
        return (Int(try count(allPages)) * 4096 - free, free)
    }

    /// Between two batches: moves the log into the file when it is long. Readers are never waited for.
    func checkpointIfLong() throws(SpoolError) {
        let pages = connection.walPages
        if pages < lastPages { nextCheckpoint = Self.walPagesMax }
        lastPages = pages
        guard pages > nextCheckpoint else { return }
        try checkpoint(.passive)
        nextCheckpoint = pages + Self.walPagesStep
    }

    /// True when there is log to be moved.
    var hasLog: Bool { connection.walPages > 0 }

    /// When nothing is to be done: gives free pages back if there are many, and empties the log.
    /// - Returns: true when there is more to give back.
    func tidy() throws(SpoolError) -> Bool {
        let isMore = try giveBackPages()
        try checkpoint(.truncate)
        nextCheckpoint = Self.walPagesMax
        lastPages = 0
        return isMore
    }

    /// Between two batches: gives some free pages back if there are many. What remains is free for what comes next.
    func giveBackPagesIfMany() throws(SpoolError) {
        // Pages that move go through the log; while a reader keeps that from being emptied, it need not grow for them.
        guard connection.walPages <= Self.walPagesMax, try hasManyFreePages() else { return }
        try giveBackPages(Self.busyStep)
    }

    /// The same while nothing else is to be done, until none is free.
    /// - Returns: true when there are more.
    private func giveBackPages() throws(SpoolError) -> Bool {
        if !isGivingPagesBack { isGivingPagesBack = try hasManyFreePages() }
        guard isGivingPagesBack else { return false }
        try giveBackPages(Self.idleStep)
        isGivingPagesBack = try count(freePages) > 0
        return isGivingPagesBack
    }

    private func hasManyFreePages() throws(SpoolError) -> Bool {
        let free = try count(freePages)
        let all = try count(allPages)
        return free > 1024 && free * 4 > all
    }

    /// The time is the bound that matters, for SQLite looks for each page in the list of those that are free. Measured:
    /// 4 µs a page when messages had gone in the order in which they came, and 0.2 ms when half a gigabyte had gone at
    /// random; that grows with what is free. A statement that is stopped before its end keeps what it did.
    private func giveBackPages(_ step: (pagesMax: Int, time: Duration)) throws(SpoolError) {
        let start = ContinuousClock.now
        do throws(SpoolError) {
            try begin.run()
            var pages = 0
            while pages < step.pagesMax, ContinuousClock.now - start < step.time, try giveBackPage.step() { pages += 1 }
            giveBackPage.reset()
            try commit.run()
        } catch {
            giveBackPage.reset()
            connection.rollBack()
            throw error
        }
    }

    /// Mode `off` does not sync its commits, but it syncs here: otherwise a commit that demands it would stand in a log
    /// whose file has not arrived.
    private func checkpoint(_ kind: SQLConnection.CheckpointMode) throws(SpoolError) {
        if mode == .off { try setSynchronous(DurabilityMode.normal.synchronous) }
        try connection.checkpoint(kind)
        if mode == .off { try setSynchronous(mode.synchronous) }
    }

    private func count(_ statement: SQLStatement) throws(SpoolError) -> Int64 {
        defer { statement.reset() }
        return try statement.step() ? statement.integer(0) : 0
    }
}

/// Walks over the parts of a batch with a range that counts through all of them.
private struct BatchParts {
    private let range: Range<Int>
    private var start = 0

    init(_ range: Range<Int>) { self.range = range }

    /// The indices of the next part that the range covers.
    mutating func next(_ count: Int) -> Range<Int> {
        defer { start += count }
        return range.clamped(to: start..<start + count).shifted(by: -start)
    }
}

extension Range<Int> {
    fileprivate func shifted(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }

    /// Calls `body` with parts that cover the range: the next index belongs to a part when `follows` says so.
    fileprivate func forEachRun(
        _ follows: (Int) -> Bool,
        do body: (Range<Int>) throws(SpoolError) -> Void
    ) throws(SpoolError) {
        var start = lowerBound
        while start < upperBound {
            var end = start + 1
            while end < upperBound, follows(end) { end += 1 }
            try body(start..<end)
            start = end
        }
    }
}

/// A packet identifier of an exchange, as a batch changes it.
private protocol BatchIdentifier {
    var receiver: ReceiverID { get }
    var packetID: UInt16 { get }
    /// Whether its row is deleted.
    var goes: Bool { get }
}

extension BatchIdentifier {
    /// Whether both go, and this one is the next.
    fileprivate func goes(after other: Self) -> Bool {
        goes && other.goes && receiver == other.receiver && Int(packetID) == Int(other.packetID) + 1
    }
}

extension Batch.Inbound: BatchIdentifier {
    fileprivate var goes: Bool { !isOpen }
}

extension Batch.Exchange: BatchIdentifier {
    fileprivate var goes: Bool { outbound == nil }
}
