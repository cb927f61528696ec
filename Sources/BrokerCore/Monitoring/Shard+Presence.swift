import MQTTCodec
import NIOCore

/// Events on `$SYS/brokers/<node>/...`: who came and who went, in the words of emqttd's presence module.
///
/// Events are not retained. They have QoS 1, so that a durable subscriber misses none while it is away; nothing is
/// stored for anybody else.
extension Shard {
    /// CONNACK went out.
    func announceArrival(of session: Session, on connection: Connection, _ now: Now) {
        guard !connection.isAnnounced else { return }
        connection.isAnnounced = true
        clientsConnected += 1
        clientsMaximum = max(clientsMaximum, clientsConnected)
        announce(session, "connected", now) {
            [
                ("clientid", JSONText.quoted(session.clientID.string)),
                ("username", connection.principal.username.map { JSONText.quoted($0.string) } ?? "null"),
                ("ipaddress", connection.principal.address.map { JSONText.quoted("\($0)") } ?? "null"),
                ("session", session.expiryInterval > 0 ? "true" : "false"),
                ("protocol", "\(connection.version.rawValue)"),
                ("connack", "0"),
                ("ts", "\(now.wall.microseconds / 1_000_000)"),
            ]
        }
    }

    /// - Parameter reason: one word.
    func announceDeparture(of session: Session, from connection: Connection, _ reason: String, _ now: Now) {
        guard connection.isAnnounced else { return }
        connection.isAnnounced = false
        clientsConnected -= 1
        announce(session, "disconnected", now) {
            [
                ("clientid", JSONText.quoted(session.clientID.string)),
                ("reason", JSONText.quoted(reason)),
                ("ts", "\(now.wall.microseconds / 1_000_000)"),
            ]
        }
    }

    private func announce(
        _ session: Session,
        _ event: String,
        _ now: Now,
        _ members: () -> [(name: String, value: String)]
    ) {
        // Mostly nobody wants to know, and making the topic costs more than all else that a connection is to the shard.
        guard settings.systemNames.contains(.emqttd), router.mayHaveListener(below: "$SYS") else { return }
        announce("clients/\(session.clientID.string.asTopicLevel)/\(event)", now, members)
    }

    /// Says an event that is not retained, when anybody listens.
    ///
    /// - Parameter name: the levels behind the node's.
    func announce(_ name: String, _ now: Now, _ members: () -> [(name: String, value: String)]) {
        guard settings.systemNames.contains(.emqttd) else { return }
        let topic = MQTTString("$SYS/brokers/\(settings.nodeName.string)/\(name)")
        guard topic.count <= Int(UInt16.max), router.hasListener(topic) else { return }
        var event = Publication(
            topic: topic,
            payload: ByteBuffer(string: JSONText.object(members())),
            // A spool that takes nothing keeps nobody who is there from hearing it.
            qos: spoolRefusal == nil ? .atLeastOnce : .atMostOnce,
            isRetained: false,
            properties: Properties()
        )
        event.isOwn = true
        publish(event, now)
    }
}

extension String {
    /// One level of a topic, whatever the text: what would begin another level, or be a wildcard, is written as in a
    /// URL.
    var asTopicLevel: String {
        guard utf8.contains(where: { "/+#%".utf8.contains($0) }) else { return self }
        return unicodeScalars.reduce(into: "") { level, scalar in
            switch scalar {
            case "/": level += "%2F"
            case "+": level += "%2B"
            case "#": level += "%23"
            case "%": level += "%25"
            default: level.unicodeScalars.append(scalar)
            }
        }
    }
}

extension ReasonCode {
    /// Its name as one word: `topic_alias_invalid`.
    fileprivate var word: String { String(description.lowercased().map { $0.isLetter || $0.isNumber ? $0 : "_" }) }

    /// Why a connection ended, in emqttd's words where it has one.
    var departure: String {
        switch self {
        case .success: "normal"
        case .keepAliveTimeout: "keepalive_timeout"
        default: word
        }
    }
}
