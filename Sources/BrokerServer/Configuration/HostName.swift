#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The name of this machine, without asking any network: Foundation's `hostName` may wait for DNS.
enum HostName {
    /// - Returns: the system's host name with what a node id may not contain replaced by `-`; `drawbridge` if there is none.
    static func current() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "drawbridge" }
        let bytes = buffer.prefix { $0 != 0 }.prefix(64).map { UInt8(bitPattern: $0) }
        let name = String(bytes.map { Identifier.mayContain($0) ? Character(UnicodeScalar($0)) : "-" })
        return name.isEmpty ? "drawbridge" : name
    }
}

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

    static func isValid(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 64 && text.utf8.allSatisfy(mayContain)
    }
}
