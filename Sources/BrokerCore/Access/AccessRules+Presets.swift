import MQTTCodec

/// Ready rules for the two ways in which most phones use a broker.
///
/// They rest on one thing: whoever publishes signs with its own name, which is a level of the topic and cannot be
/// another's. Who belongs to a group is not for a pattern to know: rules for that stand before the preset.
package enum AccessPreset: String, Sendable, CaseIterable {
    /// Users write to each other and to groups, apply, invite, and hear what is for them.
    case chat
    /// Users only listen: to what is for them, and to what is for everybody. Back ends publish, by rules of their own.
    case push

    package var rules: [AccessRule] {
        switch self {
        case .chat:
            [
                rule(.publish, "user/+/inbox/%u", "user/+/application/%u"),
                rule(.publish, "group/+/inbox/%u", "group/+/application/%u", "group/+/invitation/+/from/%u"),
                rule(.subscribe, "user/%u/#", "group/+/invitation/%u/from/+"),
            ]
        case .push:
            [rule(.subscribe, "push/all/#", "push/user/%u/#")]
        }
    }

    private func rule(_ actions: AccessRule.Actions, _ topics: MQTTString...) -> AccessRule {
        AccessRule(
            .allow,
            actions,
            topics: topics.map { .pattern($0) },
            origin: AccessRule.Origin(file: "preset \(rawValue)")
        )
    }
}
