package import MQTTCodec

/// Response Topics: a request that crosses a link names the topic of its answer as whoever answers there has to publish
/// it, so that the rules the other way bring the answer to whoever asked. Over several links, each does its part.
extension LinkSettings {
    /// What our Response Topic is called at the upstream: the name that the rules in make ours of. Where none does, it
    /// stays as it is: no answer comes back over this link, whatever it is called.
    package func upstreamName(ofReply topic: MQTTString) -> MQTTString { Self.name(ofReply: topic, by: inRules) }

    /// What a Response Topic of the upstream is called here: the name that the rules out send there under that one.
    package func localName(ofReply topic: MQTTString) -> MQTTString { Self.name(ofReply: topic, by: outRules) }

    private static func name(ofReply topic: MQTTString, by rules: [LinkRule]) -> MQTTString {
        for rule in rules {
            guard let name = rule.topic(named: topic) else { continue }
            // Another rule may come first, and take it elsewhere.
            if case .crosses(_, topic) = Link.way(of: name, by: rules) { return name }
        }
        return topic
    }
}
