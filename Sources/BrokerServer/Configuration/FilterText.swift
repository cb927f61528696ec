/// Topic filters as text: are they valid, and can two of them match the same topic.
package enum FilterText {
    /// - Returns: what is wrong with `filter` (§4.7), nil if nothing is.
    package static func problem(in filter: String) -> String? {
        if filter.isEmpty { return "a topic filter must not be empty" }
        if filter.utf8.count > 65_535 { return "a topic filter has at most 65535 bytes" }
        if filter.utf8.contains(0) { return "a topic filter must not contain NUL" }
        if filter.hasPrefix("$share/") { return "shared subscriptions on links are not available in this version" }
        let levels = self.levels(of: filter)
        for (index, level) in levels.enumerated() {
            if level.contains("#"), level != "#" || index != levels.count - 1 {
                return "`#` must be the whole last level, as in a/b/#; found `\(filter)`"
            }
            if level.contains("+"), level != "+" { return "`+` must be a whole level, as in a/+/b; found `\(filter)`" }
        }
        return nil
    }

    package static func levels(of filter: String) -> [Substring] {
        filter.split(separator: "/", omittingEmptySubsequences: false)
    }

    /// Whether some topic matches both filters.
    package static func overlap(_ a: String, _ b: String) -> Bool {
        let a = levels(of: a)
        let b = levels(of: b)
        // A wildcard at the front does not match topics that begin with `$` (§4.7.2).
        if isWildcard(a[0]), b[0].hasPrefix("$") { return false }
        if isWildcard(b[0]), a[0].hasPrefix("$") { return false }
        var index = 0
        while true {
            if index < a.count, a[index] == "#" { return true }
            if index < b.count, b[index] == "#" { return true }
            if index == a.count || index == b.count { return a.count == b.count }
            guard a[index] == b[index] || a[index] == "+" || b[index] == "+" else { return false }
            index += 1
        }
    }

    private static func isWildcard(_ level: Substring) -> Bool { level == "#" || level == "+" }
}

extension LinkRule {
    /// A filter that matches every topic that this rule produces on the other side, and perhaps a few more where the
    /// template puts text around a wildcard.
    package var targetFilter: String {
        let rest = Substring(filter.utf8.dropFirst(stripPrefix.utf8.count))
        var levels: [Substring] = []
        for level in FilterText.levels(of: topicPrefix + rest + topicSuffix) {
            if level.contains("#") {
                levels.append("#")
                break
            }
            levels.append(level.contains("+") ? "+" : level)
        }
        return levels.joined(separator: "/")
    }
}
