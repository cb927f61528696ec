package import MQTTCodec

/// Who may publish and subscribe where. Compiled once and never changed: new rules are a new value, which a running
/// shard takes by `setAccess(_:now:)`.
///
/// Rules are read from top to bottom and the first that matches decides; when none does, `fallback` does. What a rule
/// matches depends on what is asked:
///
/// - *Publish* to a topic: patterns that match it.
/// - *Subscribe* to a filter: patterns that match **every** topic that the filter matches. So `allow a/b` does not open
///   `a/+`, and `deny a/b` does not close it: what is denied within a granted filter is held back message by message.
/// - *Receive* a message, whichever subscription it came by: patterns that match its topic. An allowed `{ eq = "#" }`
///   means what that filter matches, or the filter would be granted and nothing would come.
///
/// A filter that is granted can therefore bring no message that receiving forbids, and receiving is asked for each.
package final class AccessRules: Sendable {
    /// Nothing is asked at all: what a node does whose configuration has no rules.
    package static let open = AccessRules(isOpen: true, [], fallback: .allow)

    package let isOpen: Bool
    package let rules: [AccessRule]
    package let fallback: AccessRule.Verdict
    let compiled: [CompiledRule]

    package convenience init(_ rules: [AccessRule], fallback: AccessRule.Verdict = .deny) {
        self.init(isOpen: false, rules, fallback: fallback)
    }

    private init(isOpen: Bool, _ rules: [AccessRule], fallback: AccessRule.Verdict) {
        self.isOpen = isOpen
        self.rules = rules
        self.fallback = fallback
        self.compiled = rules.map(CompiledRule.init)
    }

    // MARK: - Decisions, without a cache

    package func publishDecision(for subject: AccessSubject, _ topic: MQTTString) -> AccessDecision {
        // Topics that begin with `$` belong to the server, whatever the rules say.
        if topic.isServers { return AccessDecision(isAllowed: false, rule: nil, isReserved: true) }
        return decide(subject, .publish) {
            let levels = topic.levels
            return { _, pattern in
                pattern.literal.map { $0 == topic } ?? pattern.covers(levels)
            }
        }
    }

    /// - Parameter filter: of a shared subscription, the filter behind the name of the group counts.
    package func subscribeDecision(for subject: AccessSubject, _ filter: TopicFilter) -> AccessDecision {
        decide(subject, .subscribe) {
            let text = filter.pattern
            let levels = text.levels
            return { _, pattern in
                pattern.literal == nil ? pattern.covers(levels) : pattern.isLiteral(text, levels)
            }
        }
    }

    package func receiveDecision(for subject: AccessSubject, _ topic: MQTTString) -> AccessDecision {
        decide(subject, .subscribe) {
            let levels = topic.levels
            return { verdict, pattern in
                guard let literal = pattern.literal, verdict == .deny else { return pattern.covers(levels) }
                return literal == topic
            }
        }
    }

    private typealias Matcher = (AccessRule.Verdict, AccessPattern) -> Bool

    private func decide(
        _ subject: AccessSubject,
        _ action: AccessRule.Actions,
        _ prepare: () -> Matcher
    ) -> AccessDecision {
        if isOpen { return AccessDecision(isAllowed: true, rule: nil) }
        subject.bind(self)
        let matches = prepare()
        for rule in action == .publish ? subject.publishing : subject.subscribing {
            for pattern in rule.patterns where matches(rule.verdict, pattern) {
                return AccessDecision(isAllowed: rule.verdict == .allow, rule: rules[rule.index])
            }
        }
        return AccessDecision(isAllowed: fallback == .allow, rule: nil)
    }
}

/// What was decided, and why.
package struct AccessDecision: Sendable, Equatable {
    package var isAllowed: Bool
    /// The rule that decided; nil when none matched.
    package var rule: AccessRule?
    /// The topic is the server's own: no rule opens it for publishing.
    package var isReserved = false

    /// For the log: the rule's place, or why there is none.
    package var reason: String {
        if let rule { return "\(rule.origin)" }
        return isReserved ? "topics that begin with $ belong to the server" : "no rule matches"
    }
}

/// A rule whose topics are cut into levels.
struct CompiledRule: Sendable {
    let verdict: AccessRule.Verdict
    let actions: AccessRule.Actions
    private let who: [AccessRule.Who]
    private let patterns: [AccessPattern]
    private let usesNames: Bool

    init(_ rule: AccessRule) {
        verdict = rule.verdict
        actions = rule.actions
        who = rule.who
        patterns = rule.topics.map(AccessPattern.init)
        usesNames = patterns.contains(where: \.usesNames)
    }

    func isAbout(_ subject: AccessSubject) -> Bool {
        who.isEmpty || who.contains { fits($0, subject) }
    }

    private func fits(_ who: AccessRule.Who, _ subject: AccessSubject) -> Bool {
        if !who.usernames.isEmpty {
            if !subject.knowsUsername {
                if verdict == .deny { return false }
            } else {
                guard let name = subject.principal.username, who.usernames.contains(name) else { return false }
            }
        }
        if !who.clientIDs.isEmpty, !who.clientIDs.contains(subject.principal.clientID) { return false }
        if !who.addresses.isEmpty {
            if !subject.knowsUsername { return verdict == .allow }
            guard let address = subject.principal.address else { return false }
            return who.addresses.contains { $0.contains(address) }
        }
        return true
    }

    func bound(to subject: AccessSubject) -> [AccessPattern] {
        guard usesNames else { return patterns }
        return patterns.compactMap { $0.bound(to: subject.principal, knowsUsername: subject.knowsUsername, verdict) }
    }
}
