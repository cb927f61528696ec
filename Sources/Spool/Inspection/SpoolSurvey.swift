package import BrokerCore

/// What waits in a running spool and for whom, as of its last commit.
///
/// How much waits is counted by the writer as it goes; the file says only what the receivers are called and how old
/// their oldest messages are. So it costs the same however many messages wait, and holds up nobody.
package struct SpoolSurvey: Sendable {
    package struct Receiver: Sendable {
        package var receiver: ReceiverID
        package var kind: ReceiverKind
        /// The client id of a session, the name of a link, the filter of a share group.
        package var name: String
        /// What became of its messages.
        package var tally: ReceiverTally
        /// When the oldest message that waits came to this node; known of those with the deepest queues.
        package var oldest: Timestamp?
    }

    /// The deepest first, then the elder.
    package var receivers: [Receiver] = []
    /// The books of all receivers, those included that are gone by now.
    package var total: ReceiverTally
    /// Messages that somebody waits for, each counted once.
    package var messages: Int
    package var bytes: Int
    package var oldest: Timestamp?
    package var retained = 0
    /// Sizes on disk: the database, its write-ahead log, and what of the database is free for new rows.
    package var fileBytes: Int
    package var logBytes: Int
    package var freeBytes = 0

    /// - Parameter limit: for how many of the deepest queues the age of the oldest message is looked up.
    /// - Complexity: O(receivers), and one lookup in the file for each of `limit`.
    init(_ books: SpoolBooks, path: String, limit: Int) throws(SpoolError) {
        total = books.total
        messages = books.messages
        bytes = books.bytes
        fileBytes = FileSize.bytes(path)
        logBytes = FileSize.bytes(path + "-wal")
        let connection = try SQLConnection(path: path, role: .reader)
        defer { connection.close() }
        try connection.run("BEGIN", while: "surveying")
        defer { connection.rollBack() }
        try readReceivers(connection, books)
        try readAges(connection, limit: limit)
        retained = Int(try connection.integer("SELECT count(*) FROM retained") ?? 0)
        let pageBytes = Int(try connection.integer("PRAGMA page_size") ?? 0)
        freeBytes = Int(try connection.integer("PRAGMA freelist_count") ?? 0) * pageBytes
    }

    private mutating func readReceivers(_ connection: SQLConnection, _ books: SpoolBooks) throws(SpoolError) {
        let rows = try connection.prepare(ReceiverRow.select)
        defer { rows.reset() }
        while try rows.step() {
            let row = ReceiverRow(rows)
            // Of no other kind is any that was loaded at the start.
            guard let kind = row.kind else { continue }
            receivers.append(
                Receiver(
                    receiver: row.receiver,
                    kind: kind,
                    name: row.name,
                    tally: books.receivers[row.receiver] ?? ReceiverTally()
                )
            )
        }
        receivers.sort {
            $0.tally.waiting != $1.tally.waiting ? $0.tally.waiting > $1.tally.waiting : $0.receiver < $1.receiver
        }
    }

    private mutating func readAges(_ connection: SQLConnection, limit: Int) throws(SpoolError) {
        // A message that was acknowledged a moment ago may have
        // no row any more; the next row is as old as makes no difference.
        let rows = try connection.prepare("SELECT id FROM message WHERE position >= ? ORDER BY position LIMIT 1")
        func age(of position: UInt64) throws(SpoolError) -> Timestamp? {
            guard position > 0 else { return nil }
            rows.bind(position, at: 1)
            defer { rows.reset() }
            guard try rows.step() else { return nil }
            return rows.bytes(0) { MessageRow.came($0) }
        }
        oldest = try age(of: receivers.lazy.map(\.tally.first).filter { $0 > 0 }.min() ?? 0)
        for place in receivers.indices.prefix(limit) {
            receivers[place].oldest = try age(of: receivers[place].tally.first)
        }
    }
}
