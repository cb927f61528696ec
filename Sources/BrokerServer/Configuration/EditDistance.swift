/// How far two words are apart in slips of the finger: a letter too many, missing, wrong, or two swapped.
package enum EditDistance {
    /// - Complexity: O(length a × length b); keys are short.
    package static func between(_ a: String, _ b: String) -> Int {
        let a = Array(a.utf8)
        let b = Array(b.utf8)
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var cost = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
                row.append(cost)
            }
            beforeLast = last
            last = row
        }
        return last[b.count]
    }

    /// - Returns: the candidate that `word` was probably meant to be; the first of equals; nil when none is near.
    package static func nearest(to word: String, among candidates: [String]) -> String? {
        let farthest = max(1, word.utf8.count / 3)
        var best: (candidate: String, distance: Int)?
        // A file may hold a key of any length, and the table of distances grows with it.
        guard word.utf8.count <= 64 else { return nil }
        for candidate in candidates {
            let distance = between(word.lowercased(), candidate)
            if distance <= farthest, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.candidate
    }
}
