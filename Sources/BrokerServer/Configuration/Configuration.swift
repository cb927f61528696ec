package import BrokerCore
import NIOCore
package import Spool

/// Everything that an operator may decide, already checked: whoever holds one needs no further validation.
///
/// Each setting states its meaning, its default and its range here; `docs/configuration.md` says the same to operators.
/// The key in the file is given in backquotes.
package struct Configuration: Sendable, Equatable {
    package var node: NodeConfiguration
    package var log = LogConfiguration()
    package var durability = DurabilityConfiguration()
    package var limits = LimitsConfiguration()
    package var queue = QueueConfiguration()
    package var subscriptions = SubscriptionsConfiguration()
    package var sharing = SharingConfiguration()
    package var retained = RetainedConfiguration()
    package var authentication = AuthenticationConfiguration()
    package var access = AccessConfiguration()
    package var metrics = MetricsConfiguration()
    /// `[[listener]]`: the doors, in the order of the file; never empty.
    package var listeners: [ListenerConfiguration]
    /// `[[link]]`: the connections to upstream brokers, in the order of the file; names are unique.
    package var links: [LinkConfiguration]
    /// `[defaults.link] loop`: what stops a message that goes round.
    package var loop = LoopSettings()

    package init(
        node: NodeConfiguration,
        listeners: [ListenerConfiguration] = ListenerConfiguration.defaults,
        links: [LinkConfiguration] = []
    ) {
        self.node = node
        self.listeners = listeners
        self.links = links
    }

    /// What `drawbridge run` without a file uses: MQTT and web on loopback, a spool beside the caller, nobody else let in.
    package static var `default`: Configuration {
        Configuration(node: NodeConfiguration(id: Identifier.ofThisMachine()))
    }
}

/// `[node]`: who this broker is and where it keeps its things.
package struct NodeConfiguration: Sendable, Equatable {
    /// `id`: this node's name in client ids of links and in `$SYS`; default: the host name; 1 to 64 characters.
    package var id: String
    /// `data_dir`: folder of the spool, relative to the working directory; default `./drawbridge-data`.
    package var dataDirectory: String
    /// `server_reference`: where version 5 clients are sent when this node shuts down, as `host` or `host:port`, several
    /// with spaces between them; default: nowhere.
    package var serverReference: String?
    /// `server_moved`: whether they are to stay there (0x9D) or may come back (0x9C); default false.
    package var isServerMoved = false
    /// `loops`: event loops that carry connections, 1 to 64; default: one for two cores, 8 at most.
    package var loopCount = NodeConfiguration.loopsByDefault

    /// One for two cores. A loop that is busy keeps a second core busy: with the writer of the spool, with the network of
    /// the system, with whoever talks to it; more loops than that take turns, and what they tell one another costs more
    /// than it brings.
    static var loopsByDefault: Int { min(8, max(1, System.coreCount / 2)) }

    package init(id: String, dataDirectory: String = "./drawbridge-data") {
        self.id = id
        self.dataDirectory = dataDirectory
    }
}

/// `[log]`: how much is said, and in which shape.
package struct LogConfiguration: Sendable, Equatable {
    /// The level names are those of swift-log, so that `Logger.Level(rawValue:)` takes them.
    package enum Level: String, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error
    }

    package enum Format: String, Sendable, CaseIterable {
        /// One line for people.
        case text
        /// One JSON object per line for collectors.
        case json
    }

    /// `level`: the least important level that is written; default `info`.
    package var level: Level = .info
    /// `format`: default `text`.
    package var format: Format = .text
    /// `denials`: how important it is that access rules deny something; default `info`.
    package var denials: Level = .info

    package init() {}
}

/// `[limits]`: what one client may ask for, and how many clients there may be.
package struct LimitsConfiguration: Sendable, Equatable {
    /// `max_connections`: network connections of all listeners together; default 20,000; 1 to 1,000,000.
    package var connectionsMax = 20_000
    /// `max_packet`: bytes of a control packet after CONNECT, header included; default 1 MiB; 1 KiB to 268,435,460 bytes.
    package var packetBytesMax = 1 << 20
    /// `receive_maximum`: unanswered QoS 1 and 2 messages that a client may send; default 256; 1 to 65,535.
    package var receiveMaximum = 256
    /// `inflight`: unanswered QoS 1 and 2 messages that we send to a client; default 32; 1 to 65,535.
    package var inflightMax = 32
    /// `max_connect`: bytes of a CONNECT, before we know who is there; default 64 KiB; 64 bytes to `max_packet`.
    package var connectBytesMax = 64 << 10
    /// `max_awaiting_rel`: QoS 2 messages of a 3.x client that wait for its PUBREL; default 1,000; 1 to 65,535.
    package var awaitingReleaseMax = 1_000
    /// `connect_timeout`: time from accept to a whole CONNECT; default 10 s; 100 ms to 1 h.
    package var connectTimeout = Duration.seconds(10)
    /// `max_clientid`: bytes of a client identifier; default 256; 23 to 65,535 [5:MQTT-3.1.3-5].
    package var clientIDBytesMax = 256
    /// `max_topic_levels`: levels of a topic name or filter; default 128; 1 to 65,535.
    package var topicLevelsMax = 128
    /// `max_topic`: bytes of a topic name or filter; default and most 65,535; 1 or more.
    package var topicBytesMax = 65_535
    /// `max_filters`: filters of one SUBSCRIBE or UNSUBSCRIBE; default 1,000; 1 to 100,000.
    package var filtersPerPacketMax = 1_000
    /// `max_qos`: the highest QoS of what clients publish and subscribe; default 2; 0 to 2.
    package var qosMax = 2
    /// `retain_available`: whether clients may have messages retained; default true.
    package var retainsMessages = true
    /// `wildcards`: whether filters may have `+` and `#`; default true.
    package var allowsWildcards = true
    /// `max_keep_alive`: the longest keep-alive that a client gets; nil: what it asks for; 1 s to 65,535 s.
    package var keepAliveMax: Duration?
    /// `check_payload_format`: whether payloads that are said to be text must be UTF-8; default false.
    package var checksPayloadFormat = false
    /// `control_characters`: whether strings may hold control characters and non-characters; default false.
    package var allowsControlCharacters = false
    /// `per_address`: connections from one address, a /64 of IPv6 counting as one; nil: 1,000, and loopback is not
    /// counted; 1 to 1,000,000.
    package var connectionsPerAddressMax: Int?
    /// `max_subscriptions`: subscriptions of one session; default 1,000; 1 to 1,000,000.
    package var subscriptionsMax = 1_000
    /// `write_buffer`: unsent bytes above which a slow reader gets no QoS 0; default 1 MiB; 4 KiB to 1 GiB.
    package var writeBufferBytesMax = 1 << 20
    /// `session_expiry`: cap for version 5, and the value for 3.x without clean session; default 7 d; 0 s to 4,294,967,295 s.
    package var sessionExpiry = Duration.seconds(7 * 86_400)

    package init() {}
}

/// `[queue]`: what a durable session keeps while its client is away, and a share group while no member has room.
package struct QueueConfiguration: Sendable, Equatable {
    /// `max_messages`: messages waiting in one session; default 10,000; 1 to 1,000,000,000.
    package var messagesMax = 10_000
    /// `max_bytes`: bytes waiting in one session; default 64 MiB; `max_packet` to 1 TiB, so that any one message fits.
    package var bytesMax = 64 << 20
    /// `max_age`: how long a message may wait; nil: for as long as it takes; 1 s to 3,650 d, or 0 s for nil.
    package var ageMax: Duration?
    /// `on_full`: what gives way when a message does not fit; default `drop-qos0-then-oldest`.
    package var whenFull = FullQueuePolicy.dropQoS0ThenOldest
    /// `watermarks`: when a queue, or the spool as a whole, raises an alarm, and when it clears it, as parts of its bounds;
    /// default 0.6 and 0.2; 0 < low < high <= 1.
    package var watermarks = Watermarks.standard

    package init() {}
}

/// `[subscriptions]`: how messages come to those who subscribe.
package struct SubscriptionsConfiguration: Sendable, Equatable {
    /// `overlapping`: what a session gets of a message that several of its subscriptions match; default `one`.
    package var overlapping = Overlapping.one

    package init() {}
}

/// `[shared_subscriptions]`: groups of clients that take messages in turns (§4.8.2).
package struct SharingConfiguration: Sendable, Equatable {
    /// `order`: how messages are dealt out to the members of a group; default `any`.
    package var order = SharedOrder.any

    package init() {}
}

/// `[retained]`: the store of retained messages.
package struct RetainedConfiguration: Sendable, Equatable {
    /// `max_messages`: topics that hold a retained message; default 100,000; 0 to 100,000,000.
    package var messagesMax = 100_000
    /// `max_payload`: bytes of one retained payload; default 64 KiB; 0 to 268,435,455 bytes.
    package var payloadBytesMax = 64 << 10

    package init() {}
}

/// `[metrics]`: what the node says of itself.
package struct MetricsConfiguration: Sendable, Equatable {
    /// `prometheus`: web ports tell metrics at `/metrics`; default false.
    package var areTold = false
    /// `sys_interval`: how often the values under `$SYS` are told; default 10 s; 1 s to 1 d, or 0 s for never.
    package var systemInterval = Duration.seconds(10)
    /// `sys_names`: whose names they have; default both. Presence of clients is among emqttd's.
    package var systemNames = SystemNames.allCases

    package init() {}

    /// Nothing is another under `$SYS`.
    func saysTheSame(_ other: MetricsConfiguration) -> Bool {
        systemInterval == other.systemInterval && systemNames == other.systemNames
    }
}
