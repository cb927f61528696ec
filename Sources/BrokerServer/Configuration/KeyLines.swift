/// Where each key of a TOML text stands, for problems that point at a line.
///
/// The TOML parser tells no places, so this walks the text as well. It only knows enough of the language not to lose its
/// way: headers, arrays of tables, dotted and quoted keys, inline tables, arrays, the four kinds of strings, comments.
/// Whatever it meets, it moves forward, so it ends on any text.
///
/// It goes before the parser, because the parser ends the whole process on some slips (`[=]`, `a = [}`,
/// `a = 1979-05-27 0 `) where a line number would do. Up to the first slip the two agree about the text, so none of these
/// reaches the parser.
///
/// A key is named by its path: `limits.inflight`, `link[0].out[1].filter`, `listener[2].bind[0]`.
package struct KeyLines: Sendable {
    /// A slip that the parser must not see.
    package struct Fault: Sendable, Equatable {
        package var line: Int
        package var message: String
        /// How many bytes of the text stand before the statement with the slip; an earlier error may be among them.
        package var bytesBefore: Int
    }

    private var lines: [String: Int] = [:]
    /// The first slip of the text; nil in valid TOML, unless it writes a date and a time with a space between them.
    package let fault: Fault?

    package init(text: String) {
        var walk = Walk(bytes: Array(text.utf8))
        walk.document()
        lines = walk.lines
        fault = walk.fault
    }

    /// - Returns: the line of `path`, or of the nearest thing around it that is known; nil for an empty path.
    package func line(of path: String) -> Int? {
        var path = Substring(path)
        while !path.isEmpty {
            if let line = lines[String(path)] { return line }
            guard let cut = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
            path = path[..<cut]
        }
        return nil
    }
}

/// One pass over the bytes of a text.
private struct Walk {
    let bytes: [UInt8]
    var position = 0
    var line = 1
    var lines: [String: Int] = [:]
    /// How many elements each array of tables has so far, by its path.
    private var elements: [String: Int] = [:]
    var fault: KeyLines.Fault?
    /// Where the header or the key at hand begins.
    private var statementStart = 0
    private var depth = 0
    /// The parser has a limit of its own, and this one keeps the walk's stack from being the first to end.
    private static let depthMax = 64

    init(bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func advance() {
        guard position < bytes.count else { return }
        if bytes[position] == UInt8(ascii: "\n") { line += 1 }
        position += 1
    }

    private mutating func advance(over text: StaticString) {
        for _ in 0..<text.utf8CodeUnitCount { advance() }
    }

    private func isNext(_ text: String) -> Bool {
        position <= bytes.count && bytes[position...].starts(with: text.utf8)
    }

    private mutating func note(_ path: String) {
        if lines[path] == nil { lines[path] = line }
    }

    private mutating func fail(_ message: String) {
        if fault == nil { fault = KeyLines.Fault(line: line, message: message, bytesBefore: statementStart) }
    }

    // MARK: The document

    mutating func document() {
        var table = ""
        while fault == nil {
            skipBlank(newlines: true)
            guard let byte = current else { return }
            statementStart = position
            if byte == UInt8(ascii: "[") {
                table = header()
            } else {
                keyAndValue(in: table)
            }
        }
    }

    /// `[a.b]` or `[[a.b]]`; each array of tables on the way means its last element.
    private mutating func header() -> String {
        let isArray = isNext("[[")
        advance()
        if isArray { advance() }
        let start = line
        skipBlank(newlines: false)
        if let byte = current, !keyStart.contains(byte) { fail("a table header must hold a key") }
        let parts = dottedKey()
        var path = ""
        for (index, part) in parts.enumerated() {
            path = path.isEmpty ? part : path + "." + part
            if index == parts.count - 1, isArray {
                if lines[path] == nil { lines[path] = start }
                let count = elements[path, default: 0]
                elements[path] = count + 1
                path += "[\(count)]"
            } else if let count = elements[path] {
                path += "[\(count - 1)]"
            }
            if lines[path] == nil { lines[path] = start }
        }
        while let byte = current, byte == UInt8(ascii: "]") { advance() }
        return path
    }

    private mutating func keyAndValue(in table: String) {
        let before = position
        var path = table
        for part in dottedKey() {
            path = path.isEmpty ? part : path + "." + part
            note(path)
        }
        skipBlank(newlines: false)
        if current == UInt8(ascii: "=") {
            advance()
            value(at: path)
        }
        if position == before { advance() }
    }

    // MARK: Keys

    private mutating func dottedKey() -> [String] {
        var parts: [String] = []
        while true {
            skipBlank(newlines: false)
            parts.append(keyPart())
            skipBlank(newlines: false)
            guard parts.count <= Self.depthMax else {
                fail("a key has too many parts")
                return parts
            }
            guard current == UInt8(ascii: ".") else { return parts }
            advance()
        }
    }

    private mutating func keyPart() -> String {
        let start = position
        if let quote = current, quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") {
            string(quote: quote)
            let end = max(start + 1, position - 1)
            return String(decoding: bytes[min(start + 1, end)..<end], as: UTF8.self)
        }
        while let byte = current, !keyEnd.contains(byte) { advance() }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    // MARK: Values

    private mutating func value(at path: String) {
        skipBlank(newlines: false)
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else {
            fail("lists and tables are nested too deeply")
            return
        }
        switch current {
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            string(quote: bytes[position])
        case UInt8(ascii: "["):
            array(at: path)
        case UInt8(ascii: "{"):
            inlineTable(at: path)
        default:
            bareValue()
        }
    }

    /// A number, a truth value or a date.
    private mutating func bareValue() {
        var isAfterSpace = false
        while let byte = current, !valueEnd.contains(byte) {
            if isAfterSpace, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                // Only a time after a date looks so, and no setting takes either.
                fail("a date and time has no place here")
                return
            }
            isAfterSpace = byte == UInt8(ascii: " ")
            advance()
        }
    }

    private mutating func array(at path: String) {
        advance()
        var index = 0
        while fault == nil {
            skipBlank(newlines: true)
            guard let byte = current else { return }
            if byte == UInt8(ascii: "]") {
                advance()
                return
            }
            if byte == UInt8(ascii: ",") {
                advance()
                continue
            }
            guard valueStart.contains(byte) else {
                fail("expected a value or `]` in this list")
                return
            }
            let before = position
            let element = "\(path)[\(index)]"
            note(element)
            value(at: element)
            index += 1
            if position == before { advance() }
        }
    }

    private mutating func inlineTable(at path: String) {
        advance()
        while fault == nil {
            skipBlank(newlines: true)
            guard let byte = current else { return }
            if byte == UInt8(ascii: "}") {
                advance()
                return
            }
            if byte == UInt8(ascii: ",") { advance() } else { keyAndValue(in: path) }
        }
    }

    /// Any of the four kinds of strings, the opening quote being next.
    private mutating func string(quote: UInt8) {
        let isBasic = quote == UInt8(ascii: "\"")
        let isLong = isNext(isBasic ? "\"\"\"" : "'''")
        if isLong { advance(over: "'''") } else { advance() }
        while let byte = current {
            if isBasic, byte == UInt8(ascii: "\\") {
                advance()
                advance()
            } else if byte != quote {
                advance()
            } else if !isLong {
                advance()
                return
            } else if isNext(isBasic ? "\"\"\"" : "'''") {
                advance(over: "'''")
                // Up to two quotes may stand before the closing three.
                while current == quote { advance() }
                return
            } else {
                advance()
            }
        }
    }

    /// Spaces and comments; line ends too where they mean nothing.
    private mutating func skipBlank(newlines: Bool) {
        while let byte = current {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"):
                advance()
            case UInt8(ascii: "\r") where newlines, UInt8(ascii: "\n") where newlines:
                advance()
            case UInt8(ascii: "#") where newlines:
                while let byte = current, byte != UInt8(ascii: "\n") { advance() }
            default:
                return
            }
        }
    }
}

private let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
private let keyStart = Set((letters + "-_\"'").utf8)
/// `_` begins no value, but the parser says so itself; the same goes for most letters.
private let valueStart = Set((letters + "-_+.\"'[{").utf8)
private let keyEnd = Set(" \t\r\n.=]#,}".utf8)
private let valueEnd = Set(",]}#\n".utf8)
