package import MQTTCodec

/// Bytes as people read them:
///
///     30           hexadecimal digits, any even number
///     'text'       the bytes of the text
///     <text>       the text behind its length in two bytes
///     [ ... ]      what stands inside, behind its length as a Variable Byte Integer: a property section
///     ~            an empty property section in version 5, nothing in version 3
///     x*N          N bytes 'x' (0x78)
package enum WireNotation {
    package static func bytes(_ text: String, version: ProtocolVersion) -> [UInt8] {
        var characters = Array(text)[...]
        return sequence(&characters, version: version)
    }

    /// A packet: first byte, remaining length, body.
    package static func packet(first: UInt8, body: String, version: ProtocolVersion) -> [UInt8] {
        let body = bytes(body, version: version)
        return [first] + variableByteInteger(body.count) + body
    }

    package static func variableByteInteger(_ value: Int) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        repeat {
            bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        return bytes
    }

    private static func sequence(_ text: inout ArraySlice<Character>, version: ProtocolVersion) -> [UInt8] {
        var bytes: [UInt8] = []
        while let character = text.popFirst() {
            switch character {
            case " ", "\n": continue
            case "]": return bytes
            case "[":
                let inside = sequence(&text, version: version)
                bytes += variableByteInteger(inside.count) + inside
            case "~": if version == .v5 { bytes.append(0) }
            case "'": bytes += quoted(&text, until: "'")
            case "<":
                let field = quoted(&text, until: ">")
                bytes += [UInt8(field.count >> 8), UInt8(field.count & 0xFF)] + field
            case "x":
                text.removeFirst()
                let digits = text.prefix { $0.isNumber }
                text.removeFirst(digits.count)
                bytes += [UInt8](repeating: 0x78, count: Int(String(digits)) ?? 0)
            default:
                guard let low = text.popFirst(), let byte = UInt8(String([character, low]), radix: 16) else {
                    preconditionFailure("not a hexadecimal byte at \(character)")
                }
                bytes.append(byte)
            }
        }
        return bytes
    }

    private static func quoted(_ text: inout ArraySlice<Character>, until end: Character) -> [UInt8] {
        let inside = text.prefix { $0 != end }
        text.removeFirst(inside.count + 1)
        return Array(String(inside).utf8)
    }
}
