package import MQTTCodec

/// What the configuration means to the core, already validated. Defaults are those of the configuration file.
package struct BrokerSettings: Sendable {
    /// Messages in flight towards one client that announced no smaller Receive Maximum; 1...65535.
    package var inflightMax = 32
    /// QoS 1 and 2 messages that a version 5 client may have unacknowledged: announced, enforced by 0x93.
    package var receiveMaximum: UInt16 = 256
    /// The same, in both directions, where the other end of a link is trusted, or says itself how many it takes; at most
    /// `StreamWindow.size`.
    package var linkInflightMax = StreamWindow.size
    /// Topic aliases that a version 5 client may use, announced; and that we use towards it, if it takes as many. Each
    /// holds a topic in memory, of up to 65,535 bytes, for as long as the connection lasts.
    package var topicAliasMax = 16
    /// The highest QoS of a PUBLISH and a will; subscriptions may ask for more and get this.
    package var maximumQoS = QoS.exactlyOnce
    /// Whether clients may retain messages.
    package var isRetainAvailable = true
    /// Whether clients may subscribe with wildcards.
    package var allowsWildcards = true
    /// The longest keep-alive; version 5 clients that ask for more, or for none, are told (Server Keep Alive), others are
    /// refused. Nil leaves it to the client.
    package var keepAliveMax: UInt16?
    /// Whether a payload that is said to be text has to be UTF-8: 0x99 if it is not.
    package var checksPayloadFormat = false
    /// Whether strings may hold what the standards advise against: control characters and non-characters.
    package var allowsControlCharacters = false
    /// Announced to version 5 clients and enforced by the decoder; bytes.
    package var packetBytesMax = 1 << 20
    /// Size of a CONNECT, before we know who is there; bytes.
    package var connectBytesMax = 64 << 10
    package var topicLevelsMax = 128
    /// Bytes of a topic name or filter.
    package var topicBytesMax = 65_535
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE.
    package var filtersPerPacketMax = 1_000
    /// Bytes to one connection that wait for its peer; above them QoS 0 is dropped and QoS 1 and 2 wait.
    package var writeBufferBytesMax = 1 << 20
    /// Unreleased QoS 2 messages of one client, which is disconnected beyond it.
    package var awaitingReleaseMax = 1000
    /// Answers of one connection that may wait for the disk before reading from it pauses.
    package var heldAnswersMax = 4096
    /// Bytes of all connections together that may wait for the disk before publishers are not read from.
    package var spoolBacklogBytesMax = 64 << 20
    /// Sessions that outlive their connection; a new one beyond them is refused.
    package var sessionsMax = 100_000
    package var clientIDBytesMax = 256
    package var subscriptionsMax = 1000
    /// Share groups that one session may be a member of: each has a queue of its own.
    package var sharesMax = 100
    /// What a session gets of a message that several of its subscriptions match.
    package var overlapping = Overlapping.one
    /// How the messages of a share group are dealt out.
    package var sharedOrder = SharedOrder.any
    /// Upper bound of a version 5 session's expiry and the value for version 3 with Clean Session 0; seconds.
    package var sessionExpiryMax: UInt32 = 7 * 86_400
    /// From accept to a complete CONNECT.
    package var connectTimeout: Duration = .seconds(10)
    /// Messages that wait in memory for one receiver that is not durable.
    package var queueMessagesMax = 10_000
    /// Payload and topic bytes that wait in memory for one receiver that is not durable.
    package var queueBytesMax = 64 << 20
    /// When a queue in memory raises an alarm.
    package var watermarks = Watermarks.standard
    /// How long messages wait in memory for one receiver that is not durable; nil for as long as it lives.
    package var queueAgeMax: Duration?
    package var retainedMessagesMax = 100_000
    package var retainedPayloadMax = 64 << 10
    package var pageMessagesMax = 256
    /// The same of a link, whose backlog may be long and whose peer takes it as fast as it can be read.
    package var linkPageMessagesMax = 1_024
    /// A spool that is opened goes by the standard ones.
    package var linkLanes = LaneLimits()
    package var pageBytesMax = 1 << 20
    package var links: [LinkSettings] = []
    package var loop = LoopSettings()
    /// Users who are links of other nodes: the marks of their messages are believed.
    package var linkUsers: Set<MQTTString> = []
    /// What clocks on the wall show here, for links that connect at certain hours.
    package var secondsEastOfGreenwich: @Sendable (Timestamp) -> Int = { _ in 0 }
    package var admission = Admission.believing
    /// Authentication Methods that whoever is asked knows.
    package var authenticationMethods: [MQTTString] = []
    package var durability = DurabilityMode.sync
    /// The first rule that matches a topic decides.
    package var durabilityRules: [DurabilityRule] = []
    /// Who may publish and subscribe where; a running shard takes other rules by `setAccess(_:now:)`.
    package var access = AccessRules.open
    /// What a version 5 client hears of a PUBLISH that the rules deny.
    package var deniedPublish = DeniedPublish.refuse
    /// The same of version 3, which has no word for a refusal.
    package var deniedPublishOfVersion3 = DeniedPublishOfVersion3.acknowledge
    /// Whether `Outbox.ledger` says what became of every message: for tests, costs an allocation a message.
    package var keepsLedger = false

    /// Where version 5 clients are sent when the node shuts down; nil when there is nowhere.
    package var serverReference: MQTTString?
    /// Whether they are to stay there.
    package var isServerMoved = false
    /// This node's name in `$SYS`.
    package var nodeName: MQTTString = "drawbridge"
    /// Whose names `$SYS` has; none switches it off, and presence with it.
    package var systemNames = SystemNames.allCases

    package init() {}
}

/// One link to an upstream broker.
package struct LinkSettings: Sendable, Equatable {
    package var name: MQTTString
    /// In the order in which they are tried: version 5, or 3.1.1 (and 3.1) for upstreams that know no better.
    package var versions: [ProtocolVersion] = [.v5]
    /// Addresses of the upstream, which whoever dials knows by their number; 1 at least.
    package var addressCount = 1
    package var order = LinkRoute.Order.first
    /// For CONNACK, once the address has answered.
    package var connectTimeout: Duration = .seconds(5)
    /// Sets bit 7 of the protocol level in version 3, so that the upstream does not echo (mosquitto's `try_private`).
    package var usesBridgeBit = false
    /// Looks, in version 3 without the bridge bit, for copies of what was sent.
    package var usesEchoTable = false
    package var clientID: MQTTString
    package var keepAlive: Duration = .seconds(30)
    /// Seconds that our session outlives the connection at the upstream.
    package var sessionExpiry: UInt32 = 30 * 86_400
    /// `max_inflight`; nil for as many as the upstream takes.
    package var inflightMax: Int?
    package var acknowledgementTimeout: Duration = .seconds(30)
    /// Marks of an upstream that does not say that it is a Drawbridge are believed, and sent to it.
    package var trustsMarks = false
    /// Off, unless the configuration says otherwise, as it does by default.
    package var probe = LinkProbeSettings(.off)
    package var start = LinkStart.automatic
    /// Where it says how it is; nil for nowhere.
    package var status: LinkStatusSettings?
    package var backoff = BackoffSettings()
    package var keptQoS0 = KeptQoS0.none
    /// `catchup_rate`: messages a second that go out of what had waited when the line came back; nil for no limit.
    package var catchUpRate: Int?
    package var queueOrder = QueueOrder.publisher
    /// How many messages are kept that the upstream refused; 0 for none.
    package var keptRefusedMax = 0
    /// Local messages that go to the upstream.
    package var outRules: [LinkRule] = []
    /// Messages that are subscribed at the upstream.
    package var inRules: [LinkRule] = []

    package init(name: MQTTString, clientID: MQTTString) {
        self.name = name
        self.clientID = clientID
    }

    /// What keeps a message from going ahead of those that wait.
    package enum QueueOrder: String, Sendable, CaseIterable {
        /// Another message of its topic, or of its publisher.
        case publisher
        /// Another message of its topic.
        case topic
    }

    /// What becomes of QoS 0 while the upstream cannot be sent it.
    package enum KeptQoS0: Sendable, Equatable {
        case none
        /// Within the bounds of queues in memory.
        case memory
        /// Within those of the link's queue.
        case disk
    }

    /// The only one, or the one that is wanted most.
    package var version: ProtocolVersion {
        get { versions.first ?? .v5 }
        set { versions = [newValue] }
    }
}

package struct BackoffSettings: Sendable, Equatable {
    package var base: Duration = .seconds(1)
    package var cap: Duration = .seconds(120)
    /// A connection that lived this long resets the back-off.
    package var stable: Duration = .seconds(30)

    package init() {}
}
