/// A UTF-8 string of the wire (§1.5.4), compared and hashed byte by byte.
///
/// Swift's `String` treats canonically equivalent sequences as equal; MQTT does not: topics and client ids match
/// as they were sent, without normalisation [5:MQTT-4.7.3-4] [311:MQTT-4.7.3-4]. Every dictionary that is keyed by
/// a string from the network uses this type. Up to 15 bytes live inside the value, without an allocation.
package struct MQTTString: Sendable {
    package let string: String

    /// Takes a string as it is. What came from the network was validated by the decoder before.
    package init(_ string: String) {
        var string = string
        // Bridged strings of Apple platforms may keep UTF-16; the functions below rely on bytes that lie in a row.
        string.makeContiguousUTF8()
        self.string = string
    }

    /// Takes bytes of the wire; nil when they are not UTF-8 [5:MQTT-1.5.4-1] [311:MQTT-1.5.3-1]. Surrogates and
    /// overlong forms are not UTF-8. U+0000 is what `survey` found, U+FEFF stays [5:MQTT-1.5.4-3]
    /// [311:MQTT-1.5.3-3].
    ///
    /// - Complexity: O(bytes); no allocation up to 15 bytes. ASCII, which most topics are, takes a shorter way: the
    ///   general validation is a generic function of the standard library that is not specialised for us.
    init?(validating bytes: UnsafeRawBufferPointer, _ survey: TextSurvey) {
        let text = unsafe bytes.withMemoryRebound(to: UInt8.self) { (units) -> String? in
            survey.isASCII
                ? unsafe String(decoding: units, as: UTF8.self) : unsafe String(validating: units, as: UTF8.self)
        }
        guard let text else { return nil }
        self.string = text
    }

    package var utf8: String.UTF8View { string.utf8 }
    /// Length in bytes of UTF-8.
    package var count: Int { string.utf8.count }
    package var isEmpty: Bool { string.isEmpty }

    /// Calls `body` with the bytes, without copying those of strings longer than 15 bytes.
    @inline(__always)
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        unsafe string.utf8.span.withUnsafeBytes { unsafe body($0) }
    }

    /// Whether it holds code points that the standards advise against: control characters and non-characters
    /// [5:§1.5.4] [311:§1.5.3].
    package var hasControlCharacters: Bool {
        string.unicodeScalars.contains { scalar in
            switch scalar.value {
            case 0...0x1F, 0x7F...0x9F, 0xFDD0...0xFDEF: true
            // The last two of every plane.
            default: scalar.value & 0xFFFE == 0xFFFE
            }
        }
    }

    /// Whether these are the same bytes; for comparing with a field of a packet without making a string of it.
    package func isEqual(to bytes: UnsafeRawBufferPointer) -> Bool {
        guard count == bytes.count else { return false }
        return unsafe withBytes { unsafe areEqual($0, bytes) }
    }
}

extension MQTTString: Hashable {
    package static func == (a: MQTTString, b: MQTTString) -> Bool {
        // Mostly it is the same string, since the decoder keeps the topic of the PUBLISH before.
        if a.isSame(as: b) { return true }
        guard a.count == b.count else { return false }
        return unsafe a.withBytes { unsafe b.isEqual(to: $0) }
    }

    /// Whether both are the same storage, or the same bytes within the value.
    private func isSame(as other: MQTTString) -> Bool {
        unsafe unsafeBitCast(string, to: (UInt64, UInt64).self)
            == unsafeBitCast(other.string, to: (UInt64, UInt64).self)
    }

    package func hash(into hasher: inout Hasher) {
        unsafe withBytes { unsafe hasher.combine(bytes: $0) }
    }
}

extension MQTTString: Comparable {
    /// By bytes, which for UTF-8 is the order of code points.
    package static func < (a: MQTTString, b: MQTTString) -> Bool {
        a.string.utf8.lexicographicallyPrecedes(b.string.utf8)
    }
}

extension MQTTString: ExpressibleByStringLiteral, CustomStringConvertible {
    package init(stringLiteral value: String) { self.init(value) }
    package var description: String { string }
}

/// Eight bytes at a time; both have the same count.
private func areEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    let count = a.count
    var index = 0
    while index + 8 <= count {
        let x = unsafe a.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        let y = unsafe b.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        if x != y { return false }
        index += 8
    }
    while index < count {
        if unsafe a[index] != b[index] { return false }
        index += 1
    }
    return true
}
