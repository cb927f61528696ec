package import Foundation

/// What `GET /admin/v1/spool` answers and `drawbridge ctl spool` shows: the same type at both ends.
///
/// Its names are those of the JSON document, in snake case there. Ages are whole seconds.
package struct SpoolOverview: Codable, Sendable, Equatable {
    package struct Receiver: Codable, Sendable, Equatable {
        /// The client id of a session, the name of a link.
        package var name: String
        /// "session" or "link".
        package var kind: String
        package var connected: Bool
        /// What a link is doing, in the words of `/healthz`.
        package var state: String?
        /// Messages that wait, and their bytes: topics, payloads and properties.
        package var depth: Int
        package var bytes: Int
        /// Age of the oldest message that waits.
        package var oldestSeconds: Int?
    }

    package struct Totals: Codable, Sendable, Equatable {
        /// Messages that somebody waits for, each counted once however many wait.
        package var messages: Int
        package var bytes: Int
        package var oldestSeconds: Int?
        /// Sum of the depths of all receivers.
        package var waiting: Int
        package var sessions: Int
        package var links: Int
        package var retained: Int
    }

    /// Totals since the node was started.
    package struct SinceStart: Codable, Sendable, Equatable {
        package var commits: UInt64
        package var rowsWritten: UInt64
        package var rowsElided: UInt64
        package var messagesDropped: UInt64
        package var failures: UInt64
        package var damagedRows: UInt64
    }

    /// "ok" or "failing".
    package var state: String
    package var reason: String?
    package var failingSeconds: Int?
    /// Why new messages are refused: "full", "disk full" or "sick"; nil when they are taken.
    package var refusing: String?
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

    package func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }

    package static func decoded(_ data: Data) throws -> SpoolOverview {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(SpoolOverview.self, from: data)
    }
}
