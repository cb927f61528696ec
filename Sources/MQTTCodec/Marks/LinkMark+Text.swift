/// The value of a mark's user property, written and read byte by byte: every message between Drawbridges has one.
extension LinkMark {
    package var text: String {
        unsafe String(unsafeUninitializedCapacity: Self.textBytesMax) { target in
            var writer = unsafe ExactWriter(UnsafeMutableRawBufferPointer(target))
            unsafe writer.text(of: self)
            return unsafe writer.count
        }
    }

    /// Nil for what no Drawbridge wrote. Fields that are not known are skipped: a later version may have more.
    package init?(_ text: String) {
        var text = text
        text.makeContiguousUTF8()
        let mark = unsafe text.utf8.span.withUnsafeBytes { unsafe LinkMark(text: $0, skipsUnknown: true) }
        guard let mark else { return nil }
        self = mark
    }

    /// - Parameter skipsUnknown: false takes only fields that this version knows.
    private init?(text: UnsafeRawBufferPointer, skipsUnknown: Bool) {
        var fields = unsafe MarkFields(text)
        var id: MessageID?
        var hops: UInt8?
        var stream: StreamID?
        while unsafe !fields.isAtEnd {
            if unsafe fields.take("id=") {
                id = unsafe fields.messageID()
            } else if unsafe fields.take("hops=") {
                hops = unsafe fields.decimal()
            } else if unsafe fields.take("stream=") {
                stream = unsafe fields.stream()
            } else if unsafe !fields.isUnknown {
                return nil
            }
            guard unsafe fields.takeEnd() || skipsUnknown else { return nil }
        }
        guard let id, let hops, hops > 0 else { return nil }
        self.init(id: id, hops: hops, stream: stream)
    }

    // MARK: As the only property

    /// The length of the property section of a PUBLISH that has a mark and no other property.
    var sectionBytes: Int { 5 + Self.name.count + textBytes }

    private var textBytes: Int {
        let ofHops = hops >= 100 ? 3 : hops >= 10 ? 2 : 1
        let ofStream = stream.map { 8 + hexadecimalDigits($0.node) + 1 + hexadecimalDigits($0.receiver) } ?? 0
        return 3 + 32 + 6 + ofHops + ofStream
    }

    /// A property section, without its length, that is a mark of known fields and nothing else; nil for everything else,
    /// right or wrong.
    init?(section: UnsafeRawBufferPointer) {
        let start = 5 + Self.name.count
        guard section.count > start, unsafe section[0] == PropertyID.userProperty.rawValue, unsafe section[1] == 0,
            unsafe Int(section[2]) == Self.name.count,
            unsafe Self.name.isEqual(to: UnsafeRawBufferPointer(rebasing: section[3..<start - 2])),
            unsafe section[start - 2] == 0, unsafe Int(section[start - 1]) == section.count - start
        else { return nil }
        unsafe self.init(text: UnsafeRawBufferPointer(rebasing: section[start...]), skipsUnknown: false)
    }
}

extension ExactWriter {
    /// The mark as a user property.
    mutating func property(of mark: LinkMark) {
        unsafe byte(PropertyID.userProperty.rawValue)
        unsafe twoByteInteger(UInt16(LinkMark.name.count))
        unsafe LinkMark.name.withBytes { unsafe bytes($0) }
        unsafe twoByteInteger(UInt16(mark.sectionBytes - 5 - LinkMark.name.count))
        unsafe text(of: mark)
    }

    fileprivate mutating func text(of mark: LinkMark) {
        unsafe text("id=")
        unsafe hexadecimal(mark.id.high)
        unsafe hexadecimal(mark.id.low)
        unsafe text(";hops=")
        unsafe decimal(mark.hops)
        guard let stream = mark.stream else { return }
        unsafe text(";stream=")
        unsafe hexadecimal(stream.node, digits: hexadecimalDigits(stream.node))
        unsafe byte(UInt8(ascii: "."))
        unsafe hexadecimal(stream.receiver, digits: hexadecimalDigits(stream.receiver))
    }

    private mutating func text(_ text: StaticString) {
        unsafe bytes(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func hexadecimal(_ value: UInt64) {
        unsafe eightBytes(Hexadecimal.digits(of: UInt32(truncatingIfNeeded: value >> 32)))
        unsafe eightBytes(Hexadecimal.digits(of: UInt32(truncatingIfNeeded: value)))
    }

    private mutating func hexadecimal(_ value: UInt64, digits: Int) {
        for digit in (0..<digits).reversed() {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(4 * digit)) & 15
            unsafe byte(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10)
        }
    }

    private mutating func decimal(_ value: UInt8) {
        if value >= 100 { unsafe byte(UInt8(ascii: "0") + value / 100) }
        if value >= 10 { unsafe byte(UInt8(ascii: "0") + value / 10 % 10) }
        unsafe byte(UInt8(ascii: "0") + value % 10)
    }
}

/// Digits without leading zeros; one for 0.
private func hexadecimalDigits(_ value: UInt64) -> Int { max(1, (64 - value.leadingZeroBitCount + 3) / 4) }

/// Eight digits at a time, each in its byte of a word, the first in the highest.
private enum Hexadecimal {
    private static let ones: UInt64 = 0x0101_0101_0101_0101

    static func digits(of value: UInt32) -> UInt64 {
        var spread = UInt64(value)
        spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF
        spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF
        spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F
        return digits(spread)
    }

    /// Each byte is 0 to 15; those above 9 get what lies between `9` and `a` on top.
    private static func digits(_ nibbles: UInt64) -> UInt64 {
        let isLetter = (nibbles &+ 6 &* ones) >> 4 & ones
        return nibbles &+ 0x30 &* ones &+ isLetter &* 39
    }

    /// Nil for what are not eight lower-case digits.
    static func value(of text: UInt64) -> UInt32? {
        let isLetter = text >> 6 & ones
        let nibbles = text & (0x0F &* ones) &+ isLetter &* 9
        guard nibbles & (0xF0 &* ones) == 0, digits(nibbles) == text else { return nil }
        var value = nibbles
        value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
        value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
        return UInt32(truncatingIfNeeded: value | value >> 16)
    }
}

/// Goes through the fields of a mark. Unsafe because it must not outlive the closure that was lent the bytes.
@unsafe private struct MarkFields {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = bytes }

    var isAtEnd: Bool { unsafe at >= bytes.count }
    private var isAtFieldEnd: Bool { unsafe isAtEnd || bytes[at] == UInt8(ascii: ";") }

    /// Whether a field of another name begins here, or an empty one.
    var isUnknown: Bool {
        unsafe isAtFieldEnd || bytes[at...].prefix { $0 != UInt8(ascii: ";") }.contains(UInt8(ascii: "="))
    }

    mutating func take(_ name: StaticString) -> Bool {
        let count = name.utf8CodeUnitCount
        guard unsafe bytes.count - at >= count else { return false }
        for index in 0..<count where unsafe bytes[at + index] != name.utf8Start[index] { return false }
        unsafe at += count
        return true
    }

    /// Goes to the next field. False when the value was longer than what was understood of it.
    mutating func takeEnd() -> Bool {
        let isWhole = unsafe isAtFieldEnd
        while unsafe !isAtFieldEnd { unsafe at += 1 }
        unsafe at += 1
        return isWhole
    }

    /// 32 digits.
    mutating func messageID() -> MessageID? {
        let start = unsafe at
        guard let high = unsafe hexadecimal(), let low = unsafe hexadecimal(), unsafe at - start == 32,
            unsafe isAtFieldEnd
        else { return nil }
        return MessageID(high: high, low: low)
    }

    mutating func stream() -> StreamID? {
        guard let node = unsafe hexadecimal(), unsafe take("."), let receiver = unsafe hexadecimal(),
            unsafe isAtFieldEnd
        else { return nil }
        return StreamID(node: node, receiver: receiver)
    }

    /// The next 1 to 16 digits.
    private mutating func hexadecimal() -> UInt64? {
        if unsafe bytes.count - at >= 16, let high = unsafe eightDigits(at), let low = unsafe eightDigits(at + 8) {
            unsafe at += 16
            return UInt64(high) << 32 | UInt64(low)
        }
        var value: UInt64 = 0
        let start = unsafe at
        while unsafe !isAtEnd, unsafe at - start < 16, let digit = unsafe digit(bytes[at]) {
            value = value << 4 | UInt64(digit)
            unsafe at += 1
        }
        return unsafe at > start ? value : nil
    }

    private func eightDigits(_ offset: Int) -> UInt32? {
        let text = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        return Hexadecimal.value(of: UInt64(bigEndian: text))
    }

    private func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// Nil for what is no number up to 255.
    mutating func decimal() -> UInt8? {
        var value = 0
        let start = unsafe at
        while unsafe !isAtFieldEnd {
            guard case UInt8(ascii: "0")...UInt8(ascii: "9") = unsafe bytes[at], unsafe at - start < 3 else {
                return nil
            }
            value = unsafe value * 10 + Int(bytes[at] - UInt8(ascii: "0"))
            unsafe at += 1
        }
        return unsafe at > start ? UInt8(exactly: value) : nil
    }
}
