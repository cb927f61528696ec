/// Every maximum of the wire, with its source. The standard allows 268,435,460 bytes for one packet; nobody needs
/// them, and each byte that a stranger may make us hold is a byte of a denial of service.
package struct CodecLimits: Sendable, Equatable {
    /// Bytes of one packet, fixed header included, as Maximum Packet Size counts them [5:§3.1.2.11.4].
    /// 1 MiB: MQTT carries telemetry and chat; what is larger belongs into HTTP.
    package var maximumPacketSize: Int
    /// Bytes of a CONNECT, which comes from somebody who has not proved anything yet. 64 KiB leaves room for the
    /// longest JSON Web Token that proxies let through and for a will.
    package var maximumConnectSize: Int
    /// Levels of a topic name or filter (§4.7.1.1 sets no bound). 128 as in EMQX; deep filters cost the matcher
    /// time and memory per level.
    package var maximumTopicLevels: Int
    /// Bytes of a topic name or filter; the wire itself has 65,535 (§4.7.3).
    package var maximumTopicBytes: Int
    /// User properties of one packet. Each pair costs two strings, though it needs 5 bytes only on the wire
    /// [5:§5.4.10 leaves it to the implementation].
    package var maximumUserProperties: Int
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE. A packet of 1 MiB could carry 262,144 of them, each a lookup under
    /// the lock of the subscription index.
    package var maximumFiltersPerPacket: Int
    /// Whether strings with control characters (U+0001 to U+001F, U+007F to U+009F) and non-characters (such as U+FFFF)
    /// are malformed. Both standards leave it to the receiver [5:§1.5.4] [311:§1.5.3]; logs, files and other brokers
    /// are better off without them.
    package var refusesControlCharacters: Bool
    /// Subscription Identifiers of one PUBLISH from a server [5:§3.3.2.3.8]: as many as subscriptions overlap.
    package var maximumSubscriptionIdentifiers: Int

    package init(
        maximumPacketSize: Int = 1 << 20,
        maximumConnectSize: Int = 64 << 10,
        maximumTopicLevels: Int = 128,
        maximumTopicBytes: Int = fieldBytesMax,
        maximumUserProperties: Int = 1_000,
        maximumFiltersPerPacket: Int = 1_000,
        maximumSubscriptionIdentifiers: Int = 1_000,
        refusesControlCharacters: Bool = false
    ) {
        self.maximumPacketSize = maximumPacketSize
        self.maximumConnectSize = maximumConnectSize
        self.maximumTopicLevels = maximumTopicLevels
        self.maximumTopicBytes = maximumTopicBytes
        self.maximumUserProperties = maximumUserProperties
        self.maximumFiltersPerPacket = maximumFiltersPerPacket
        self.maximumSubscriptionIdentifiers = maximumSubscriptionIdentifiers
        self.refusesControlCharacters = refusesControlCharacters
    }

    /// The largest value of a Variable Byte Integer, and so of a remaining length [5:§1.5.5].
    package static let variableByteIntegerMax = 268_435_455
    /// The longest string or binary field: its length is a Two Byte Integer (§1.5.4, §1.5.6).
    package static let fieldBytesMax = 65_535
}
