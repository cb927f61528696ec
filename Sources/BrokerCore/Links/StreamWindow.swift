import MQTTCodec

/// The last messages of one stream that were taken over, so that one that is sent again is known, however long its
/// sender was away and whatever became of the session that it was sent in.
///
/// A sender has no more in flight than fit in here, and starts no further message before the answer to an earlier one is
/// on its disk: what it may send again is always among the last.
final class StreamWindow {
    /// As many as a peer that is a Drawbridge is sent at a time, at most.
    static let size = 1_024

    private var names = RecentMessages()
    fileprivate var used: UInt64 = 0

    func contains(_ id: MessageID) -> Bool { names.contains(id) }

    /// - Complexity: O(1) amortised.
    func insert(_ id: MessageID) {
        if names.youngCount >= Self.size { names.turn() }
        names.insert(id)
    }
}

/// The windows of all streams: the one that was silent for longest goes when there are too many. Whoever forgets a window
/// takes a message twice at worst, and never loses one.
struct StreamWindows {
    static let countMax = 1_024

    private var windows: [StreamID: StreamWindow] = [:]
    /// That of the last message: most follow one of their stream.
    private var last: (stream: StreamID, window: StreamWindow)?
    private var uses: UInt64 = 0

    mutating func contains(_ id: MessageID, of stream: StreamID) -> Bool { window(of: stream)?.contains(id) ?? false }

    /// - Complexity: O(1), and O(streams) when one has to go.
    mutating func insert(_ id: MessageID, of stream: StreamID) {
        let window = window(of: stream) ?? begin(stream)
        uses += 1
        window.used = uses
        window.insert(id)
    }

    private mutating func window(of stream: StreamID) -> StreamWindow? {
        if let last, last.stream == stream { return last.window }
        guard let window = windows[stream] else { return nil }
        last = (stream, window)
        return window
    }

    private mutating func begin(_ stream: StreamID) -> StreamWindow {
        let window = StreamWindow()
        if windows.count >= Self.countMax, let oldest = windows.min(by: { $0.value.used < $1.value.used }) {
            windows[oldest.key] = nil
        }
        windows[stream] = window
        last = (stream, window)
        return window
    }
}
