/// Sizes as operators write them: `64KiB`, `2MB`, `512B`.
package enum SizeText {
    private static let units: [(name: String, bytes: Int)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("kB", 1_000), ("B", 1),
    ]

    /// - Returns: bytes; nil when `text` is no size or too large to count.
    package static func bytes(in text: String) -> Int? {
        for unit in units where text.hasSuffix(unit.name) {
            guard let count = Digits.value(of: text.dropLast(unit.name.count)) else { return nil }
            let (bytes, overflow) = count.multipliedReportingOverflow(by: unit.bytes)
            return overflow ? nil : bytes
        }
        return nil
    }

    /// The shortest exact way to write `bytes`.
    package static func describe(_ bytes: Int) -> String {
        for unit in units.prefix(4) where bytes > 0 && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.name)"
        }
        return "\(bytes)B"
    }
}

/// Durations as operators write them: `500ms`, `30s`, `2m`, `1h`, `7d`.
package enum DurationText {
    private static let units: [(name: String, milliseconds: Int)] = [
        ("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000),
    ]

    /// - Returns: nil when `text` is no duration or too long to count in milliseconds.
    package static func duration(in text: String) -> Duration? {
        for unit in units where text.hasSuffix(unit.name) {
            guard let count = Digits.value(of: text.dropLast(unit.name.count)) else { return nil }
            let (milliseconds, overflow) = count.multipliedReportingOverflow(by: unit.milliseconds)
            return overflow ? nil : .milliseconds(milliseconds)
        }
        return nil
    }

    /// The shortest exact way to write a duration of whole milliseconds.
    package static func describe(_ duration: Duration) -> String {
        let parts = duration.components
        let milliseconds = Int(parts.attoseconds / 1_000_000_000_000_000)
        if milliseconds != 0 { return "\(Int(parts.seconds) * 1_000 + milliseconds)ms" }
        let seconds = Int(parts.seconds)
        for unit in units.dropFirst() where seconds > 0 && seconds % (unit.milliseconds / 1_000) == 0 {
            return "\(seconds / (unit.milliseconds / 1_000))\(unit.name)"
        }
        return "\(seconds)s"
    }
}

/// Decimal digits and nothing else: no sign, no space, no underscore.
package enum Digits {
    package static func value(of text: some StringProtocol) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return Int(text)
    }
}
