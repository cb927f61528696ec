package import BrokerCore

/// A bucket that leaks at a steady rate: what is poured in may fill it at once, and beyond that only as fast as it leaks.
///
/// What overflows is not thrown away but owed: whoever pours waits until the bucket is within its measure again, so that
/// over any longer time the rate holds exactly, however large a single portion was.
package struct LeakyBucket: Sendable {
    private let perSecond: Double
    private let capacity: Double
    private var level = 0.0
    private var seenAt: Instant

    /// - Parameters:
    ///   - perSecond: 1 or more.
    ///   - capacity: what fits at once.
    package init(perSecond: Int, capacity: Int, now: Instant) {
        self.perSecond = Double(max(1, perSecond))
        self.capacity = Double(max(1, capacity))
        self.seenAt = now
    }

    package mutating func pour(_ amount: Int, now: Instant) {
        leak(now)
        level += Double(amount)
    }

    /// How long until it is within its measure; zero when it is.
    ///
    /// Never for a few microseconds: a hundredth of a second, or half of the measure, is waited for at once, so that a
    /// fast stream is not cut into single packets with a timer for each.
    package mutating func wait(now: Instant) -> Duration {
        leak(now)
        guard level > capacity else { return .zero }
        let drop = max(level - capacity, min(capacity / 2, perSecond / 100))
        return .nanoseconds(Int64((drop / perSecond * 1_000_000_000).rounded(.up)))
    }

    private mutating func leak(_ now: Instant) {
        guard now > seenAt else { return }
        let (seconds, attoseconds) = now.since(seenAt).components
        level = max(0, level - perSecond * (Double(seconds) + Double(attoseconds) / 1e18))
        seenAt = now
    }
}
