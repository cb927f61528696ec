/// `topic PATTERN [out|in|both] [QoS] [local prefix] [remote prefix]` of a bridge.
struct MosquittoTopic {
    enum Direction: String {
        case out, `in`, both
    }

    let line: MosquittoLine
    /// Empty when the prefixes are whole topics.
    let pattern: String
    var direction = Direction.out
    var qos = 0
    var saysQoS = false
    var local = ""
    var remote = ""

    /// nil when the line is no such thing.
    init?(_ line: MosquittoLine) {
        self.line = line
        let words = line.words
        guard let first = words.first, words.count <= 5 else { return nil }
        pattern = first
        if words.count > 1 {
            guard let direction = Direction(rawValue: words[1]) else { return nil }
            self.direction = direction
        }
        if words.count > 2 {
            guard let qos = Int(words[2]), (0...2).contains(qos) else { return nil }
            self.qos = qos
            saysQoS = true
        }
        if words.count > 3 { local = words[3] }
        if words.count > 4 { remote = words[4] }
    }

    /// Why it cannot be a rule here; nil when it can.
    var problem: String? {
        for prefix in [local, remote] {
            if prefix.contains(where: { $0 == "#" || $0 == "+" }) { return "a prefix has no wildcards" }
            if let problem = FilterText.problem(in: prefix + pattern) { return problem }
        }
        return nil
    }

    /// - Parameter clearsRetain: the line that says so, for what goes out.
    func tables(clearsRetain: MosquittoLine?) -> TOMLText {
        var toml = TOMLText()
        // One rule for both ways, unless the two differ in more than their direction.
        if direction == .both, !pattern.isEmpty, clearsRetain == nil {
            toml.heading("[[link.both]]", from: line)
            toml.entry("filter", text: pattern)
            toml.entry("qos", "\(qos)")
            if !local.isEmpty { toml.entry("local_prefix", text: local) }
            if !remote.isEmpty { toml.entry("remote_prefix", text: remote) }
            return toml
        }
        if direction != .in { rule("[[link.out]]", from: local, to: remote, clearsRetain, &toml) }
        if direction != .out { rule("[[link.in]]", from: remote, to: local, nil, &toml) }
        return toml
    }

    private func rule(
        _ heading: String,
        from: String,
        to: String,
        _ clearsRetain: MosquittoLine?,
        _ toml: inout TOMLText
    ) {
        toml.heading(heading, from: line)
        toml.entry("filter", text: from + pattern)
        if from != to { toml.entry("to", text: Self.template(pattern, from: from, to: to)) }
        toml.entry("qos", "\(qos)")
        if let clearsRetain { toml.entry("retain", text: "clear", from: clearsRetain) }
    }

    /// `pattern` under another prefix, with what its wildcards match in their places.
    private static func template(_ pattern: String, from: String, to: String) -> String {
        if from.isEmpty { return to + "{topic}" }
        var number = 0
        let levels = FilterText.levels(of: pattern).map { level -> String in
            if level == "#" { return "{#}" }
            guard level == "+" else { return String(level) }
            number += 1
            return "{\(number)}"
        }
        return to + levels.joined(separator: "/")
    }
}
