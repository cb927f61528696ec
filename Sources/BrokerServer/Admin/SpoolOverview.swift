/// What `GET /admin/v1/spool` answers and `drawbridge ctl spool` shows. Ages are whole seconds.
package struct SpoolOverview: AdminDocument {
    package struct Receiver: Codable, Sendable, Equatable {
        /// The client id of a session, the name of a link, the filter of a share group.
        package var name: String
        /// "session", "link" or "group".
        package var kind: String
        package var connected: Bool
        /// What a link is doing, in the words of `/healthz`.
        package var state: String?
        /// Messages that wait, and their bytes: topics, payloads and properties.
        package var depth: Int
        package var bytes: Int
        /// Age of the oldest message that waits.
        package var oldestSeconds: Int?
        /// Its alarm is raised: it came to its high watermark, and was not below its low one since.
        package var high: Bool
        package var ledger: Ledger
        /// Publishes that were refused because this queue was full.
        package var refused: UInt64
        /// Publishes of version 3, which has no refusal, that waited until there was room.
        package var heldBack: UInt64
    }

    /// What became of messages since the node was started. It closes to the message:
    /// `restored + taken = delivered + waiting + dropped`.
    package struct Ledger: Codable, Sendable, Equatable {
        /// What waited already when the node was started.
        package var restored: UInt64
        /// What was accepted since.
        package var taken: UInt64
        /// What the receiver acknowledged.
        package var delivered: UInt64
        package var waiting: UInt64
        /// What the receiver will not get, and why; reasons that did not occur are zero.
        package var dropped: Dropped
    }

    package struct Dropped: Codable, Sendable, Equatable {
        /// `on_full = "drop-oldest"`: the oldest of a full queue.
        package var oldest: UInt64
        /// `on_full = "drop-newest"`: it came to a full queue.
        package var newest: UInt64
        /// `max_age`: it waited for longer than its queue keeps messages.
        package var aged: UInt64
        /// The receiver answered too many messages behind one that it did not answer.
        package var holes: UInt64
        /// QoS 0 that met nobody.
        package var away: UInt64
        /// QoS 0 for somebody who does not read.
        package var buffer: UInt64
        /// Its expiry passed before it was sent.
        package var expired: UInt64
        /// It is larger than the packets that the receiver takes.
        package var tooLarge: UInt64
        /// The receiver answered with a failure.
        package var rejected: UInt64
        /// Access rules keep it from the receiver.
        package var denied: UInt64
        /// All packet identifiers of the receiver were taken.
        package var noIdentifier: UInt64
        /// The rules of its link had no name for it.
        package var unnamed: UInt64
        /// Its row was damaged.
        package var damaged: UInt64
        /// SQLite did not take it.
        package var setAside: UInt64
        /// The session ended while it waited.
        package var ended: UInt64
        /// Somebody took it out of the queue of a link.
        package var removed: UInt64
        /// It left the queue of a link for a file.
        package var exported: UInt64
        /// It had been put aside, and went back into the queue of its link.
        package var replayed: UInt64

        package var total: UInt64 {
            oldest + newest + aged + holes + away + buffer + expired + tooLarge + rejected + denied + noIdentifier
                + unnamed + damaged + setAside + ended + removed + exported + replayed
        }
    }

    /// What receivers did not get for whom nothing is stored: sessions that end with their connection, and QoS 0.
    package struct Unstored: Codable, Sendable, Equatable {
        /// QoS 0 that met nobody, or somebody who does not read.
        package var qos0: UInt64
        /// QoS 1 and 2: the oldest of a queue in memory that was full.
        package var oldest: UInt64
    }

    package struct Totals: Codable, Sendable, Equatable {
        /// Messages that somebody waits for, each counted once however many wait.
        package var messages: Int
        package var bytes: Int
        package var oldestSeconds: Int?
        /// Sum of the depths of all receivers.
        package var waiting: Int
        package var sessions: Int
        package var groups: Int
        package var links: Int
        package var retained: Int
    }

    /// Totals since the node was started.
    package struct SinceStart: Codable, Sendable, Equatable {
        package var commits: UInt64
        package var rowsWritten: UInt64
        package var rowsElided: UInt64
        /// The sum of `dropped` of the ledger of all.
        package var messagesDropped: UInt64
        package var failures: UInt64
        package var damagedRows: UInt64
        /// The sum of all receivers, those included that are gone by now.
        package var ledger: Ledger
        /// Publishes that were refused because a queue or the spool had no room: 0x97, or 507 over HTTP.
        package var refused: UInt64
        /// Publishes of version 3, which has no refusal, that waited until there was room.
        package var heldBack: UInt64
        package var unstored: Unstored
    }

    /// "ok" or "failing".
    package var state: String
    package var reason: String?
    package var failingSeconds: Int?
    /// Why new messages are refused: "full", "disk full" or "sick"; nil when they are taken.
    package var refusing: String?
    /// The spool as a whole is above its watermark.
    package var high: Bool
    /// What the operator must know about how this spool came here.
    package var notices: [String]
    /// "sync", "normal" or "off".
    package var durability: String
    /// How often this spool was opened.
    package var starts: UInt64
    package var fileBytes: Int
    package var logBytes: Int
    package var freeBytes: Int
    package var totals: Totals
    package var sinceStart: SinceStart
    /// The deepest first; as many as were asked for.
    package var receivers: [Receiver]
}
