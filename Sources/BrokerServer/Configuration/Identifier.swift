/// Names that end up in client ids and topics: letters, digits, `-`, `_`, `.`.
enum Identifier {
    static func mayContain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): true
        default: false
        }
    }

    /// The host name as the id of a node: what an id may not contain becomes `-`; `drawbridge` when there is none.
    static func ofThisMachine() -> String {
        let bytes = (HostName.current() ?? "").utf8.prefix(64)
        let name = String(bytes.map { mayContain($0) ? Character(UnicodeScalar($0)) : "-" })
        return name.isEmpty ? "drawbridge" : name
    }

    static func isValid(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 64 && text.utf8.allSatisfy(mayContain)
    }
}
