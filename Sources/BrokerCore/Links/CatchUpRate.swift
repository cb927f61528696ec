/// `catchup_rate`: how many messages a second go out of what had waited when the line came back. What came later is not
/// counted, or a link that gets more than that would never be done.
package struct CatchUpRate: Sendable {
    private let perSecond: Int
    /// What waited then ends here.
    package private(set) var through: Position
    /// In billionths of a message.
    private var credit: Int64
    private var lookedAt: Instant

    /// - Parameter perSecond: 1 at least.
    package init(perSecond: Int, through: Position, _ now: Instant) {
        self.perSecond = max(1, perSecond)
        self.through = through
        self.credit = 1_000_000_000
        self.lookedAt = now
    }

    /// Takes the time for one message, if it may go.
    package mutating func take(at position: Position, _ now: Instant) -> Bool {
        guard position <= through else { return true }
        let passed = min(Int64(clamping: now.nanoseconds &- lookedAt.nanoseconds), 1_000_000_000)
        lookedAt = now
        // What was not used is worth a tenth of a second at most.
        let most = max(1_000_000_000, Int64(perSecond) * 100_000_000)
        credit = min(most, credit + max(0, passed) * Int64(perSecond))
        guard credit >= 1_000_000_000 else { return false }
        credit -= 1_000_000_000
        return true
    }

    /// When the next may go.
    package var next: Instant {
        let missing = max(0, 1_000_000_000 - credit)
        let wait = (missing + Int64(perSecond) - 1) / Int64(perSecond)
        // Not for each message of a fast one by itself.
        return lookedAt.advanced(by: .nanoseconds(max(wait, 5_000_000)))
    }
}
