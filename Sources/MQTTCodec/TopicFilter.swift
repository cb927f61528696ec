/// A validated topic filter of a SUBSCRIBE or UNSUBSCRIBE (§4.7), `$share/NAME/FILTER` included (§4.8.2).
///
/// Shared subscriptions belong to version 5; like most brokers we understand them in version 3 too.
package struct TopicFilter: Sendable {
    /// The filter as it was sent; UNSUBSCRIBE compares this [5:MQTT-3.10.4-1].
    package let text: MQTTString
    /// NAME of `$share/NAME/FILTER`, nil for all other filters.
    package let shareName: MQTTString?
    /// What topics are matched with: FILTER of `$share/NAME/FILTER`, otherwise the whole text.
    package let pattern: MQTTString
    /// Whether `pattern` contains `+` or `#`.
    package let hasWildcard: Bool

    package var isShared: Bool { shareName != nil }

    /// - Throws: reason 0x8F with the statement that is broken.
    package init(validating text: MQTTString, maximumLevels: Int = 128) throws(DecodeError) {
        // [5:MQTT-4.7.3-1] [311:MQTT-4.7.3-1]
        if text.isEmpty { throw Self.invalid("[5:MQTT-4.7.3-1]", "empty topic filter") }
        // [5:MQTT-4.7.3-3] [311:MQTT-4.7.3-3]
        if text.count > CodecLimits.fieldBytesMax {
            throw Self.invalid("[5:MQTT-4.7.3-3]", "topic filter above 65,535 bytes")
        }
        let bytes = text.utf8
        self.text = text
        if bytes.starts(with: Self.sharePrefix) {
            let name = bytes.dropFirst(Self.sharePrefix.count).prefix { $0 != UInt8(ascii: "/") }
            // [5:MQTT-4.8.2-1] one character or more.
            if name.isEmpty { throw Self.invalid("[5:MQTT-4.8.2-1]", "empty share name") }
            // [5:MQTT-4.8.2-2] free of + and #, followed by a slash and then a filter.
            if name.contains(where: { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }) {
                throw Self.invalid("[5:MQTT-4.8.2-2]", "wildcard in a share name")
            }
            let pattern = bytes[name.endIndex...].dropFirst()
            if pattern.isEmpty { throw Self.invalid("[5:MQTT-4.8.2-2]", "share name without a topic filter") }
            self.shareName = MQTTString(String(Substring(name)))
            self.pattern = MQTTString(String(Substring(pattern)))
        } else {
            self.shareName = nil
            self.pattern = text
        }
        let survey = unsafe pattern.withBytes { unsafe TextSurvey($0) }
        // [5:MQTT-4.7.3-2] [311:MQTT-4.7.3-2]
        if survey.hasNull { throw Self.invalid("[5:MQTT-4.7.3-2]", "U+0000 in a topic filter") }
        if survey.levels > maximumLevels { throw Self.invalid("[5:§4.7.1.1]", "too many levels in a topic filter") }
        self.hasWildcard = survey.hasWildcard
        if survey.hasWildcard { try Self.validateWildcards(of: pattern) }
    }

    /// For filters of configuration and tests; nil where `init(validating:)` throws.
    package init?(_ text: String) {
        do throws(DecodeError) {
            try self.init(validating: MQTTString(text))
        } catch {
            return nil
        }
    }

    /// Whether a message to `topic` is for this filter: §4.7 as it is written, level by level. The subscription
    /// index answers the same question for many filters at once and is tested against this.
    ///
    /// - Complexity: O(bytes of both).
    package func matches(_ topic: MQTTString) -> Bool {
        // [5:MQTT-4.7.2-1] [311:MQTT-4.7.2-1] `$SYS/...` is not for filters that begin with a wildcard.
        if topic.utf8.first == UInt8(ascii: "$"),
            let first = pattern.utf8.first, first == UInt8(ascii: "+") || first == UInt8(ascii: "#")
        {
            return false
        }
        var levels = topic.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).makeIterator()
        for wanted in pattern.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            // `#` stands for the rest, and for its parent level: `sport/#` matches `sport` (§4.7.1.2).
            if wanted.elementsEqual(CollectionOfOne(UInt8(ascii: "#"))) { return true }
            guard let level = levels.next() else { return false }
            if wanted.elementsEqual(CollectionOfOne(UInt8(ascii: "+"))) { continue }
            // [5:MQTT-4.7.3-4] [311:MQTT-4.7.3-4] bytes as they were sent.
            if !wanted.elementsEqual(level) { return false }
        }
        return levels.next() == nil
    }

    private static let sharePrefix = Array("$share/".utf8)

    private static func invalid(_ statement: String, _ explanation: String) -> DecodeError {
        DecodeError(reason: .topicFilterInvalid, statement: statement, explanation: explanation, offset: 0)
    }

    private static func validateWildcards(of pattern: MQTTString) throws(DecodeError) {
        let bytes = pattern.utf8
        var previous = UInt8(ascii: "/")
        var index = bytes.startIndex
        while index != bytes.endIndex {
            let byte = bytes[index]
            let next = bytes.index(after: index)
            switch byte {
            case UInt8(ascii: "#"):
                // [5:MQTT-4.7.1-1] [311:MQTT-4.7.1-2] alone in its level, which is the last.
                if previous != UInt8(ascii: "/") || next != bytes.endIndex {
                    throw invalid("[5:MQTT-4.7.1-1]", "# is not alone in the last level")
                }
            case UInt8(ascii: "+"):
                // [5:MQTT-4.7.1-2] [311:MQTT-4.7.1-3] alone in its level.
                if previous != UInt8(ascii: "/") || (next != bytes.endIndex && bytes[next] != UInt8(ascii: "/")) {
                    throw invalid("[5:MQTT-4.7.1-2]", "+ is not alone in its level")
                }
            default: break
            }
            previous = byte
            index = next
        }
    }
}

extension TopicFilter: Hashable {
    /// All else follows from the text.
    package static func == (a: TopicFilter, b: TopicFilter) -> Bool { a.text == b.text }
    package func hash(into hasher: inout Hasher) { hasher.combine(text) }
}

extension TopicFilter: CustomStringConvertible {
    package var description: String { text.string }
}
