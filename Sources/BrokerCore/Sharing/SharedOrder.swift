import MQTTCodec

/// How the messages of a share group are dealt out to its members.
package enum SharedOrder: String, Sendable, Hashable, CaseIterable {
    /// To whoever has room, one after the other.
    case any
    /// What one publisher publishes goes to one member for as long as that member is there, so that it stays in order.
    case publisher
}

/// A hash that is the same in every process: rows of the spool carry it over a restart.
enum StableHash {
    private static let start: UInt32 = 2_166_136_261
    private static let prime: UInt32 = 16_777_619

    static func of(_ text: MQTTString, from start: UInt32 = start) -> UInt32 {
        text.utf8.reduce(start) { ($0 ^ UInt32($1)) &* prime }
    }

    /// For choosing one of several by its name: the highest wins, so that most keep theirs when one comes or goes.
    static func rank(of name: MQTTString, for key: UInt32) -> UInt32 {
        var hash = of(name, from: start ^ key)
        hash ^= hash >> 16
        hash = hash &* 0x85EB_CA6B
        hash ^= hash >> 13
        return hash
    }
}

extension Shard {
    /// Whose message it is, as far as a share group has to know: 28 bits, so that it fits where a subscription
    /// identifier does. Nil for what comes over HTTP, where nobody knows which requests belong together.
    func publisherKey(of publication: borrowing Publication) -> UInt32? {
        guard let slot = publication.publisher, let session = sessions[Int(slot)] else { return nil }
        return StableHash.of(session.clientID) & 0x0FFF_FFFF
    }
}

extension MQTTString {
    /// Whether this, as the filter of a subscription, names a share group.
    var isShared: Bool { string.hasPrefix("$share/") }
}
