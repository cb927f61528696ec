package import BrokerCore
import Synchronization

extension Spool {
    /// What waits and for whom, and what became of the rest. Blocking: it reads over a connection of its own, but no
    /// queue.
    ///
    /// - Parameter limit: for how many of the deepest queues the age of the oldest message is looked up.
    package func survey(limit: Int = .max) throws(SpoolError) -> SpoolSurvey {
        try SpoolSurvey(books, path: path, limit: limit)
    }

    /// Sizes of the database and of its write-ahead log. Blocking.
    package var diskBytes: (database: Int, log: Int) { (FileSize.bytes(path), FileSize.bytes(path + "-wal")) }

    /// When the oldest message that waits for each of some receivers came to this node. Blocking, one lookup for each.
    package func arrivals(of receivers: [ReceiverID]) throws(SpoolError) -> [ReceiverID: Timestamp] {
        var arrivals: [ReceiverID: Timestamp] = [:]
        let waiting = receivers.map { (receiver: $0, first: tally(of: $0).first) }.filter { $0.first > 0 }
        guard !waiting.isEmpty else { return [:] }
        let connection = try SQLConnection(path: path, role: .reader)
        defer { connection.close() }
        let rows = try connection.prepare("SELECT id FROM message WHERE position >= ? ORDER BY position LIMIT 1")
        for (receiver, first) in waiting {
            rows.bind(first, at: 1)
            defer { rows.reset() }
            if try rows.step() { arrivals[receiver] = rows.bytes(0) { MessageRow.came($0) } }
        }
        return arrivals
    }

    /// Makes a copy of what is committed at this moment, while everything goes on. Blocking. One at a time: the log
    /// cannot be emptied while somebody reads an old state of the file.
    ///
    /// - Parameter target: an absolute path; the node writes there, so the node's user must be allowed to.
    package func copy(to target: String) throws(SpoolToolError) -> SpoolCopy {
        guard target.hasPrefix("/") else { throw .notAbsolute(path: target) }
        let isFirst = isCopying.withLock { isCopying in
            defer { isCopying = true }
            return !isCopying
        }
        guard isFirst else { throw .copying }
        defer { isCopying.withLock { $0 = false } }
        return try SpoolCopy.make(of: path, at: target)
    }
}
