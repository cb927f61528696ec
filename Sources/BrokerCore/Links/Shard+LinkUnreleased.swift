import MQTTCodec

/// An upstream that forgets exchanges of QoS 2 that it has begun, and keeps the session: mosquitto, for one, may send what
/// was under way when it was stopped under other identifiers afterwards. It never releases the old ones, and nobody could
/// tell them from those that it will release; only that it has to speak of these when it connects again (§4.4). So when
/// there are too many, those of before this connection that it has not spoken of are forgotten. Kept for ever they would
/// be more than a session may have, and the link could never take anything again.
extension Shard {
    /// - Returns: whether there is room again.
    func forgetUnmentioned(of session: Session) -> Bool {
        guard let link = session.link, let receiver = session.receiver else { return false }
        let gone = link.unmentioned.filter { session.inbound[$0] != nil }.sorted()
        link.unmentioned.removeAll()
        guard !gone.isEmpty else { return false }
        for id in gone {
            session.inbound[id] = nil
            store(.inboundRelease(receiver, packetID: id))
        }
        outbox.notices.append(
            Notice(
                .warning,
                "the upstream forgot exchanges of QoS 2 that it had begun",
                link: link.settings.name,
                detail: "\(gone.count); what it sends again comes twice"
            )
        )
        return true
    }
}
