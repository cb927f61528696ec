/// When a queue is worth an alarm, as parts of its bounds (`queue.watermarks`): raised where a queue comes to `high` of
/// its messages or of its bytes, cleared where it is below `low` of both. What lies between keeps an alarm from being
/// raised and cleared with every message.
package struct Watermarks: Sendable, Hashable {
    package var low: Double
    package var high: Double

    package static let standard = Watermarks(low: 0.2, high: 0.6)

    /// - Parameters:
    ///   - low: more than 0.
    ///   - high: more than `low`, 1 at most.
    package init(low: Double, high: Double) {
        self.low = low
        self.high = high
    }
}

/// The watermarks of one pair of bounds in messages and bytes, so that asking costs comparisons of integers.
package struct LevelMarks: Sendable, Hashable {
    private let highMessages: Int
    private let highBytes: Int
    private let lowMessages: Int
    private let lowBytes: Int

    package init(messagesMax: Int, bytesMax: Int, _ marks: Watermarks) {
        highMessages = Self.part(marks.high, of: messagesMax)
        highBytes = Self.part(marks.high, of: bytesMax)
        lowMessages = Self.part(marks.low, of: messagesMax)
        lowBytes = Self.part(marks.low, of: bytesMax)
    }

    init(_ settings: BrokerSettings) {
        self.init(
            messagesMax: settings.queueMessagesMax, bytesMax: settings.queueBytesMax, settings.watermarks)
    }

    /// Whether an alarm is called for.
    ///
    /// - Parameter wasHigh: whether it was.
    @inline(__always)
    package func isHigh(messages: Int, bytes: Int, wasHigh: Bool) -> Bool {
        wasHigh
            ? messages >= lowMessages || bytes >= lowBytes
            : messages >= highMessages || bytes >= highBytes
    }

    /// At least one, so that an empty queue is always low.
    private static func part(_ part: Double, of bound: Int) -> Int {
        Int(exactly: (Double(bound) * part).rounded(.up)).map { max(1, $0) } ?? .max
    }
}

/// How much waits where a watermark was passed.
package struct QueueLevel: Sendable, Hashable {
    /// Above the high watermark, and not below the low one since.
    package var isHigh: Bool
    package var messages: Int
    package var bytes: Int

    package init(isHigh: Bool, messages: Int, bytes: Int) {
        self.isHigh = isHigh
        self.messages = messages
        self.bytes = bytes
    }
}
