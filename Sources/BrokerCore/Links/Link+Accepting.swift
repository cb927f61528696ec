import MQTTCodec

/// What comes in over a link, and becomes a message of this node.
extension Link {
    /// Makes a message of the upstream what it is here, by the first rule that has a name for it.
    func accept(_ publication: inout Publication) -> Way {
        let way = Self.way(of: publication.topic, by: settings.inRules)
        guard case .crosses(let index, let topic) = way else { return way }
        var properties = settings.inRules[index].accepted(publication.properties)
        if let reply = properties.responseTopic {
            let name = settings.localName(ofReply: reply)
            if name != reply { properties.responseTopic = name }
        }
        publication.rename(topic, properties: properties)
        publication.isRetained = settings.inRules[index].retains(publication.isRetained)
        publication.qos = settings.inRules[index].qos(for: publication.qos)
        publication.origin = self
        return way
    }
}

extension LinkRule {
    /// What comes along with a message of the upstream, and what the rule adds.
    fileprivate func accepted(_ properties: Properties) -> Properties {
        if properties.subscriptionIdentifiers.isEmpty, expiry == nil, userProperties.isEmpty { return properties }
        var values = properties.values
        // Those of our subscriptions there.
        values.subscriptionIdentifiers = []
        if let expiry { values.messageExpiryInterval = min(expiry, values.messageExpiryInterval ?? .max) }
        values.userProperties += userProperties
        var accepted = Properties()
        accepted.values = values
        return accepted
    }
}
