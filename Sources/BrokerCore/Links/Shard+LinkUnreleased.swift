import MQTTCodec

/// An upstream that forgets exchanges of QoS 2 that it has begun, and keeps the session: mosquitto, for one, may send what
/// was under way when it was stopped under other identifiers afterwards. It never releases the old ones. They stay until it
/// uses them again, and there are 65,535 of them at most. An upstream is not held to fewer: mosquitto sends more than
/// Receive Maximum after it was away, and does so over each connection that follows when this one is closed.
extension Shard {
    /// Whether another node gives another message the identifier of an exchange of before this connection. If it meant that
    /// exchange it would say DUP [5:MQTT-3.3.1-1] [311:MQTT-3.3.1-1].
    func beginsAnew(_ packet: Publish, _ session: Session, on connection: Connection) -> Bool {
        if packet.isDuplicate { return false }
        // A link that was at another upstream meanwhile, and started again, knows nothing of what it left open here.
        guard let link = session.link else { return connection.carriesMarks }
        return link.unmentioned.contains(packet.packetID)
    }
}
