import MQTTCodec

/// How a message leaves over a link.
struct LinkPassage {
    /// Which of the rules out.
    let rule: Int
    /// Its name at the upstream.
    let name: MQTTString
    /// For which topic, and whose, this was found.
    fileprivate let topic: MQTTString
    fileprivate let clientID: MQTTString?
}

extension Link {
    /// What the rules of one direction say of a message.
    enum Way {
        case crosses(rule: Int, as: MQTTString)
        /// No rule is meant for it.
        case stays
        /// A rule is meant for it, and none has a name for it.
        case unnamed
    }

    /// The first rule that has a name for it decides.
    static func way(
        of topic: MQTTString,
        from clientID: MQTTString? = nil,
        by rules: [LinkRule]
    ) -> Way {
        var isMeant = false
        for (index, rule) in rules.enumerated() {
            switch rule.verdict(on: topic, from: clientID) {
            case .crosses(let name): return .crosses(rule: index, as: name)
            case .unmatched, .excluded: continue
            case .unnamed: isMeant = true
            }
        }
        return isMeant ? .unnamed : .stays
    }

    /// How a message leaves, by the first rule out that has a name for it at the upstream.
    ///
    /// - Parameter clientID: who published it, where a rule asks.
    /// - Complexity: one comparison when it is of the topic that was asked about last.
    func passage(of topic: MQTTString, from clientID: MQTTString?) -> LinkPassage? {
        let clientID = namesPublishers ? clientID : nil
        if let last = lastPassage, last.topic == topic, last.clientID == clientID { return last }
        guard case .crosses(let rule, let name) = Self.way(of: topic, from: clientID, by: settings.outRules) else {
            return nil
        }
        let passage = LinkPassage(rule: rule, name: name, topic: topic, clientID: clientID)
        lastPassage = passage
        return passage
    }
}
