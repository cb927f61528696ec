import MQTTCodec

/// The topics of a rule, cut into levels once.
struct AccessPattern: Sendable {
    enum Level: Sendable, Equatable {
        case text(MQTTString)
        /// `+`
        case any
        /// `#`
        case rest
        /// Text with `%u` or `%c` in it.
        case named([Piece])
    }

    enum Piece: Sendable, Equatable {
        case text(String)
        case username, clientID
    }

    /// The very text of `{ eq = … }`; nil for a pattern.
    let literal: MQTTString?
    let levels: [Level]
    let usesUsername: Bool
    let usesClientID: Bool

    init(_ topic: AccessRule.Topic) {
        switch topic {
        case .literal(let text):
            literal = text
            levels = text.levels.map(Self.plain)
        case .pattern(let text):
            literal = nil
            levels = text.levels.map { level in
                let pieces = Self.pieces(of: level.string)
                return pieces.contains(where: { $0 == .username || $0 == .clientID })
                    ? .named(pieces) : Self.plain(level)
            }
        }
        let pieces = levels.flatMap { if case .named(let pieces) = $0 { pieces } else { [Piece]() } }
        usesUsername = pieces.contains(.username)
        usesClientID = pieces.contains(.clientID)
    }

    private init(levels: [Level]) {
        self.literal = nil
        self.levels = levels
        self.usesUsername = false
        self.usesClientID = false
    }

    var usesNames: Bool { usesUsername || usesClientID }

    private static func plain(_ level: MQTTString) -> Level {
        switch level {
        case "+": .any
        case "#": .rest
        default: .text(level)
        }
    }

    /// One pass, so that a user who is called `%c` does not become a client id.
    private static func pieces(of level: String) -> [Piece] {
        var pieces: [Piece] = []
        var text = ""
        var rest = Substring(level)
        while let character = rest.popFirst() {
            if character == "%", let next = rest.first, next == "u" || next == "c" {
                rest.removeFirst()
                if !text.isEmpty { pieces.append(.text(text)) }
                text = ""
                pieces.append(next == "u" ? .username : .clientID)
            } else {
                text.append(character)
            }
        }
        if !text.isEmpty { pieces.append(.text(text)) }
        return pieces
    }

    // MARK: - Names

    /// The pattern for one principal.
    ///
    /// A name that is missing, or that would change the shape of the pattern (`+`, `#`, `/`, a leading `$`, control characters), makes
    /// no allowance and evades no denial: an `allow` is nobody's then, and a `deny` covers everything from that level on,
    /// as if the name could be anything.
    ///
    /// - Returns: nil when the rule is not for this principal.
    func bound(to principal: Principal, knowsUsername: Bool, _ verdict: AccessRule.Verdict) -> AccessPattern? {
        guard usesNames else { return self }
        var bound: [Level] = []
        for level in levels {
            guard case .named(let pieces) = level else {
                bound.append(level)
                continue
            }
            if !knowsUsername, pieces.contains(.username) {
                // Somebody it is: what nobody may do stays forbidden, all else was judged when he was known.
                guard verdict == .allow else { return nil }
                bound.append(.any)
                continue
            }
            if let text = Self.text(of: pieces, principal) {
                bound.append(.text(text))
            } else if verdict == .deny {
                bound.append(.rest)
                break
            } else {
                return nil
            }
        }
        return AccessPattern(levels: bound)
    }

    private static func text(of pieces: [Piece], _ principal: Principal) -> MQTTString? {
        var text = ""
        for piece in pieces {
            let name: MQTTString?
            switch piece {
            case .text(let part):
                text += part
                continue
            case .username: name = principal.username
            case .clientID: name = principal.clientID
            }
            guard let name, name.isSafeInPatterns else { return nil }
            text += name.string
        }
        return MQTTString(text)
    }

    // MARK: - Matching

    /// Whether every topic that `filter` matches is one of this pattern's. A topic name is the filter of one topic.
    ///
    /// The alphabet of a level is infinite, so that no list of texts makes a `+`: level by level is exact.
    func covers(_ filter: [MQTTString]) -> Bool {
        Self.covers(levels, filter)
    }

    static func covers(_ pattern: [Level], _ filter: [MQTTString]) -> Bool {
        if let first = filter.first, first.isReserved {
            // [5:MQTT-4.7.2-1] [311:MQTT-4.7.2-1] wildcards at the first level do not match `$` topics.
            switch pattern.first {
            case .any, .rest: return false
            default: break
            }
        }
        // A topic has at least one level: `+/#` is another spelling of `#`.
        if pattern.count == 2, filter.count == 1, filter[0] == "#", pattern[0] == .any, pattern[1] == .rest {
            return true
        }
        var index = 0
        while true {
            // `sport/#` also matches `sport` (§4.7.1.2).
            if index < pattern.count, pattern[index] == .rest { return true }
            guard index < pattern.count, index < filter.count else {
                return index == pattern.count && index == filter.count
            }
            let wanted = filter[index]
            if wanted == "#" { return false }
            switch pattern[index] {
            case .any: break
            case .text(let text): if text != wanted { return false }
            case .rest, .named: return false
            }
            index += 1
        }
    }

    /// Whether a SUBSCRIBE asks for this very literal, or for the same topics under another spelling.
    func isLiteral(_ text: MQTTString, _ filter: [MQTTString]) -> Bool {
        guard let literal else { return false }
        return literal == text || Self.isEverything(literal.levels) && Self.isEverything(filter)
    }

    private static func isEverything(_ filter: [MQTTString]) -> Bool { filter == ["#"] || filter == ["+", "#"] }
}
