package import MQTTCodec

extension AccessRules {
    /// What a shard with these rules would decide, for people who ask: from scratch, without caches.
    ///
    /// - Parameters:
    ///   - action: `.publish` or `.subscribe`.
    ///   - text: a topic, or a filter.
    /// - Returns: nil when the text is no topic, or no filter.
    package func explain(
        _ principal: Principal,
        _ action: AccessRule.Actions,
        _ text: MQTTString
    ) -> AccessDecision? {
        let subject = AccessSubject(principal)
        guard action == .subscribe else {
            return TopicName.isValid(text, maximumLevels: .max) ? publishDecision(for: subject, text) : nil
        }
        do throws(DecodeError) {
            return subscribeDecision(for: subject, try TopicFilter(validating: text, maximumLevels: .max))
        } catch {
            return nil
        }
    }

    /// The denials that take something out of a filter that is granted: messages to what both match are held back,
    /// unless a rule that stands before allows them.
    package func exceptions(_ principal: Principal, _ filter: TopicFilter) -> [AccessRule] {
        let subject = AccessSubject(principal)
        subject.bind(self)
        let decision = subscribeDecision(for: subject, filter)
        guard decision.isAllowed, !isOpen else { return [] }
        let levels = filter.pattern.levels
        var found: [AccessRule] = []
        for rule in subject.subscribing {
            if rules[rule.index] == decision.rule { break }
            guard rule.verdict == .deny else { continue }
            if rule.patterns.contains(where: { $0.literal == nil && $0.overlaps(levels) }) {
                found.append(rules[rule.index])
            }
        }
        return found
    }
}

extension AccessPattern {
    /// Whether some topic matches both.
    func overlaps(_ filter: [MQTTString]) -> Bool {
        if let first = filter.first, let mine = levels.first {
            if first.isReserved, mine == .any || mine == .rest { return false }
            if first == "+" || first == "#", case .text(let text) = mine, text.isReserved { return false }
        }
        var index = 0
        while true {
            if index < levels.count, levels[index] == .rest { return true }
            if index < filter.count, filter[index] == "#" { return true }
            guard index < levels.count, index < filter.count else {
                return index == levels.count && index == filter.count
            }
            if case .text(let text) = levels[index], filter[index] != "+", text != filter[index] { return false }
            index += 1
        }
    }
}
