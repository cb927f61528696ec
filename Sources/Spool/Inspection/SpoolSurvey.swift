package import BrokerCore

/// What waits in a spool and for whom, at one moment, as the file says it.
///
/// It is read from committed rows over a connection of its own, so it holds up nobody, needs nothing that the writer
/// keeps in memory, and is the same for a running node and for a file on a desk.
package struct SpoolSurvey: Sendable {
    package struct Receiver: Sendable {
        package var receiver: ReceiverID
        package var isSession: Bool
        /// The client id of a session, the name of a link.
        package var name: String
        /// Messages that wait.
        package var depth = 0
        /// Bytes of topics, payloads and properties that wait. A message that waits for two counts for both.
        package var bytes = 0
        /// When the oldest message that waits came to this node.
        package var oldest: Timestamp?
    }

    /// In the order of their numbers.
    package var receivers: [Receiver] = []
    /// Messages that somebody waits for, each counted once.
    package var messages = 0
    package var bytes = 0
    package var oldest: Timestamp?
    package var retained = 0
    /// Sizes on disk: the database, its write-ahead log, and what of the database is free for new rows.
    package var fileBytes = 0
    package var logBytes = 0
    package var freeBytes = 0

    /// - Complexity: reads every row of the queue, but no payload.
    init(path: String) throws(SpoolError) {
        let connection = try SQLConnection(path: path, role: .reader)
        defer { connection.close() }
        try self.init(connection)
        fileBytes = FileSize.bytes(path)
        logBytes = FileSize.bytes(path + "-wal")
    }

    private init(_ connection: SQLConnection) throws(SpoolError) {
        // One transaction: receivers and rows of the same moment.
        try connection.run("BEGIN", while: "surveying")
        defer { connection.rollBack() }
        let roll = try ReceiverRoll(connection)
        receivers = roll.entries.map { Receiver(receiver: $0.receiver, isSession: $0.isSession, name: $0.name) }
        // The id begins with the time at which the message came.
        let rows = try connection.prepare(
            """
            SELECT position, receivers, id,
            length(CAST(topic AS BLOB)) + length(payload) + length(properties) FROM message ORDER BY position
            """
        )
        while try rows.step() {
            let position = rows.number(0)
            guard let deliveries = DeliveryList.read(rows.buffer(1)) else { continue }
            let waiting = roll.waiting(for: position, among: deliveries)
            guard !waiting.isEmpty else { continue }
            let came = rows.bytes(2) { id in
                id.count == 16
                    ? Timestamp(microseconds: UInt64(bigEndian: id.loadUnaligned(fromByteOffset: 0, as: UInt64.self)))
                    : nil
            }
            let size = Int(rows.integer(3))
            messages += 1
            bytes += size
            oldest = Self.older(oldest, came)
            for place in waiting {
                receivers[place].depth += 1
                receivers[place].bytes += size
                receivers[place].oldest = Self.older(receivers[place].oldest, came)
            }
        }
        rows.reset()
        retained = Int(try connection.integer("SELECT count(*) FROM retained") ?? 0)
        let pageBytes = Int(try connection.integer("PRAGMA page_size") ?? 0)
        freeBytes = Int(try connection.integer("PRAGMA freelist_count") ?? 0) * pageBytes
    }

    private static func older(_ one: Timestamp?, _ other: Timestamp?) -> Timestamp? {
        guard let one else { return other }
        guard let other else { return one }
        return min(one, other)
    }
}
