/// What moved over a link since the node was started, and how fast it moves.
package struct LinkTraffic: Sendable, Equatable {
    /// Messages that were sent, each as often as it was sent, and those that came.
    package internal(set) var sent: UInt64 = 0
    package internal(set) var received: UInt64 = 0

    var moved: UInt64 { sent &+ received }

    package init(sent: UInt64 = 0, received: UInt64 = 0) {
        self.sent = sent
        self.received = received
    }
}

/// Messages a second, over the last seconds that somebody looked at.
package struct LinkPace: Sendable {
    package private(set) var sentPerSecond = 0.0
    package private(set) var receivedPerSecond = 0.0
    private var before = LinkTraffic()
    private var lookedAt: Instant?

    package init() {}

    /// Two looks within a second are one.
    package mutating func look(at traffic: LinkTraffic, _ now: Instant) {
        guard let last = lookedAt else {
            (before, lookedAt) = (traffic, now)
            return
        }
        let (seconds, attoseconds) = now.since(last).components
        let time = Double(seconds) + Double(attoseconds) / 1e18
        guard time >= 1 else { return }
        sentPerSecond = Double(traffic.sent &- before.sent) / time
        receivedPerSecond = Double(traffic.received &- before.received) / time
        (before, lookedAt) = (traffic, now)
    }
}
