/// When messages should be sent: at equal distances, publishers in turn. The schedule does not wait for anybody, so a
/// broker that stalls is charged with every message that it delayed.
package struct SendSchedule: Sendable, Equatable {
    private let start: UInt64
    private let step: Double
    private let publishers: Int
    /// From one tick to the next at least: whoever is behind schedule would never read from its sockets otherwise, and
    /// take what waits there for a fault of the broker.
    private static let pause: UInt64 = 50_000

    /// - Parameters:
    ///   - start: when the first message is due, in nanoseconds.
    ///   - rate: messages a second of all publishers together, 0.0001 to 100,000,000 (`BenchArguments` sees to it).
    ///   - publishers: 1 or more.
    package init(start: UInt64, rate: Double, publishers: Int) {
        self.start = start
        self.step = 1e9 / rate
        self.publishers = publishers
    }

    /// When message number `turn` over all publishers is due.
    package func due(_ turn: UInt64) -> UInt64 { start + UInt64(Double(turn) * step) }

    /// When to send again: when message number `turn` is due, and what is due sooner goes with it.
    ///
    /// - Parameter now: the end of the last tick.
    package func tick(_ turn: UInt64, now: UInt64) -> UInt64 { max(due(turn), now + Self.pause) }

    /// When a publisher's message is due.
    package func due(publisher: Int, sequence: UInt64) -> UInt64 {
        due(sequence * UInt64(publishers) + UInt64(publisher))
    }

    /// Messages of a publisher that are due by `now`.
    package func count(publisher: Int, now: UInt64) -> UInt64 {
        guard now >= start else { return 0 }
        let turns = UInt64(Double(now - start) / step) + 1
        let position = UInt64(publisher)
        guard turns > position else { return 0 }
        return (turns - position - 1) / UInt64(publishers) + 1
    }
}
