/// The ACL file of mosquitto.
///
/// There `deny` wins over everything else that is said to the same user, wherever it stands, and `pattern` is asked
/// after `topic`. Here the first rule that matches decides, so the rules are put into that order.
struct MosquittoAccessList {
    struct Entry {
        var line: MosquittoLine
        /// nil: clients without a name.
        var user: String?
        var access: String
        var topic: String
    }

    private var topics: [Entry] = []
    private var patterns: [Entry] = []
    private(set) var unsupported: [(line: MosquittoLine, reason: String)] = []

    var speaksOfUsers: Bool {
        topics.contains { $0.user != nil } || patterns.contains { $0.topic.contains("%u") }
    }

    init(_ lines: [MosquittoLine]) {
        var user: String?
        for line in lines {
            switch line.key {
            case "user": user = line.value
            case "topic", "pattern":
                // A pattern is for everybody, below whose name it may stand.
                guard let entry = entry(of: line, line.key == "topic" ? user : nil) else { continue }
                if line.key == "topic" { topics.append(entry) } else { patterns.append(entry) }
            default: unsupported.append((line, "this word is not known"))
            }
        }
    }

    private mutating func entry(of line: MosquittoLine, _ user: String?) -> Entry? {
        var access = "readwrite"
        var topic = line.value
        for word in ["readwrite", "read", "write", "deny"]
        where topic.hasPrefix(word + " ") || topic.hasPrefix(word + "\t") {
            access = word
            topic = String(topic.dropFirst(word.count)).trimmed
            break
        }
        if topic.hasPrefix("$share/") {
            unsupported.append((line, "a rule is about the filter behind $share and the name of the group"))
            return nil
        }
        if let problem = FilterText.problem(in: topic) {
            unsupported.append((line, problem))
            return nil
        }
        if line.key == "topic", topic.contains("%u") || topic.contains("%c") {
            unsupported.append((line, "%u and %c are names in `pattern` only; here they are in every rule"))
            return nil
        }
        return Entry(line: line, user: user, access: access, topic: topic)
    }

    struct Rule {
        /// nil for one that no line says.
        var line: MosquittoLine?
        var text: String
    }

    /// - Parameter users: everybody who has a password.
    func rules(users: [String]) -> [Rule] {
        var rules: [Rule] = []
        func add(_ entries: [Entry]) {
            // `sorted` by a Boolean: deny first, the rest as it stands.
            for entry in entries.filter({ $0.access == "deny" }) + entries.filter({ $0.access != "deny" }) {
                rules.append(Rule(line: entry.line, text: Self.text(entry)))
            }
        }
        var named: [String] = []
        for entry in topics {
            guard let user = entry.user, !named.contains(user) else { continue }
            named.append(user)
        }
        for user in named { add(topics.filter { $0.user == user }) }
        let strangers = topics.filter { $0.user == nil }
        guard !strangers.isEmpty else {
            add(patterns)
            return rules
        }
        guard !users.isEmpty else {
            add(strangers)
            add(patterns)
            return rules
        }
        // What stands before the first `user` is for clients without a name only. With a name one is asked by the
        // patterns and then sent away.
        add(patterns)
        rules.append(
            Rule(
                line: nil,
                text: "{ deny = \"both\", who = { user = \(TOMLText.list(users)) }, topics = [\"#\", \"$SYS/#\"] }"
            )
        )
        add(strangers)
        return rules
    }

    private static func text(_ entry: Entry) -> String {
        let verdict =
            switch entry.access {
            case "deny": "deny = \"both\""
            case "read": "allow = \"subscribe\""
            case "write": "allow = \"publish\""
            default: "allow = \"both\""
            }
        let who = entry.user.map { "{ user = \(TOMLText.quoted($0)) }" } ?? "\"all\""
        return "{ \(verdict), who = \(who), topics = [\(TOMLText.quoted(entry.topic))] }"
    }
}
