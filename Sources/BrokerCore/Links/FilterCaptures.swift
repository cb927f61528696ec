package import MQTTCodec

/// What the wildcards of a filter matched in a topic, as places in its bytes: nothing is copied and nothing allocated.
package struct FilterCaptures {
    /// Topics have 65,535 bytes at most, so that a place fits 16 bits. Number 0 is `#`, 1 to 9 are the `+` in order.
    private var starts = SIMD16<UInt16>()
    private var ends = SIMD16<UInt16>()
    /// False where `a/#` matched `a`.
    private var hasTail = false

    static let levelsMax = 9

    /// What the n-th `+` matched; it may be empty, as a level may.
    package func level(_ number: Int) -> Range<Int> { range(number) }

    /// What `#` matched; nil where it matched nothing, not even an empty level.
    package var tail: Range<Int>? { hasTail ? range(0) : nil }

    private func range(_ number: Int) -> Range<Int> {
        guard number >= 0, number <= Self.levelsMax else { return 0..<0 }
        return Int(starts[number])..<Int(ends[number])
    }

    /// Nil when the filter does not match.
    ///
    /// - Complexity: O(bytes of both), no allocation. `TopicFilter.matches` is what it is tested against.
    package init?(_ topic: MQTTString, matching filter: TopicFilter) {
        guard topic.count <= CodecLimits.fieldBytesMax else { return nil }
        let isMatch = unsafe topic.withBytes { topic in
            unsafe filter.pattern.withBytes { unsafe match($0, topic) }
        }
        guard isMatch else { return nil }
    }

    private mutating func match(_ filter: UnsafeRawBufferPointer, _ topic: UnsafeRawBufferPointer) -> Bool {
        let slash = UInt8(ascii: "/")
        // [5:MQTT-4.7.2-1] [311:MQTT-4.7.2-1] `$SYS/...` is not for filters that begin with a wildcard.
        if let first = unsafe topic.first, first == UInt8(ascii: "$"), let wanted = unsafe filter.first,
            wanted == UInt8(ascii: "+") || wanted == UInt8(ascii: "#")
        {
            return false
        }
        var here = 0
        var there = 0
        var plus = 0
        while here < filter.count {
            let wanted = unsafe filter[here]
            if wanted == UInt8(ascii: "#") {
                hasTail = true
                set(0, there, topic.count)
                return true
            }
            if wanted == UInt8(ascii: "+") {
                let start = there
                while there < topic.count, unsafe topic[there] != slash { there += 1 }
                plus += 1
                if plus <= Self.levelsMax { set(plus, start, there) }
                here += 1
                continue
            }
            if there == topic.count {
                // `sport/#` matches `sport` (§4.7.1.2); a `#` is always the last byte.
                return unsafe wanted == slash && here + 2 == filter.count && filter[here + 1] == UInt8(ascii: "#")
            }
            // [5:MQTT-4.7.3-4] [311:MQTT-4.7.3-4] bytes as they were sent.
            if unsafe topic[there] != wanted { return false }
            here += 1
            there += 1
        }
        return there == topic.count
    }

    private mutating func set(_ number: Int, _ start: Int, _ end: Int) {
        starts[number] = UInt16(truncatingIfNeeded: start)
        ends[number] = UInt16(truncatingIfNeeded: end)
    }
}
