/// Waiting between tries to reach an upstream: decorrelated jitter, so that a hundred sites do not knock together.
///
/// Each wait is a random time between the base and three times the last wait, at most the cap.
package struct Backoff: Sendable {
    private let settings: BackoffSettings
    private var last: Duration

    package init(_ settings: BackoffSettings) {
        self.settings = settings
        self.last = settings.base
    }

    package mutating func next(_ random: inout RandomSource) -> Duration {
        let base = Self.milliseconds(settings.base)
        let upper = min(Self.milliseconds(settings.cap), max(base, Self.milliseconds(last) * 3))
        last = .milliseconds(Int64.random(in: min(base, upper)...upper, using: &random))
        return last
    }

    /// About the cap, for what trying again changes nothing about.
    package mutating func longest(_ random: inout RandomSource) -> Duration {
        last = settings.cap
        let cap = Self.milliseconds(settings.cap)
        return .milliseconds(Int64.random(in: (cap - cap / 10)...cap, using: &random))
    }

    /// The connection lived long enough to be believed.
    package mutating func reset() { last = settings.base }

    private static func milliseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        // A day is longer than any sensible wait and keeps the arithmetic far from its edge.
        guard seconds < 86_400 else { return 86_400_000 }
        return max(1, seconds * 1_000 + attoseconds / 1_000_000_000_000_000)
    }
}
