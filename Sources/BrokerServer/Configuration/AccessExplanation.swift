import BrokerCore
import MQTTCodec

/// Answers "may they, and which rule says so?" from a configuration, as a running node would.
package struct AccessExplanation: Sendable, Equatable {
    package enum Action: String, Sendable, CaseIterable { case publish, subscribe }

    package var isAllowed: Bool
    /// For people: the decision in the first line, then why.
    package var lines: [String]

    /// The text is no topic, or no filter; or the address is none.
    package struct Unaskable: Error, Sendable, Equatable, CustomStringConvertible {
        package var message: String
        package var description: String { message }
    }

    /// - Parameter text: a topic, or a filter.
    package init(
        _ access: AccessConfiguration,
        username: String?,
        clientID: String,
        address: String?,
        _ action: Action,
        _ text: String
    ) throws(Unaskable) {
        let rules = access.compiled
        let networkAddress = address.flatMap { NetworkAddress($0) }
        if let address, networkAddress == nil { throw Unaskable(message: "\"\(address)\" is no address") }
        let principal = Principal(
            username: username.map { MQTTString($0) },
            clientID: MQTTString(clientID),
            address: networkAddress
        )
        let topic = MQTTString(text)
        guard let decision = rules.explain(principal, action == .publish ? .publish : .subscribe, topic) else {
            throw Unaskable(
                message: action == .publish
                    ? "\"\(text)\" is no topic that can be published to" : "\"\(text)\" is no topic filter"
            )
        }
        isAllowed = decision.isAllowed
        lines = ["\(isAllowed ? "allowed" : "denied"): \(action.rawValue) \(text)"]
        if let rule = decision.rule {
            lines.append("  \(rule.origin): \(rule)")
        } else if decision.isReserved {
            lines.append("  \(decision.reason)")
        } else if rules.isOpen {
            lines.append("  the configuration has no [acl]: nothing is asked")
        } else {
            lines.append("  no rule matches: default = \"\(access.fallback.rawValue)\"")
        }
        if action == .subscribe, let filter = TopicFilter(text) {
            for rule in rules.exceptions(principal, filter) {
                lines.append("  except what this denies: \(rule.origin): \(rule)")
            }
        }
        for (name, value, variable) in [
            ("user name", principal.username, "%u"), ("client id", principal.clientID, "%c"),
        ] {
            guard let value, !value.isEmpty, !value.isSafeInPatterns else { continue }
            lines.append(
                "  the \(name) cannot stand for \(variable): rules with it allow nothing and deny all they could")
        }
    }
}
