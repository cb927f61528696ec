package import BrokerCore
package import MQTTCodec
package import Spool

/// `[[link]]`: one connection to an upstream broker and what travels over it.
package struct LinkConfiguration: Sendable, Equatable {
    /// `name`: required, unique; 1 to 64 characters.
    package var name: String
    /// `addresses`: required.
    package var addresses: [LinkAddress]
    /// `prefer`: the first address that answers, with return to a better one, or each in its turn; default `first`.
    package var preference = Preference.first
    /// `connect_timeout`: for the way to an address with TLS and upgrades, and again for CONNACK; default 5 s; 100 ms to
    /// 5 min.
    package var connectTimeout = Duration.seconds(5)
    /// `proxy`: by which HTTP proxy the addresses are reached; default none.
    package var proxy: LinkProxy?
    /// `protocol`: the versions in the order in which they are tried; default 5, and 3.1.1 where the upstream refuses it
    /// and nothing comes back by it.
    package var versions: [ProtocolVersion] = [.v5, .v3_1_1]
    /// Whether the configuration leaves it to us what follows version 5.
    package var mayFallBack = true
    /// `bridge_bit`: set the high bit of the protocol level, by which mosquitto keeps from echoing to 3.1.1; default false.
    package var usesBridgeBit = false
    /// `loop.echo_table`: with version 3 and without the bridge bit, look for copies of what was sent among what comes;
    /// default false.
    package var usesEchoTable = false
    /// `trust_ids`: believe what messages of this upstream say of who they are and where they come from, also when it is
    /// no Drawbridge and may have them from anybody; default false.
    package var trustsIDs = false
    /// `client_id`: default `<node id>.<link name>`; the upstream keeps our session under this name.
    package var clientID: String
    /// `username`: default none.
    package var username: String?
    /// `password`: text, or where it is read at each connect; default none.
    package var password: CredentialSource?
    /// `keepalive`: default 30 s; whole seconds, 1 s to 65,535 s.
    package var keepAlive = Duration.seconds(30)
    /// `session_expiry`: how long the upstream keeps our session while the link is down; default 30 d; whole seconds,
    /// 0 s (a clean session at each connect) to 4,294,967,295 s (for ever).
    package var sessionExpiry = Duration.seconds(30 * 86_400)
    /// `max_inflight`: unanswered QoS 1 and 2 messages in each direction; default as many as the upstream says, at most
    /// 1,024, and 64 in version 3, where it does not say; 1 to 65,535.
    package var maxInflight: Int?
    /// `catchup_rate`: messages a second that go out of what had waited when the line came back; default without limit;
    /// 1/s to 1,000,000/s.
    package var catchUpRate: Int?
    /// `backoff`: pauses between attempts to connect.
    package var backoff = LinkBackoff()
    /// `ack_timeout`: without an awaited acknowledgement for so long the connection is given up; default 30 s;
    /// 1 s to 1 h.
    package var acknowledgementTimeout = Duration.seconds(30)
    /// `probe`, `probe_every` and `probe_topic`: how it is found out whether anything moves; default `auto`, 15 s, 1 s to
    /// 1 h, and a topic with the client id in it.
    package var probe = LinkProbeSettings(.auto)
    /// `start`: when it is connected; default `automatic`.
    package var start = LinkStart.automatic
    /// `[link.status]`: where it says how it is.
    package var status = LinkStatusConfiguration()
    /// `[link.tls]`: for addresses with TLS.
    package var tls = LinkTLSConfiguration()
    /// `[link.spool]`: what may wait while the link is down: `max_messages`, default 5,000,000, 1 to 1,000,000,000;
    /// `max_bytes`, default 2 GiB, 1 KiB to 1 PiB; `on_full`, default `reject`.
    package var spool = QueueBounds.ofLink
    /// `qos0` of `[link.spool]`: what becomes of QoS 0 while the link is down; default `memory`.
    package var keptQoS0 = KeptQoS0.memory
    /// `order` of `[link.spool]`: what keeps a message from going ahead of those that wait; default `publisher`.
    package var queueOrder = LinkSettings.QueueOrder.publisher
    /// `keep_refused` of `[link.spool]`: how many messages that the upstream refused are kept; default 0, up to 1,000,000.
    package var keptRefusedMax = 0
    /// `[[link.out]]`, then the outgoing halves of `[[link.both]]`: from here to the upstream.
    package var outRules: [LinkRule] = []
    /// `[[link.in]]`, then the incoming halves of `[[link.both]]`: from the upstream to here.
    package var inRules: [LinkRule] = []

    package init(name: String, addresses: [LinkAddress], clientID: String) {
        self.name = name
        self.addresses = addresses
        self.clientID = clientID
    }

    package enum KeptQoS0: String, Sendable, CaseIterable {
        case memory, disk, drop
    }

    package enum Preference: String, Sendable, CaseIterable {
        case first
        case roundRobin = "round-robin"
    }

    /// The one that is wanted most.
    package var version: ProtocolVersion { versions.first ?? .v5 }
    /// Whether the upstream may be spoken to without No Local.
    package var hasVersion3: Bool { versions.contains { $0 != .v5 } }
}

/// `[link.status]`
package struct LinkStatusConfiguration: Sendable, Equatable {
    /// `topic`: default `$SYS/broker/connection/<node id>.<link name>/state`.
    package var topic: String?
    /// `local_only`: whether the upstream does not hear it; default true.
    package var isLocalOnly = true
    /// `json`: whether `…/detail` says more; default true.
    package var hasDetail = true

    package init() {}
}

/// `backoff = { base, cap, jitter, stable }`: decorrelated jitter, the only kind of this version.
package struct LinkBackoff: Sendable, Equatable {
    /// `base`: the shortest pause; default 1 s; 10 ms to `cap`.
    package var base = Duration.seconds(1)
    /// `cap`: the longest pause; default 2 min; `base` to 1 d.
    package var cap = Duration.seconds(120)
    /// `stable`: a connection that lasted so long starts again at `base`; default 30 s; 0 s to 1 d.
    package var stable = Duration.seconds(30)

    package init() {}
}

/// A password: bytes that no log, problem or debugger description shows.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var bytes: [UInt8]

    package init(bytes: [UInt8]) { self.bytes = bytes }

    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    /// `dump` and string interpolation of a whole configuration go through the mirror, so it has nothing to show.
    package var customMirror: Mirror { Mirror(self, children: []) }
}
