/// One address, or all that begin with the same bits: "10.0.0.0/8", "fd00::/8", "192.168.1.6".
package struct AddressRange: Sendable, Hashable, CustomStringConvertible {
    private let first: NetworkAddress
    private let prefixBits: Int
    package let description: String

    /// Nil when the text is no range.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let head = parts.first, !head.contains("%"), let first = NetworkAddress(head) else { return nil }
        var bits = first.bits
        if parts.count == 2 {
            guard let number = Self.number(parts[1]) else { return nil }
            // Written as IPv6, it is cut as IPv6: ::ffff:10.0.0.0/104 is 10.0.0.0/8.
            bits = first.family == .v4 && head.utf8.contains(UInt8(ascii: ":")) ? number - 96 : number
            guard (0...first.bits).contains(bits) else { return nil }
        }
        self.first = first
        self.prefixBits = bits
        self.description = text
    }

    private static func number(_ text: Substring) -> Int? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return Int(text)
    }

    package func contains(_ address: NetworkAddress) -> Bool {
        guard address.family == first.family else { return false }
        return (address.value ^ first.value) >> UInt128(first.bits - prefixBits) == 0
    }
}
