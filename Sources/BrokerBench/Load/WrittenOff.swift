/// Which messages their publishers no longer wait for. Each loop has its own, for what its subscribers receive.
package struct WrittenOff: Sendable {
    /// By number of the publisher: messages below were written off.
    private var ends: [UInt64]

    package init(publishers: Int) { ends = Array(repeating: 0, count: publishers) }

    /// - Parameter end: the number behind the last message that was sent.
    package mutating func writeOff(_ publisher: Int, before end: UInt64) {
        guard ends.indices.contains(publisher) else { return }
        ends[publisher] = max(ends[publisher], end)
    }

    /// How many places in its publisher's window a message gives back. What was written off has given its own back
    /// already, and the window would grow with each stall.
    ///
    /// - Parameters:
    ///   - settles: messages that are waited for no longer: this one, and those that it skipped.
    ///   - sequence: of the message.
    /// - Complexity: O(1), no allocation.
    package func credit(_ settles: UInt64, through sequence: UInt64, of publisher: Int) -> UInt64 {
        guard ends.indices.contains(publisher) else { return settles }
        guard sequence >= ends[publisher] else { return 0 }
        return min(settles, (sequence - ends[publisher]).addingSaturated(1))
    }
}
