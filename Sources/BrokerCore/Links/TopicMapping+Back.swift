package import MQTTCodec

/// The way back through a template: which topic has this name on the other side?
///
/// For Response Topics: what is named in a request has to be named as the answer will be published there.
extension LinkRule {
    /// The topic to which this rule gives a name; nil when it gives it to none, or when the name does not tell to which,
    /// since the template leaves a wildcard out or names the publisher.
    ///
    /// - Complexity: O(bytes), a few small arrays: requests are few beside other messages.
    package func topic(named name: MQTTString) -> MQTTString? {
        guard let captured = NameParts(name, of: template), let text = captured.topic(of: self) else { return nil }
        let topic = MQTTString(String(decoding: text, as: UTF8.self))
        // Where several topics could have been meant, the way forth says whether this is one of them.
        return map(topic) == name ? topic : nil
    }
}

/// What the places of a template hold in a name.
private struct NameParts {
    private var topic: ArraySlice<UInt8>?
    private var tail: ArraySlice<UInt8>?
    private var isTailMissing = false
    private var levels: [Int: ArraySlice<UInt8>] = [:]
    private static let slash = UInt8(ascii: "/")

    /// Nil when the name is none that the template makes, or when it could be taken apart in several ways.
    init?(_ name: MQTTString, of template: TopicTemplate) {
        let pieces = template.pieces
        var rest = Array(name.utf8)[...]
        var first = 0
        front: while first < pieces.count {
            switch pieces[first] {
            case .text(let text):
                if rest.starts(with: text.utf8) {
                    rest = rest.dropFirst(text.count)
                } else if first + 1 < pieces.count, pieces[first + 1] == .tail, template.endsInSlash(before: first + 1),
                    rest.starts(with: text.utf8.dropLast())
                {
                    // `#` had matched nothing, and the slash before it went too.
                    rest = rest.dropFirst(text.count - 1)
                    isTailMissing = true
                    first += 1
                } else {
                    return nil
                }
            case .level(let number):
                var end = rest.firstIndex(of: Self.slash) ?? rest.endIndex
                if first + 1 < pieces.count, case .text(let next) = pieces[first + 1],
                    let start = rest[..<end].firstStart(of: Array(next.utf8.prefix { $0 != Self.slash }))
                {
                    end = start
                }
                levels[number] = rest[..<end]
                rest = rest[end...]
            case .clientID: return nil
            case .topic, .tail: break front
            }
            first += 1
        }
        guard first < pieces.count else {
            if !rest.isEmpty { return nil }
            return
        }
        // One place takes whatever the others leave: those behind it are found from the end.
        for piece in pieces[(first + 1)...].reversed() {
            switch piece {
            case .text(let text):
                guard rest.reversed().starts(with: text.utf8.reversed()) else { return nil }
                rest = rest.dropLast(text.count)
            case .level(let number):
                let start = rest.lastIndex(of: Self.slash).map { $0 + 1 } ?? rest.startIndex
                levels[number] = rest[start...]
                rest = rest[..<start]
            case .clientID, .topic, .tail: return nil
            }
        }
        if pieces[first] == .topic { topic = rest } else { tail = rest }
    }

    /// The topic that has these parts, by the filter of its rule.
    func topic(of rule: LinkRule) -> [UInt8]? {
        if let topic { return Array(rule.stripPrefix.utf8) + topic }
        var text: [UInt8] = []
        var number = 0
        for byte in rule.filter.pattern.utf8 {
            switch byte {
            case UInt8(ascii: "+"):
                number += 1
                guard let level = levels[number] else { return nil }
                text += level
            case UInt8(ascii: "#"):
                if let tail {
                    text += tail
                } else {
                    guard isTailMissing, text.popLast() == Self.slash else { return nil }
                }
            default: text.append(byte)
            }
        }
        return text
    }
}

extension ArraySlice<UInt8> {
    /// Where `part` begins for the first time; nil where it is nothing.
    fileprivate func firstStart(of part: [UInt8]) -> Int? {
        guard !part.isEmpty else { return nil }
        return indices.first { self[$0...].starts(with: part) }
    }
}
