import MQTTCodec

/// What an upstream gets of a message: its name there, and what comes along.
extension Shard {
    /// The topic as the receiver knows it: an upstream under its own name. What no rule takes any more, since the rules
    /// changed while it waited, goes out under the name that it has here.
    func name(of message: Message, for session: Session) -> MQTTString {
        guard let link = session.link else { return message.topic }
        return link.passage(of: message.topic, from: message.publisher)?.name ?? message.topic
    }

    /// When a message is too old for a receiver: the rule of a link may give it less time than it has of its own, counted
    /// from when it came here.
    func expiry(of message: Message, for session: Session) -> Timestamp? {
        guard let link = session.link, link.setsExpiry,
            let passage = link.passage(of: message.topic, from: message.publisher),
            let seconds = link.settings.outRules[passage.rule].expiry
        else { return message.expiry }
        let limit = message.id.time.advanced(bySeconds: seconds)
        return message.expiry.map { min($0, limit) } ?? limit
    }

    /// What the receiver gets along with a message, with the time that is left of it.
    func properties(of message: Message, for session: Session, _ now: Now) -> Properties {
        let expiry = expiry(of: message, for: session)
        let added = addedProperties(to: message, for: session)
        let reply = session.link == nil ? nil : message.properties.responseTopic
        if expiry == nil, added.isEmpty, reply == nil { return message.properties }
        var values = message.properties.values
        if let link = session.link, let reply { values.responseTopic = link.settings.upstreamName(ofReply: reply) }
        values.messageExpiryInterval = expiry?.secondsLeft(now.wall)
        values.userProperties += added
        var properties = Properties()
        properties.values = values
        return properties
    }

    private func addedProperties(to message: Message, for session: Session) -> [Properties.UserProperty] {
        guard let link = session.link, link.addsProperties,
            let passage = link.passage(of: message.topic, from: message.publisher)
        else { return [] }
        return link.settings.outRules[passage.rule].userProperties
    }
}

extension Timestamp {
    /// [5:MQTT-3.3.2-6] what is left until then: rounded up, never 0.
    func secondsLeft(_ now: Timestamp) -> UInt32 {
        let left = microseconds > now.microseconds ? microseconds - now.microseconds : 0
        return UInt32(clamping: max(1, (left + 999_999) / 1_000_000))
    }
}
