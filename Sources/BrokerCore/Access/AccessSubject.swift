import MQTTCodec

/// Somebody who asks: a principal with the rules that are about it, its name put in, and what was decided lately.
///
/// Belongs to one shard. Rules that were replaced are noticed with the next question.
package final class AccessSubject {
    package let principal: Principal
    /// False for what a restart left behind: the spool knows client ids only.
    let knowsUsername: Bool
    private var rules: AccessRules?
    private(set) var publishing: [BoundRule] = []
    private(set) var subscribing: [BoundRule] = []
    private var publishCache = DecisionCache()
    private var receiveCache = DecisionCache()

    struct BoundRule {
        let verdict: AccessRule.Verdict
        let patterns: [AccessPattern]
        /// In `AccessRules.rules`.
        let index: Int
    }

    package init(_ principal: Principal, knowsUsername: Bool = true) {
        self.principal = principal
        self.knowsUsername = knowsUsername
    }

    /// - Complexity: one comparison, unless the rules are new: O(rules) then.
    func bind(_ current: AccessRules) {
        guard rules !== current else { return }
        rules = current
        publishCache = DecisionCache()
        receiveCache = DecisionCache()
        publishing = []
        subscribing = []
        for (index, rule) in current.compiled.enumerated() {
            guard rule.isAbout(self) else { continue }
            let patterns = rule.bound(to: self)
            guard !patterns.isEmpty else { continue }
            let bound = BoundRule(verdict: rule.verdict, patterns: patterns, index: index)
            if rule.actions.contains(.publish) { publishing.append(bound) }
            if rule.actions.contains(.subscribe) { subscribing.append(bound) }
        }
    }

    /// Nobody asks for a while, and retained messages may hold on to it: it keeps only who it is.
    func rest() {
        rules = nil
        publishing = []
        subscribing = []
        publishCache = DecisionCache()
        receiveCache = DecisionCache()
    }

    /// - Complexity: one hash and one comparison when the topic was asked for lately.
    func mayPublish(_ topic: MQTTString, _ rules: AccessRules) -> Bool {
        bind(rules)
        if let known = publishCache[topic] { return known }
        let isAllowed = rules.publishDecision(for: self, topic).isAllowed
        publishCache[topic] = isAllowed
        return isAllowed
    }

    /// As `mayPublish`, for what is delivered.
    func mayReceive(_ topic: MQTTString, _ rules: AccessRules) -> Bool {
        bind(rules)
        if let known = receiveCache[topic] { return known }
        let isAllowed = rules.receiveDecision(for: self, topic).isAllowed
        receiveCache[topic] = isAllowed
        return isAllowed
    }
}

/// What was decided about topics lately: pairs of places, each for the last two topics that fell on it, so that it
/// never grows.
struct DecisionCache {
    /// A device publishes to a handful of topics, a phone listens to a few dozen.
    static let places = 64
    /// A topic may have 65,535 bytes: long ones are decided anew.
    static let topicBytesMax = 256

    /// Empty until there is something to remember: most sessions only listen or only speak.
    private var entries: [Entry?] = []

    private struct Entry {
        let topic: MQTTString
        let isAllowed: Bool
    }

    subscript(topic: MQTTString) -> Bool? {
        get {
            guard !entries.isEmpty else { return nil }
            let place = Self.place(of: topic)
            if let entry = entries[place], entry.topic == topic { return entry.isAllowed }
            if let entry = entries[place + 1], entry.topic == topic { return entry.isAllowed }
            return nil
        }
        set {
            guard let newValue, topic.count <= Self.topicBytesMax else { return }
            if entries.isEmpty { entries = Array(repeating: nil, count: Self.places) }
            let place = Self.place(of: topic)
            // The older of the two gives way.
            entries[place + 1] = entries[place]
            entries[place] = Entry(topic: topic, isAllowed: newValue)
        }
    }

    /// The first of its pair.
    private static func place(of topic: MQTTString) -> Int { (topic.hashValue & (places / 2 - 1)) * 2 }
}
