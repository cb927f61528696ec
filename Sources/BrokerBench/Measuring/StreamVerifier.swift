/// Which messages of each publisher one subscriber has seen: finds what is missing, came twice, or came behind a later
/// one.
///
/// A stream in good order costs two integers; ranges are kept only for what was skipped, and forgotten when it comes.
package struct StreamVerifier: Sendable {
    package enum Verdict: Sendable, Equatable {
        /// The next one.
        case inOrder
        /// Later than the next: that many before it are missing so far.
        case ahead(skipped: UInt64)
        /// One that was missing: out of order.
        case late
        case duplicate
    }

    private struct Stream {
        var next: UInt64
        /// Numbers in the ranges of `gaps`.
        var missing: UInt64 = 0
    }

    /// Skipped ranges that are remembered for one stream. When one more comes the oldest counts as lost for good:
    /// whoever loses as much has a result already.
    package static let gapsMax = 16_384

    private var streams: [Stream]
    private var gaps: [Int: [Range<UInt64>]] = [:]

    /// - Parameter count: publishers that are heard; each begins with 0.
    package init(streams count: Int) {
        streams = Array(repeating: Stream(next: 0), count: count)
    }

    package var count: Int { streams.count }

    /// One more publisher, heard from `first` on.
    ///
    /// - Returns: its number.
    package mutating func add(first: UInt64) -> Int {
        streams.append(Stream(next: first))
        return streams.count - 1
    }

    /// - Parameter stream: below `count`.
    /// - Complexity: O(1) in order; O(ranges that are missing) otherwise.
    package mutating func received(_ sequence: UInt64, of stream: Int) -> Verdict {
        let next = streams[stream].next
        if sequence == next {
            streams[stream].next = next.addingSaturated(1)
            return .inOrder
        }
        guard sequence > next else { return fill(sequence, of: stream) ? .late : .duplicate }
        streams[stream].missing += sequence - next
        streams[stream].next = sequence.addingSaturated(1)
        remember(next..<sequence, of: stream)
        return .ahead(skipped: sequence - next)
    }

    /// Messages of a stream that never came.
    ///
    /// - Parameter sent: how many its publisher sent; nil when nobody knows, and only gaps count.
    package func lost(of stream: Int, sent: UInt64? = nil) -> UInt64 {
        let state = streams[stream]
        guard let sent, sent > state.next else { return state.missing }
        return state.missing + sent - state.next
    }

    /// Loss in all streams, as far as gaps show it.
    package var missing: UInt64 { streams.reduce(0) { $0.addingSaturated($1.missing) } }

    private mutating func remember(_ range: Range<UInt64>, of stream: Int) {
        var ranges = gaps[stream] ?? []
        if ranges.count >= Self.gapsMax { ranges.removeFirst(Self.gapsMax / 2) }
        ranges.append(range)
        gaps[stream] = ranges
    }

    /// Whether that number was missing.
    private mutating func fill(_ sequence: UInt64, of stream: Int) -> Bool {
        // The latest gaps first: what is out of order is rarely far behind.
        guard let index = gaps[stream]?.lastIndex(where: { $0.contains(sequence) }), let range = gaps[stream]?[index]
        else { return false }
        let rest = [range.lowerBound..<sequence, sequence + 1..<range.upperBound].filter { !$0.isEmpty }
        gaps[stream]?.replaceSubrange(index...index, with: rest)
        if gaps[stream]?.isEmpty == true { gaps[stream] = nil }
        streams[stream].missing -= 1
        return true
    }
}

extension UInt64 {
    /// Sums of what payloads claim end at the largest number: a broker may hand on any bytes.
    func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}
