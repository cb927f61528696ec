package import MQTTCodec

/// One direction of one mapping of a link: which topics travel, and what they are called on the other side.
///
/// The topic on the other side is `topicPrefix + (topic without stripPrefix) + topicSuffix`. `[[link.both]]` becomes one
/// outgoing and one incoming rule:
///
///     out  filter = local_prefix + filter    strips local_prefix, puts remote_prefix
///     in   filter = remote_prefix + filter   strips remote_prefix, puts local_prefix
package struct LinkRule: Sendable, Equatable {
    /// What becomes of the RETAIN flag.
    package enum Retain: String, Sendable, CaseIterable {
        case keep, set, clear
    }

    /// Local topics for an outgoing rule, the upstream's topics for an incoming one; a valid filter.
    package var filter: String
    /// Taken off the front of a topic; empty for `to` templates.
    package var stripPrefix = ""
    /// What `to` has before `{topic}`, or the other side's prefix of `both`.
    package var topicPrefix = ""
    /// What `to` has after `{topic}`.
    package var topicSuffix = ""
    /// `qos`: the highest QoS that travels; nil ("keep", the default) leaves it as it is.
    package var qosCap: QoS?
    /// `retain`: default keep.
    package var retain: Retain = .keep

    package init(filter: String) { self.filter = filter }

    /// The topic on the other side.
    ///
    /// - Returns: nil when `topic` does not begin with `stripPrefix`, which a matching topic does with one exception:
    ///   `chat/#` also matches `chat`, and without the prefix `chat/` nothing of that would be left; or when nothing
    ///   would be left of the name. Such a message does not travel.
    /// - Complexity: O(length of the topic), one string.
    package func target(of topic: String) -> String? {
        guard topic.utf8.starts(with: stripPrefix.utf8) else { return nil }
        let rest = Substring(topic.utf8.dropFirst(stripPrefix.utf8.count))
        let target = topicPrefix + rest + topicSuffix
        return target.isEmpty ? nil : target
    }

    /// The QoS with which a message of `qos` travels.
    package func qos(for qos: QoS) -> QoS {
        guard let qosCap else { return qos }
        return min(qos, qosCap)
    }
}
