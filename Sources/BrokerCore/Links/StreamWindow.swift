import DequeModule

/// The last messages of one stream that were taken over, so that one that is sent again is known, however long its
/// sender was away and whatever became of the session that it was sent in.
///
/// A sender has no more in flight than fit in here, and starts no further message before the answer to an earlier one is
/// on its disk: what it may send again is always among the last.
struct StreamWindow {
    /// As many as a peer that is a Drawbridge is sent at a time, at most.
    static let size = 1_024

    private var order: Deque<MessageID> = []
    private var known: Set<MessageID> = []

    func contains(_ id: MessageID) -> Bool { known.contains(id) }

    /// - Complexity: O(1) amortised.
    mutating func insert(_ id: MessageID) {
        guard known.insert(id).inserted else { return }
        order.append(id)
        if order.count > Self.size, let oldest = order.popFirst() { known.remove(oldest) }
    }
}

/// The windows of all streams: the one that was silent for longest goes when there are too many. Whoever forgets a window
/// takes a message twice at worst, and never loses one.
struct StreamWindows {
    static let countMax = 1_024

    private struct Entry {
        var window = StreamWindow()
        var used: UInt64 = 0

        mutating func insert(_ id: MessageID, _ use: UInt64) {
            window.insert(id)
            used = use
        }
    }

    private var windows: [StreamID: Entry] = [:]
    private var uses: UInt64 = 0

    func contains(_ id: MessageID, of stream: StreamID) -> Bool { windows[stream]?.window.contains(id) ?? false }

    /// - Complexity: O(1), and O(streams) when one has to go.
    mutating func insert(_ id: MessageID, of stream: StreamID) {
        uses += 1
        windows[stream, default: Entry()].insert(id, uses)
        guard windows.count > Self.countMax, let oldest = windows.min(by: { $0.value.used < $1.value.used }) else {
            return
        }
        windows[oldest.key] = nil
    }
}
