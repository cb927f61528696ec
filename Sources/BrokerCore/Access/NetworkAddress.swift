/// An IPv4 or IPv6 address as a number: what limits, ranges and access rules compare.
///
/// A listener on `[::]` sees IPv4 clients under addresses such as `::ffff:127.0.0.1`, and others write them so. Here they
/// are what they are, so that one client has one address, whichever socket it came through and whoever writes it down.
package struct NetworkAddress: Sendable, Hashable {
    enum Family: Sendable, Hashable { case v4, v6 }

    let family: Family
    // In halves: with the alignment of a UInt128 as an argument of an async function, Swift 6.3 jumps to nowhere.
    private let high: UInt64
    private let low: UInt64

    var value: UInt128 { UInt128(high) << 64 | UInt128(low) }
    var bits: Int { family == .v4 ? 32 : 128 }

    private init(family: Family, value: UInt128) {
        self.family = family
        high = UInt64(truncatingIfNeeded: value >> 64)
        low = UInt64(truncatingIfNeeded: value)
    }

    private init(v6 value: UInt128) {
        if value >> 32 == 0xFFFF {
            self.init(family: .v4, value: value & 0xFFFF_FFFF)
        } else {
            self.init(family: .v6, value: value)
        }
    }

    /// Takes "10.1.2.3", "fe80::1" or "fe80::1%eth0"; nil for anything else.
    package init?(_ text: some StringProtocol) {
        if let value = Self.v4(text.utf8) {
            self.init(family: .v4, value: UInt128(value))
            return
        }
        // The zone says which interface, not who.
        let withoutZone = text.utf8.prefix { $0 != UInt8(ascii: "%") }
        guard let value = Self.v6(withoutZone) else { return nil }
        self.init(v6: value)
    }

    /// Takes an IPv4 address as the number that it is.
    package init(v4 value: UInt32) { self.init(family: .v4, value: UInt128(value)) }

    /// Takes the four or sixteen bytes of an address, the most significant first; nil for any other number of them.
    package init?(bytes: some Collection<UInt8>) {
        let value = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        switch bytes.count {
        case 4: self.init(family: .v4, value: value)
        case 16: self.init(v6: value)
        default: return nil
        }
    }

    /// True only for what can never be reached from another machine.
    package var isLoopback: Bool { family == .v4 ? value >> 24 == 127 : value == 1 }

    /// What limits count as one: one customer has a whole /64 of IPv6 addresses, and would else be a new one each time.
    package var network: NetworkAddress {
        family == .v4 ? self : NetworkAddress(family: .v6, value: (value >> 64) << 64)
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

extension NetworkAddress: CustomStringConvertible {
    /// As everybody writes it: "10.1.2.3", "2001:db8::7" (RFC 5952).
    package var description: String {
        guard family == .v6 else {
            return Self.dotted(UInt32(truncatingIfNeeded: value))
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> (112 - 16 * $0)) }
        let gap = Self.longestZeros(groups)
        func text(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        return gap.count < 2 ? text(0..<8) : text(0..<gap.lowerBound) + "::" + text(gap.upperBound..<8)
    }

    /// Written digit by digit, since every connection that comes is called by its address.
    private static func dotted(_ value: UInt32) -> String {
        unsafe String(unsafeUninitializedCapacity: 15) { target in
            var count = 0
            func write(_ byte: UInt8) {
                unsafe target[count] = byte
                count += 1
            }
            for shift in [24, 16, 8, 0] as [UInt32] {
                let part = UInt8(truncatingIfNeeded: value >> shift)
                if part >= 100 { write(UInt8(ascii: "0") + part / 100) }
                if part >= 10 { write(UInt8(ascii: "0") + part / 10 % 10) }
                write(UInt8(ascii: "0") + part % 10)
                if shift > 0 { write(UInt8(ascii: ".")) }
            }
            return count
        }
    }

    /// The first of the longest runs; empty when nothing is zero.
    private static func longestZeros(_ groups: [UInt16]) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for (index, group) in groups.enumerated() {
            if group != 0 {
                start = index + 1
            } else if index + 1 - start > longest.count {
                longest = start..<(index + 1)
            }
        }
        return longest
    }
}
