package import BrokerCore

/// Lets through so many log lines in so much time and counts the rest: whoever fails to log in a thousand times a second
/// shall not fill the disk with it.
package struct LogRate {
    private var windowStart = Instant(nanoseconds: 0)
    private var shown = 0
    private var hidden = 0

    package static let linesMax = 10
    package static let window = Duration.seconds(10)

    package init() {}

    package mutating func permits(_ now: Instant) -> Bool {
        if now.since(windowStart) >= Self.window {
            windowStart = now
            shown = 0
        }
        guard shown < Self.linesMax else {
            hidden += 1
            return false
        }
        shown += 1
        return true
    }

    /// How many were not shown, once their window is over; 0 when there is nothing to say.
    package mutating func takeHidden(_ now: Instant) -> Int {
        guard hidden > 0, now.since(windowStart) >= Self.window else { return 0 }
        defer { hidden = 0 }
        return hidden
    }
}
