package import MQTTCodec

extension LinkRule {
    /// What a rule says of a topic.
    package enum Verdict: Equatable {
        /// It crosses under this name.
        case crosses(as: MQTTString)
        /// The filter does not match, or only without the prefix: `chat/#` also matches `chat`, and without `chat/`
        /// nothing of that would be left.
        case unmatched
        /// This `exclude` keeps it out.
        case excluded(by: TopicFilter)
        /// The rule is meant for it and has no name for it.
        case unnamed(NameObstacle)
    }

    /// What the rule says of a topic: the one function that routes, sends, receives and explains.
    ///
    /// - Parameter clientID: the publisher, for `{clientid}`; nil where there is none.
    /// - Complexity: O(bytes of topic and filters); no allocation but the name, and none for that where it is the same.
    package func verdict(on topic: MQTTString, from clientID: MQTTString? = nil) -> Verdict {
        guard let captures = FilterCaptures(topic, matching: filter) else { return .unmatched }
        if !stripPrefix.isEmpty, !topic.utf8.starts(with: stripPrefix.utf8) { return .unmatched }
        for filter in exclude where FilterCaptures(topic, matching: filter) != nil { return .excluded(by: filter) }
        do throws(NameObstacle) {
            return .crosses(
                as: try template.name(of: topic, stripped: stripPrefix.count, captures, clientID: clientID)
            )
        } catch {
            return .unnamed(error)
        }
    }

    /// The topic under its name on the other side; nil when it does not travel by this rule.
    package func map(_ topic: MQTTString, from clientID: MQTTString? = nil) -> MQTTString? {
        guard case .crosses(let name) = verdict(on: topic, from: clientID) else { return nil }
        return name
    }
}
