import BrokerCore
import MQTTCodec

/// `to` of a link rule, as it is written: text with `{topic}`, `{1}` to `{9}`, `{#}`, `{clientid}` and `{node}`.
extension TopicTemplate {
    struct Failure: Error {
        var message: String
    }

    /// - Parameters:
    ///   - filter: what the rule's messages match; its wildcards are what there is to capture.
    ///   - node: what `{node}` stands for.
    ///   - knowsPublishers: false where nobody knows who published, as of messages that come in.
    static func parse(
        _ text: String,
        for filter: String,
        node: String,
        knowsPublishers: Bool
    ) throws(Failure) -> TopicTemplate {
        var pieces: [Piece] = []
        var literal = ""
        var rest = Substring(text)
        while let open = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            guard rest[open] == "{", let close = rest[open...].firstIndex(of: "}") else {
                throw Failure(message: "`{` and `}` must come in pairs; found `\(text)`")
            }
            literal += rest[..<open]
            let name = String(rest[open..<close].dropFirst())
            rest = rest[close...].dropFirst()
            if name == "node" {
                literal += node
                continue
            }
            if !literal.isEmpty { pieces.append(.text(try checked(literal, text))) }
            literal = ""
            pieces.append(try piece(name, filter, knowsPublishers))
        }
        literal += rest
        if !literal.isEmpty { pieces.append(.text(try checked(literal, text))) }
        if pieces.isEmpty { throw Failure(message: "must not be empty") }
        return TopicTemplate(pieces)
    }

    private static func piece(
        _ name: String,
        _ filter: String,
        _ knowsPublishers: Bool
    ) throws(Failure) -> Piece {
        switch name {
        case "topic": return .topic
        case "#":
            guard FilterText.levels(of: filter).last == "#" else {
                throw Failure(message: "`{#}` is what `#` of the filter matches, and `\(filter)` has none")
            }
            return .tail
        case "clientid":
            guard knowsPublishers else {
                throw Failure(message: "`{clientid}` is for [[link.out]]: who published upstream is not told")
            }
            return .clientID
        default:
            guard let number = Int(name), (1...9).contains(number), name.utf8.count == 1 else {
                throw Failure(
                    message: "unknown placeholder `{\(name)}`; there are {topic}, {1} to {9}, {#}, {clientid} and "
                        + "{node}"
                )
            }
            let count = FilterText.levels(of: filter).count { $0 == "+" }
            guard number <= count else {
                throw Failure(
                    message: "`{\(number)}` is what the \(Self.ordinals[number - 1]) `+` of the filter matches, and "
                        + "`\(filter)` has \(count == 0 ? "none" : "\(count)")"
                )
            }
            return .level(number)
        }
    }

    private static let ordinals = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
    ]

    private static func checked(_ literal: String, _ text: String) throws(Failure) -> MQTTString {
        if literal.contains(where: { $0 == "#" || $0 == "+" || $0 == "\0" }) {
            throw Failure(message: "a topic has no wildcards; found `\(text)`")
        }
        return MQTTString(literal)
    }
}
