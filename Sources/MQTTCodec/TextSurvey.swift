/// What one pass over the bytes of a string finds: all that strings, topic names and topic filters are judged by,
/// apart from being UTF-8.
struct TextSurvey {
    /// U+0000, which no string may hold [5:MQTT-1.5.4-2] [311:MQTT-1.5.3-2].
    private(set) var hasNull = false
    /// `+` or `#`.
    private(set) var hasWildcard = false
    /// U+0000 to U+001F or U+007F.
    private(set) var hasControl = false
    /// Slashes; there is one level more than that.
    private(set) var separators = 0

    /// No byte above 0x7F; then the bytes are UTF-8 without a further look.
    private(set) var isASCII = true

    init(_ bytes: UnsafeRawBufferPointer) {
        var index = 0
        let count = bytes.count
        var union: UInt8 = 0
        while index < count {
            let byte = unsafe bytes[index]
            union |= byte
            switch byte {
            case 0:
                hasNull = true
                hasControl = true
            case 1...0x1F, 0x7F: hasControl = true
            case UInt8(ascii: "/"): separators &+= 1
            case UInt8(ascii: "+"), UInt8(ascii: "#"): hasWildcard = true
            default: break
            }
            index &+= 1
        }
        isASCII = union & 0x80 == 0
    }

    /// Levels of a topic name or filter; a text without slash has one (§4.7.1.1).
    var levels: Int { separators + 1 }
}
