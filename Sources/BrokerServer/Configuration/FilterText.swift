/// Topic filters as text: are they valid, and can two of them match the same topic.
package enum FilterText {
    /// Of a filter of the configuration, and of what it makes of a topic.
    static let levelsMax = 128

    /// - Returns: what is wrong with `filter` (§4.7), nil if nothing is.
    package static func problem(in filter: String) -> String? {
        if filter.isEmpty { return "a topic filter must not be empty" }
        if filter.utf8.count > 65_535 { return "a topic filter has at most 65535 bytes" }
        if filter.utf8.contains(0) { return "a topic filter must not contain NUL" }
        if filter.hasPrefix("$share/") { return "shared subscriptions on links are not available in this version" }
        let levels = self.levels(of: filter)
        if levels.count > levelsMax { return "a topic filter has at most \(levelsMax) levels" }
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

    /// What matches both, as a filter; nil when nothing does.
    package static func intersection(_ a: String, _ b: String) -> String? {
        guard overlap(a, b) else { return nil }
        let a = levels(of: a)
        let b = levels(of: b)
        var both: [Substring] = []
        var index = 0
        while index < a.count || index < b.count {
            // Behind `#` the other says what there is; where it has ended, `#` stands for nothing.
            if index < a.count, a[index] == "#" { return (both + b[min(index, b.count)...]).joined(separator: "/") }
            if index < b.count, b[index] == "#" { return (both + a[min(index, a.count)...]).joined(separator: "/") }
            guard index < a.count, index < b.count else { return nil }
            both.append(a[index] == "+" ? b[index] : a[index])
            index += 1
        }
        return both.joined(separator: "/")
    }

    /// Whether every topic of `b` matches `a`; false for the one pair that is hard to see, `+/#` and `#`.
    package static func covers(_ a: String, _ b: String) -> Bool {
        let a = levels(of: a)
        let b = levels(of: b)
        // `#` does not match `$SYS/x`, which is a topic of `$SYS/#`; but none of `+/#` either.
        if isWildcard(a[0]), b[0].hasPrefix("$") { return false }
        var index = 0
        while true {
            if index < a.count, a[index] == "#" { return true }
            if index == a.count || index == b.count { return a.count == b.count }
            if b[index] == "#" { return false }
            guard a[index] == b[index] || a[index] == "+" else { return false }
            index += 1
        }
    }

    private static func isWildcard(_ level: Substring) -> Bool { level == "#" || level == "+" }
}
