package import MQTTCodec

/// What an answer waits for.
package enum DurabilityMode: String, Sendable, Hashable, CaseIterable {
    /// The commit with fsync: survives a power cut. The default.
    case sync
    /// The commit: survives the end of the process, a power cut may take the last moments.
    case normal
    /// Nothing: what is stored is stored soon.
    case off
}

/// Another mode for the messages of some topics.
package struct DurabilityRule: Sendable, Hashable {
    package var filter: TopicFilter
    package var mode: DurabilityMode

    package init(filter: TopicFilter, mode: DurabilityMode) {
        self.filter = filter
        self.mode = mode
    }
}

extension Shard {
    /// The mode of a topic: the first rule that matches, else that of the node.
    ///
    /// - Complexity: one comparison without rules.
    func durability(of topic: MQTTString) -> DurabilityMode {
        guard !settings.durabilityRules.isEmpty else { return settings.durability }
        return settings.durabilityRules.first { $0.filter.matches(topic) }?.mode ?? settings.durability
    }
}
