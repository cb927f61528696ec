package import BrokerCore
import MQTTCodec

/// Answers "what would become of this topic?" for one link, both ways, by the rules themselves: `drawbridge link explain`
/// asks a configuration, `drawbridge ctl link explain` a running node.
package struct LinkExplanation: AdminDocument {
    /// What one rule says.
    package struct Rule: Codable, Sendable, Equatable {
        /// Counted from 1, in the order in which they are tried: those of `both` behind the others.
        package var number: Int
        package var filter: String
        package var says: String
    }

    /// One direction.
    package struct Way: Codable, Sendable, Equatable {
        /// Its name on the other side; nil when it stays.
        package var name: String?
        /// The rule by which it goes.
        package var rule: Int?
        /// What becomes of it on the way, for people.
        package var treatment: [String]
        /// What it would be called on the other side as a Response Topic, where that is another name.
        package var replyName: String?
        /// The rules that were asked: all up to the one that decides.
        package var rules: [Rule]
    }

    package var link: String
    package var topic: String
    /// As a topic of ours.
    package var out: Way
    /// As one of the upstream's.
    package var `in`: Way

    /// It travels in neither direction.
    package var stays: Bool { out.name == nil && `in`.name == nil }

    /// The text is no topic, or there is no such link.
    package struct Unaskable: Error, Sendable, Equatable, CustomStringConvertible {
        package var message: String
        package var description: String { message }

        package init(message: String) { self.message = message }
    }

    /// - Parameter clientID: who publishes it, for `{clientid}`.
    package init(_ links: [LinkSettings], link: String, topic text: String, clientID: String?) throws(Unaskable) {
        guard let settings = links.first(where: { $0.name.string == link }) else {
            let known = links.map { "\"\($0.name)\"" }.joined(separator: ", ")
            throw Unaskable(message: "there is no link \"\(link)\"\(known.isEmpty ? "" : "; there are \(known)")")
        }
        let topic = MQTTString(text)
        guard TopicName.isValid(topic) else { throw Unaskable(message: "\"\(text)\" is no topic") }
        self.link = link
        self.topic = text
        out = Way(settings.outRules, topic, clientID.map { MQTTString($0) }, isOutward: true)
        `in` = Way(settings.inRules, topic, nil, isOutward: false)
        let upstreamReply = settings.upstreamName(ofReply: topic)
        if upstreamReply != topic { out.replyName = upstreamReply.string }
        let localReply = settings.localName(ofReply: topic)
        if localReply != topic { `in`.replyName = localReply.string }
    }
}

extension LinkExplanation.Way {
    fileprivate init(_ rules: [LinkRule], _ topic: MQTTString, _ clientID: MQTTString?, isOutward: Bool) {
        self.init(name: nil, rule: nil, treatment: [], replyName: nil, rules: [])
        for (index, rule) in rules.enumerated() {
            let says: String
            switch rule.verdict(on: topic, from: clientID) {
            case .unmatched: says = "does not match"
            case .excluded(let filter): says = "excluded by \"\(filter)\""
            case .unnamed(let obstacle): says = "has no name for it: \(obstacle)"
            case .crosses(let name) where !isOutward && name.utf8.first == UInt8(ascii: "$"):
                says = "would make it \"\(name)\", and topics with `$` belong to this node"
            case .crosses(let name):
                says = "takes it"
                self.name = name.string
                self.rule = index + 1
                treatment = rule.treatment
            }
            self.rules.append(
                LinkExplanation.Rule(number: index + 1, filter: rule.filter.text.string, says: says)
            )
            if self.name != nil { return }
        }
    }
}

extension LinkRule {
    /// What becomes of a message on the way.
    fileprivate var treatment: [String] {
        var treatment: [String] = []
        if let qosCap, qosCap < .exactlyOnce {
            treatment.append("QoS \(qosCap.rawValue) at most")
        } else {
            treatment.append("QoS as it is")
        }
        switch retain {
        case .keep: treatment.append("RETAIN as it is")
        case .set: treatment.append("RETAIN set")
        case .clear: treatment.append("RETAIN cleared")
        }
        if let expiry { treatment.append("expires \(DurationText.describe(.seconds(Int64(expiry)))) after it came") }
        if priority > 0 { treatment.append("priority \(priority)") }
        for property in userProperties { treatment.append("user property \(property.name) = \(property.value)") }
        return treatment
    }
}

extension LinkExplanation {
    /// For people: each direction in a line, then the rules that were asked.
    package var lines: [String] {
        lines(
            of: out,
            out.name.map { "out: goes to \"\(link)\" as \($0)" } ?? "out: does not go to \"\(link)\"",
            reply: "as a Response Topic of ours it is called"
        )
            + lines(
                of: `in`,
                `in`.name.map { "in:  comes from \"\(link)\" as \($0)" } ?? "in:  does not come from \"\(link)\"",
                reply: "as a Response Topic of the upstream it becomes"
            )
    }

    private func lines(of way: Way, _ first: String, reply: String) -> [String] {
        var lines = [first]
        if !way.treatment.isEmpty { lines.append("  " + way.treatment.joined(separator: ", ")) }
        for rule in way.rules { lines.append("  rule \(rule.number), \"\(rule.filter)\": \(rule.says)") }
        if way.rules.isEmpty { lines.append("  there is no rule") }
        if let name = way.replyName { lines.append("  \(reply) \(name)") }
        return lines
    }
}

extension LinkExplanation {
    /// What a node with this configuration would say.
    package init(
        _ configuration: Configuration,
        link: String,
        topic: String,
        clientID: String?
    ) throws(Unaskable) {
        try self.init(BrokerSettings(configuration).links, link: link, topic: topic, clientID: clientID)
    }
}
