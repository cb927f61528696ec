/// What a command wants of the queue of a link: the body of every request to `/admin/v1/links/queue/...`.
package struct LinkQueueOrder: AdminDocument {
    package var link: String
    /// Only messages whose topic here matches.
    package var filter: String?
    /// Only messages that came at least so long ago.
    package var olderThanSeconds: Int?
    /// Where the answer before this one ended.
    package var after: UInt64?
    /// Nothing behind this; of `replay`, which would otherwise meet again what is refused again.
    package var through: UInt64?
    /// Messages at most; of `peek`.
    package var limit: Int?
    /// Bytes of each payload; of `peek`.
    package var payloadBytes: Int?
    /// Says what would be done and does nothing; of `drop`.
    package var isDryRun: Bool?
    /// An absolute path, as the node sees it.
    package var file: String?
    /// The messages stay in the queue as well, or were left there; of `export` and `import`.
    package var isCopy: Bool?
    /// What is damaged is left out; of `import`.
    package var skipsDamaged: Bool?

    package init(link: String) { self.link = link }
}

/// What waits for a link: the answer to `peek`.
package struct LinkQueuePage: AdminDocument {
    package struct Entry: Codable, Sendable, Equatable {
        package var position: UInt64
        package var id: String
        package var topic: String
        /// What it is called at the upstream, where that is another name.
        package var sentAs: String?
        /// At which it is sent.
        package var qos: Int
        package var retained: Bool
        /// Of the payload.
        package var bytes: Int
        /// Microseconds since 1970.
        package var came: UInt64
        package var expiry: UInt64?
        package var ageSeconds: Int
        /// It was sent, and the upstream has not settled it.
        package var inFlight: Bool
        /// The beginning of the payload, as text when it is UTF-8, else in base64.
        package var payload: String?
        package var payloadBase64: String?
    }

    package var messages: [Entry]
    /// Where to go on; nil at the end of the queue.
    package var next: UInt64?
    /// Rows that were damaged among those that were looked at.
    package var damaged: Int
}

/// What a step of `drop`, `export` or `import` did. Whoever asked goes on with `next` until there is none; what an answer
/// says is on disk.
package struct LinkQueueStep: AdminDocument {
    /// Messages that were taken out, written, or taken in.
    package var messages: Int
    package var bytes: Int
    /// Messages that are wanted and were left, because the upstream may have them.
    package var inFlight: Int
    /// Messages of a file that were damaged and left out.
    package var damaged: Int
    /// Of a file: messages in all steps so far, and of an import how many there are.
    package var messagesSoFar: Int?
    package var messagesInFile: Int?
    /// The first step of an export found a file that was begun before, and goes on with it.
    package var isContinued: Bool?
    /// The first step of an import found that all of the file was taken in before.
    package var wasTakenIn: Bool?
    /// It could not be noted in the file that it was taken in.
    package var isUnclaimed: Bool?
    /// Messages that no rule of the link takes; they leave under the names that they have.
    package var unnamed: Int?
    /// Of a replay: for the `through` of the steps that follow.
    package var through: UInt64?
    /// Where to go on; nil when nothing is left to do.
    package var next: UInt64?

    package init(messages: Int = 0, bytes: Int = 0, inFlight: Int = 0, damaged: Int = 0) {
        self.messages = messages
        self.bytes = bytes
        self.inFlight = inFlight
        self.damaged = damaged
    }
}
