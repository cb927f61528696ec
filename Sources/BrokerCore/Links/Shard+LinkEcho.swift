import MQTTCodec

/// `loop = { echo_table = true }`: for an upstream of version 3 that sends back what it gets, and does not know the bridge
/// bit, where both directions have to have the same topics.
///
/// Only a probe that has come back proves that the upstream echoes: before, nothing goes out, so that no copy comes that
/// nobody would know, and nothing is taken for a copy. Every copy is counted among what was dropped for the link.
extension Link {
    /// Whether copies are to be looked for over this connection.
    var usesEchoTable: Bool { settings.usesEchoTable && connection?.version != .v5 && !settings.usesBridgeBit }

    /// Whether nothing may go out yet.
    var awaitsEchoProof: Bool { usesEchoTable && !isEchoProven }

    /// Whether what is sent under this name comes back by a rule in.
    func comesBack(_ name: MQTTString) -> Bool {
        guard case .stays = Self.way(of: name, by: settings.inRules) else { return true }
        return false
    }
}

extension Shard {
    /// A message goes out under its name at the upstream.
    func noteEcho(of name: MQTTString, _ message: Message, _ qos: QoS, isDuplicate: Bool, _ link: Link, _ now: Now) {
        guard link.usesEchoTable, link.comesBack(name) else { return }
        // It is taken over once, however often it is sent with QoS 2.
        if isDuplicate, qos == .exactlyOnce { return }
        link.echoes.sent(name, message.payload, now.instant)
    }

    /// Whether a message of the upstream is a copy of ours, which is counted.
    func isEcho(_ packet: Publish, _ link: Link, _ session: Session, _ now: Now) -> Bool {
        guard link.usesEchoTable, link.isEchoProven,
            link.echoes.takes(packet.topic, packet.payload, settings.loop.window, now.instant)
        else { return false }
        count(.echo, session)
        return true
    }

    /// A probe has returned: over a line without No Local that is the proof.
    func noteEchoProven(_ link: Link, _ now: Now) {
        guard link.awaitsEchoProof else { return }
        link.isEchoProven = true
        goOn(link, now)
        if let session = link.session { feedKept(session, now) }
    }
}
