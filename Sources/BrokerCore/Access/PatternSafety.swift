package import MQTTCodec

extension MQTTString {
    /// Whether this name may stand for `%u` or `%c` in a pattern of topics.
    ///
    /// A client named `#` would turn `user/%u` into everything, one named `a/b` would reach into the topics of others,
    /// `$SYS` at the front of a pattern leads to the server's own, and control characters are names that no log can
    /// show. An empty name would make two patterns of one.
    package var isSafeInPatterns: Bool {
        guard let first = utf8.first, first != UInt8(ascii: "$") else { return false }
        return string.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case "+", "#", "/", "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}": false
            default: true
            }
        }
    }
}
