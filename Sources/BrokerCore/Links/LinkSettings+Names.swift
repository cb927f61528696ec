package import MQTTCodec

extension LinkSettings {
    /// What a message is called at the upstream; nil when no rule out takes it: one that waits since the rules were others
    /// leaves under the name that it has here.
    package func outName(of message: Message) -> MQTTString? {
        guard case .crosses(_, let name) = Link.way(of: message.topic, from: message.publisher, by: outRules) else {
            return nil
        }
        return name
    }
}
