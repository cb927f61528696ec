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
        string.makeContiguousUTF8()
        self.string = string
    }

    package var utf8: String.UTF8View { string.utf8 }
    /// Length in bytes of UTF-8.
    package var count: Int { string.utf8.count }
    package var isEmpty: Bool { string.isEmpty }
}

extension MQTTString: Hashable {
    package static func == (a: MQTTString, b: MQTTString) -> Bool {
        a.string.utf8.count == b.string.utf8.count && a.string.utf8.elementsEqual(b.string.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var string = string
        string.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension MQTTString: ExpressibleByStringLiteral, CustomStringConvertible {
    package init(stringLiteral value: String) { self.init(value) }
    package var description: String { string }
}
