package import BrokerCore

/// Measures what one connection sends and says when it has to be left unread for a while.
package struct Throttle: Sendable {
    private var bytes: LeakyBucket?
    private var messages: LeakyBucket?

    /// Nil when nothing is limited.
    package init?(_ rate: RateLimit, now: Instant) {
        guard rate.limitsTraffic else { return nil }
        bytes = rate.bytesPerSecond.map {
            LeakyBucket(perSecond: $0, capacity: rate.burstBytes ?? $0, now: now)
        }
        messages = rate.messagesPerSecond.map { LeakyBucket(perSecond: $0, capacity: $0, now: now) }
    }

    package mutating func received(bytes count: Int, now: Instant) { bytes?.pour(count, now: now) }

    package mutating func receivedMessage(now: Instant) { messages?.pour(1, now: now) }

    /// How long the connection is not read from; zero when it goes on.
    package mutating func pause(now: Instant) -> Duration {
        max(bytes?.wait(now: now) ?? .zero, messages?.wait(now: now) ?? .zero)
    }
}
