package import BrokerCore
import MQTTCodec

/// What rules do to whole filters: which topics they can take, and which they can make of them.
extension LinkRule {
    /// A filter that matches every topic that this rule produces on the other side, and perhaps a few more where the
    /// template puts text around a wildcard.
    package var targetFilter: String { targetFilter(of: filter.text.string) }

    /// The same of what matches `part` only, which is a part of what the rule takes.
    package func targetFilter(of part: String) -> String {
        let captures = PartCaptures(of: part, matching: filter.text.string)
        var text = ""
        for piece in template.pieces {
            switch piece {
            case .text(let literal): text += literal.string
            case .topic:
                text +=
                    part.utf8.starts(with: stripPrefix.utf8)
                    ? String(Substring(part.utf8.dropFirst(stripPrefix.count))) : "#"
            case .level(let number): text += captures.level(number)
            case .tail:
                if let tail = captures.tail {
                    text += tail
                } else if text.hasSuffix("/") {
                    text.removeLast()
                }
            case .clientID: text += "+"
            }
        }
        // Text around a wildcard: a level of which something is known is taken for any.
        var levels: [Substring] = []
        for level in FilterText.levels(of: text) {
            if level.contains("#") {
                levels.append("#")
                break
            }
            levels.append(level.contains("+") ? "+" : level)
        }
        return levels.joined(separator: "/")
    }

    /// Which topics of `filter` the rule takes; nil when it takes none.
    package func taken(from other: String) -> String? {
        guard let taken = FilterText.intersection(filter.text.string, other) else { return nil }
        return exclude.contains { FilterText.covers($0.text.string, taken) } ? nil : taken
    }
}

/// What the wildcards of a filter stand for where only a part of its topics is meant.
private struct PartCaptures {
    private var levels: [Substring] = []
    /// What `#` stands for, as text of a filter; nil where that is nothing.
    private(set) var tail: String? = "#"

    /// - Parameter part: a filter that matches less than `filter`, or as much.
    init(of part: String, matching filter: String) {
        let wanted = FilterText.levels(of: filter)
        let given = FilterText.levels(of: part)
        for (index, level) in wanted.enumerated() {
            if level == "#" {
                tail = index < given.count ? given[index...].joined(separator: "/") : nil
                break
            }
            guard level == "+" else { continue }
            levels.append(index < given.count ? (given[index] == "#" ? "+" : given[index]) : "+")
        }
    }

    func level(_ number: Int) -> Substring { number <= levels.count ? levels[number - 1] : "+" }
}
