package import MQTTCodec

/// Which messages cross a link in one direction, under which name, and what becomes of them on the way.
///
/// One type serves the configuration, which reads and checks it, and the core, which applies it: what `check` and
/// `explain` say is what happens. `[[link.both]]` is two of them, one out and one in:
///
///     out  filter = local_prefix + filter    strips local_prefix, puts remote_prefix
///     in   filter = remote_prefix + filter   strips remote_prefix, puts local_prefix
package struct LinkRule: Sendable, Equatable {
    /// What becomes of the RETAIN flag.
    package enum Retain: String, Sendable, CaseIterable { case keep, set, clear }

    /// `filter`: local topics for a rule out, the upstream's for a rule in.
    package var filter: TopicFilter
    /// `exclude`: what matches one of these is left to the rules that follow.
    package var exclude: [TopicFilter] = []
    /// Taken off the front of the topic before `template` sees it; a topic that does not begin with it does not travel
    /// by this rule.
    package var stripPrefix: MQTTString = ""
    /// `to`: the name on the other side.
    package var template = TopicTemplate.same
    /// `qos`: the highest QoS that crosses; nil ("keep", the default) leaves it as it is.
    package var qosCap: QoS?
    /// `retain`: default keep.
    package var retain: Retain = .keep
    /// `expiry`: seconds that a message may live from when it came here; nil leaves it its own time.
    package var expiry: UInt32?
    /// `priority`: 0, the default, to 9: of what waits the highest goes first.
    package var priority = 0
    /// `user_properties`: put behind those of the message.
    package var userProperties: [Properties.UserProperty] = []

    package init(filter: TopicFilter) { self.filter = filter }

    /// The QoS with which a message of `qos` travels.
    package func qos(for qos: QoS) -> QoS {
        guard let qosCap else { return qos }
        return min(qos, qosCap)
    }

    /// The RETAIN flag as it crosses.
    package func retains(_ isRetained: Bool) -> Bool {
        switch retain {
        case .keep: isRetained
        case .set: true
        case .clear: false
        }
    }
}
