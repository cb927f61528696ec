/// A JSON document under construction. The few answers of the gateway are flat, so commas are all there is to know.
package struct JSONText: Sendable {
    package private(set) var text = ""
    private var needsComma = false

    package init() {}

    package mutating func object(_ name: String? = nil, _ members: (inout JSONText) -> Void) {
        nested(name, open: "{", close: "}", members)
    }

    package mutating func array(_ name: String? = nil, _ elements: (inout JSONText) -> Void) {
        nested(name, open: "[", close: "]", elements)
    }

    package mutating func member(_ name: String, _ value: String) {
        key(name)
        quote(value)
    }

    package mutating func member(_ name: String, _ value: Int) {
        key(name)
        text += String(value)
    }

    package mutating func member(_ name: String, _ value: Bool) {
        key(name)
        text += value ? "true" : "false"
    }

    private mutating func nested(
        _ name: String?,
        open: String,
        close: String,
        _ content: (inout JSONText) -> Void
    ) {
        key(name)
        text += open
        needsComma = false
        content(&self)
        text += close
        needsComma = true
    }

    private mutating func key(_ name: String?) {
        if needsComma { text += "," }
        needsComma = true
        if let name {
            quote(name)
            text += ":"
        }
    }

    /// Writes a string literal (RFC 8259 §7). `<`, `>` and `&` are escaped too, so that no answer reads as HTML.
    private mutating func quote(_ value: String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "<", ">", "&", "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
