package import MQTTCodec

/// One rule as an administrator wrote it: who may, or may not, do what, and where. `AccessRules` compiles a list of them.
package struct AccessRule: Sendable, Equatable {
    package enum Verdict: String, Sendable, CaseIterable {
        case allow, deny
    }

    package struct Actions: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let publish = Actions(rawValue: 1)
        package static let subscribe = Actions(rawValue: 2)
        package static let both: Actions = [.publish, .subscribe]
    }

    /// Whom a rule is about: everything that is named here has to fit; of each, one of the list.
    package struct Who: Sendable, Equatable {
        /// Empty lists name nothing.
        package var usernames: [MQTTString] = []
        package var clientIDs: [MQTTString] = []
        package var addresses: [AddressRange] = []

        package init() {}
    }

    package enum Topic: Sendable, Equatable {
        /// A filter; `%u` and `%c` stand for the user name and the client id of whoever asks.
        case pattern(MQTTString)
        /// This very text: `#` is the filter `#` and not what it matches.
        case literal(MQTTString)
    }

    /// Where it stands, so that a denial can be looked up.
    package struct Origin: Sendable, Hashable, CustomStringConvertible {
        package var file: String
        package var line: Int?

        package init(file: String, line: Int? = nil) {
            self.file = file
            self.line = line
        }

        package var description: String { line.map { "\(file):\($0)" } ?? file }
    }

    package var verdict: Verdict
    package var actions: Actions
    /// Any of these; empty is everybody.
    package var who: [Who]
    package var topics: [Topic]
    package var origin: Origin

    package init(
        _ verdict: Verdict,
        _ actions: Actions,
        who: [Who] = [],
        topics: [Topic],
        origin: Origin = Origin(file: "rules")
    ) {
        self.verdict = verdict
        self.actions = actions
        self.who = who
        self.topics = topics
        self.origin = origin
    }
}

extension AccessRule: CustomStringConvertible {
    /// In the words of the file: `allow publish, who all, topics user/+/inbox/%u`.
    package var description: String {
        let what = actions == .both ? "both" : actions == .publish ? "publish" : "subscribe"
        let people = who.isEmpty ? "all" : who.map(\.description).joined(separator: " or ")
        return "\(verdict.rawValue) \(what), who \(people), topics "
            + topics.map(\.description).joined(separator: ", ")
    }
}

extension AccessRule.Who: CustomStringConvertible {
    package var description: String {
        var parts: [String] = []
        if !usernames.isEmpty { parts.append("user " + usernames.map(\.string).joined(separator: "|")) }
        if !clientIDs.isEmpty { parts.append("client " + clientIDs.map(\.string).joined(separator: "|")) }
        if !addresses.isEmpty { parts.append("address " + addresses.map(\.description).joined(separator: "|")) }
        return parts.isEmpty ? "all" : parts.joined(separator: " and ")
    }
}

extension AccessRule.Topic: CustomStringConvertible {
    package var description: String {
        switch self {
        case .pattern(let text): text.string
        case .literal(let text): "{ eq = \"\(text)\" }"
        }
    }
}
