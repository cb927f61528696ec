package import MQTTCodec

extension LinkRule {
    /// The topic under its name on the other side; nil when the filter does not match or nothing would be left.
    package func map(_ topic: MQTTString) -> MQTTString? {
        guard filter.matches(topic) else { return nil }
        var rest = Substring(topic.string)
        if !stripPrefix.isEmpty {
            guard topic.utf8.starts(with: stripPrefix.utf8) else { return nil }
            rest = Substring(rest.utf8.dropFirst(stripPrefix.count))
        }
        let mapped = MQTTString(prefix.string + rest + suffix.string)
        return TopicName.isValid(mapped) ? mapped : nil
    }

    /// The RETAIN flag as it crosses.
    func retains(_ isRetained: Bool) -> Bool {
        switch retain {
        case .keep: isRetained
        case .set: true
        case .clear: false
        }
    }
}
