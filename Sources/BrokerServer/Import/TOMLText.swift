/// A TOML file as it grows, with comments that name where a value comes from.
struct TOMLText {
    private(set) var lines: [String] = []

    var text: String { lines.joined(separator: "\n") + "\n" }

    /// Long lines are broken between words; what follows is set in by as much as the line itself and two more. Control
    /// characters, which may not stand in comments, become U+FFFD.
    mutating func comment(_ text: String) {
        for scalars in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false) {
            let line = LogText.escaped(String(scalars))
            let indent = String(line.prefix { $0 == " " })
            var current = "#"
            for word in line.split(separator: " ") {
                if current.utf8.count + word.utf8.count >= 118, current.utf8.count > 40 {
                    lines.append(current)
                    current = "# \(indent)  \(word)"
                } else {
                    current += current == "#" ? " \(indent)\(word)" : " \(word)"
                }
            }
            lines.append(current)
        }
    }

    mutating func blank() {
        if let last = lines.last, !last.isEmpty { lines.append("") }
    }

    mutating func heading(_ text: String, from line: MosquittoLine? = nil) {
        lines.append(text + Self.source(line))
    }

    /// - Parameter value: as TOML writes it.
    mutating func entry(_ key: String, _ value: String, from line: MosquittoLine? = nil) {
        lines.append("\(key) = \(value)\(Self.source(line))")
    }

    mutating func entry(_ key: String, text: String, from line: MosquittoLine? = nil) {
        entry(key, Self.quoted(text), from: line)
    }

    mutating func append(_ other: TOMLText) { lines += other.lines }

    var isEmpty: Bool { lines.isEmpty }

    private static func source(_ line: MosquittoLine?) -> String {
        line.map { "    # \(LogText.escaped($0.place))" } ?? ""
    }

    static func list(_ texts: [String]) -> String { "[\(texts.map(quoted).joined(separator: ", "))]" }

    /// A basic string. `${` would be a variable of the environment, so it is doubled.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.replacing("${", with: "$${").unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
