/// An IPv4 or IPv6 address as a number: what address ranges are compared with.
struct NetworkAddress: Sendable, Hashable {
    enum Family: Sendable, Hashable { case v4, v6 }

    let family: Family
    let value: UInt128

    var bits: Int { family == .v4 ? 32 : 128 }

    private init(family: Family, value: UInt128) {
        self.family = family
        self.value = value
    }

    /// Takes "10.1.2.3", "fe80::1" or "fe80::1%eth0"; nil for anything else. An IPv4 address that is written as one of
    /// IPv6 (`::ffff:10.1.2.3`) is the IPv4 address: one client has one address, whichever socket it came through.
    init?(_ text: some StringProtocol) {
        if let value = Self.v4(text.utf8) {
            self.init(family: .v4, value: UInt128(value))
            return
        }
        // The zone says which interface, not who.
        let withoutZone = text.utf8.prefix { $0 != UInt8(ascii: "%") }
        guard let value = Self.v6(withoutZone) else { return nil }
        if value >> 32 == 0xFFFF {
            self.init(family: .v4, value: value & 0xFFFF_FFFF)
        } else {
            self.init(family: .v6, value: value)
        }
    }

    /// Four decimal numbers without leading zeros, which some programs read as octal.
    private static func v4(_ bytes: some Collection<UInt8>) -> UInt32? {
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var number: UInt32 = 0
            for byte in part {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
                number = number * 10 + UInt32(byte - UInt8(ascii: "0"))
            }
            guard number <= 255 else { return nil }
            value = value << 8 | number
        }
        return value
    }

    /// Eight groups of hexadecimal digits, of which `::` leaves out one run of zeros; the last two may be an IPv4
    /// address (RFC 4291 §2.2).
    private static func v6(_ bytes: some Collection<UInt8>) -> UInt128? {
        var groups: [UInt128] = []
        var gap: Int?
        let parts = Array(bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false))
        guard (3...9).contains(parts.count) else { return nil }
        for (index, part) in parts.enumerated() {
            if part.isEmpty {
                // The first and the last part are empty beside `::` only.
                if index == 0 {
                    guard parts[1].isEmpty else { return nil }
                } else if index == parts.count - 1 {
                    guard parts[index - 1].isEmpty else { return nil }
                } else {
                    guard gap == nil else { return nil }
                    gap = groups.count
                }
                continue
            }
            if index == parts.count - 1, let tail = v4(part) {
                groups.append(UInt128(tail >> 16))
                groups.append(UInt128(tail & 0xFFFF))
                continue
            }
            guard part.count <= 4 else { return nil }
            var group: UInt128 = 0
            for byte in part {
                guard let digit = hexDigit(byte) else { return nil }
                group = group << 4 | UInt128(digit)
            }
            groups.append(group)
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        return groups.reduce(0) { $0 << 16 | $1 }
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

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

    /// Nil stands for what is no address.
    package func contains(_ address: String) -> Bool { NetworkAddress(address).map(contains) ?? false }

    /// The address as rules know it, without an IPv4 address in the clothes of IPv6; nil when `text` is no address.
    package static func canonical(_ text: some StringProtocol) -> String? {
        guard let address = NetworkAddress(text) else { return nil }
        guard address.family == .v4 else { return text.lowercased() }
        return (0..<4).map { String(UInt8(truncatingIfNeeded: address.value >> (24 - 8 * UInt128($0)))) }
            .joined(separator: ".")
    }

    func contains(_ address: NetworkAddress) -> Bool {
        guard address.family == first.family else { return false }
        return (address.value ^ first.value) >> UInt128(first.bits - prefixBits) == 0
    }
}
