/// `to` of a link rule: text with `{topic}` once.
struct TopicTemplate: Equatable {
    var prefix = ""
    var suffix = ""

    struct Failure: Error {
        var message: String
    }

    /// Placeholders of later versions, so that a file written for them gets the right answer.
    private static let later: Set = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "#", "clientid", "node"]

    static func parse(_ text: String) throws(Failure) -> TopicTemplate {
        var template = TopicTemplate()
        var isAfterTopic = false
        var rest = Substring(text)
        while let open = rest.firstIndex(where: { $0 == "{" || $0 == "}" }) {
            guard rest[open] == "{", let close = rest[open...].firstIndex(of: "}") else {
                throw Failure(message: "`{` and `}` must come in pairs; found `\(text)`")
            }
            let name = String(rest[open..<close].dropFirst())
            if later.contains(name) {
                throw Failure(message: "the placeholder `{\(name)}` is not available in this version")
            }
            guard name == "topic" else {
                throw Failure(message: "unknown placeholder `{\(name)}`; this version knows {topic}")
            }
            guard !isAfterTopic else { throw Failure(message: "`{topic}` must stand once; found `\(text)`") }
            template.prefix = String(rest[..<open])
            isAfterTopic = true
            rest = rest[close...].dropFirst()
        }
        guard isAfterTopic else { throw Failure(message: "`{topic}` must stand once; found `\(text)`") }
        template.suffix = String(rest)
        if text.contains(where: { $0 == "#" || $0 == "+" || $0 == "\0" }) {
            throw Failure(message: "a topic has no wildcards; found `\(text)`")
        }
        return template
    }
}
