/// The value of a mark's user property, written and read byte by byte: every message between Drawbridges has one.
extension LinkMark {
    /// - Complexity: O(1), an array and a string.
    package var text: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.bytesMax)
        bytes.append(contentsOf: "id=".utf8)
        bytes.append(id.high, digits: 16)
        bytes.append(id.low, digits: 16)
        bytes.append(contentsOf: ";hops=".utf8)
        bytes.append(decimal: hops)
        if let stream {
            bytes.append(contentsOf: ";stream=".utf8)
            bytes.append(stream.node, digits: 1)
            bytes.append(UInt8(ascii: "."))
            bytes.append(stream.receiver, digits: 1)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Nil for what no Drawbridge wrote. Fields that are not known are skipped: a later version may have more.
    package init?(_ text: String) {
        var text = text
        text.makeContiguousUTF8()
        let bytes = text.utf8.span
        var id: MessageID?
        var hops: UInt8?
        var stream: StreamID?
        var start = 0
        while start < bytes.count {
            let end = bytes.index(of: UInt8(ascii: ";"), from: start, to: bytes.count)
            defer { start = end + 1 }
            guard end > start else { continue }
            let equals = bytes.index(of: UInt8(ascii: "="), from: start, to: end)
            guard equals < end else { return nil }
            let value = equals + 1
            if bytes.holds("id", start, equals) {
                id = nil
                guard end - value == 32, let high = bytes.hexadecimal(value, value + 16),
                    let low = bytes.hexadecimal(value + 16, end)
                else { continue }
                id = MessageID(high: high, low: low)
            } else if bytes.holds("hops", start, equals) {
                hops = bytes.decimal(value, end)
            } else if bytes.holds("stream", start, equals) {
                let dot = bytes.index(of: UInt8(ascii: "."), from: value, to: end)
                stream = nil
                guard dot < end, let node = bytes.hexadecimal(value, dot),
                    let receiver = bytes.hexadecimal(dot + 1, end)
                else { continue }
                stream = StreamID(node: node, receiver: receiver)
            }
        }
        guard let id, let hops, hops > 0 else { return nil }
        self.init(id: id, hops: hops, stream: stream)
    }
}

extension [UInt8] {
    /// In hexadecimal, with leading zeros up to so many digits.
    fileprivate mutating func append(_ value: UInt64, digits: Int) {
        let needed = Swift.max(digits, (64 - value.leadingZeroBitCount + 3) / 4)
        for digit in (0..<needed).reversed() {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(4 * digit)) & 15
            append(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10)
        }
    }

    fileprivate mutating func append(decimal value: UInt8) {
        if value >= 100 { append(UInt8(ascii: "0") + value / 100) }
        if value >= 10 { append(UInt8(ascii: "0") + value / 10 % 10) }
        append(UInt8(ascii: "0") + value % 10)
    }
}

extension Span<UInt8> {
    /// The place of a byte, or `end`.
    fileprivate func index(of byte: UInt8, from start: Int, to end: Int) -> Int {
        var index = start
        while index < end, self[index] != byte { index += 1 }
        return index
    }

    fileprivate func holds(_ name: String, _ start: Int, _ end: Int) -> Bool {
        guard end - start == name.utf8.count else { return false }
        var index = start
        for byte in name.utf8 {
            if self[index] != byte { return false }
            index += 1
        }
        return true
    }

    /// Nil for what are not 1 to 16 digits.
    fileprivate func hexadecimal(_ start: Int, _ end: Int) -> UInt64? {
        guard end > start, end - start <= 16 else { return nil }
        var value: UInt64 = 0
        for index in start..<end {
            let digit: UInt8
            switch self[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = self[index] - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = self[index] - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = self[index] - UInt8(ascii: "A") + 10
            default: return nil
            }
            value = value << 4 | UInt64(digit)
        }
        return value
    }

    /// Nil for what is no number up to 255.
    fileprivate func decimal(_ start: Int, _ end: Int) -> UInt8? {
        guard end > start, end - start <= 3 else { return nil }
        var value = 0
        for index in start..<end {
            guard case UInt8(ascii: "0")...UInt8(ascii: "9") = self[index] else { return nil }
            value = value * 10 + Int(self[index] - UInt8(ascii: "0"))
        }
        return UInt8(exactly: value)
    }
}
