extension BenchLoop {
    func snapshot() -> BenchSnapshot {
        BenchSnapshot(
            counters: counters,
            isDone: publishers.allSatisfy(\.isDone),
            isSettled: publishers.allSatisfy(\.isSettled),
            firstFailure: firstFailure,
            misfit: misfit,
            lastAcknowledged: lastAcknowledged,
            lastReceived: lastReceived
        )
    }

    func histograms() -> (latency: LatencyHistogram, connecting: LatencyHistogram, sendDelayMax: UInt64) {
        (latency, connecting, sendDelayMax)
    }

    /// Clients on their way out.
    var leavingCount: Int { connections.count { $0.state == .leaving } }

    /// What each publisher of this loop has sent, by its number; 0 for those of other loops.
    func sentByPublisher() -> [UInt64] { publishing.map { $0?.publisher?.sent ?? 0 } }

    /// - Parameter sent: by each publisher of the run.
    func lost(sent: [UInt64]) -> UInt64 {
        let alone = connections.reduce(UInt64(0)) { $0.addingSaturated($1.hearing?.lost(sent: sent) ?? 0) }
        return groups.reduce(alone) { $0.addingSaturated($1.lost(sent: sent)) }
    }
}

/// What a loop says of itself while it runs.
struct BenchSnapshot: Sendable {
    var counters: BenchCounters
    /// All publishers have sent what they were to send.
    var isDone: Bool
    /// All that was sent is acknowledged.
    var isSettled: Bool
    var firstFailure: String?
    /// What the broker does not allow and the run needs: it cannot take place.
    var misfit: String?
    // Nanoseconds of the monotonic clock; 0 for never.
    var lastAcknowledged: UInt64 = 0
    var lastReceived: UInt64 = 0
}
