import BrokerCore
import Spool

/// What `GET /admin/v1/links` answers and `drawbridge ctl links` shows. Ages are whole seconds.
package struct LinksOverview: AdminDocument {
    package struct Link: Codable, Sendable, Equatable {
        package var name: String
        /// In the words of `/healthz`.
        package var state: String
        /// For how long it has been that; "live" and "catching up" are one here.
        package var stateSeconds: Int
        package var connected: Bool
        /// Where it is connected.
        package var address: String?
        /// Why it is not live, or was not lately.
        package var lastError: String?
        /// Messages that wait for the upstream, and their bytes: topics, payloads and properties.
        package var queue: Int
        package var queueBytes: Int
        /// Age of the oldest of them.
        package var oldestSeconds: Int?
        /// At the pace of the moment; nil when nothing waits, or nothing moves.
        package var drainSeconds: Int?
        /// Messages a second, over the last seconds.
        package var sentPerSecond: Double
        package var receivedPerSecond: Double
        /// Messages since the start; what was sent again counts again.
        package var sent: UInt64
        package var received: UInt64
        /// What the upstream acknowledged of what is stored.
        package var delivered: UInt64
        package var dropped: UInt64
        /// How long the last probe took that came back; nil where none does.
        package var probeMilliseconds: Int?
    }

    /// In the order of the configuration.
    package var links: [Link]

    package init(links: [Link]) { self.links = links }
}

extension LinksOverview {
    init(_ accounts: [LinkAccount], _ arrivals: [ReceiverID: Timestamp], now: Timestamp) {
        links = accounts.map { account in
            Link(account, oldest: arrivals[account.receiver], now: now)
        }
    }
}

extension LinksOverview.Link {
    init(_ account: LinkAccount, oldest: Timestamp?, now: Timestamp) {
        let tally = account.tally
        let pace = account.pace.sentPerSecond
        self.init(
            name: account.name,
            state: account.state.rawValue,
            stateSeconds: now.seconds(since: account.since),
            connected: account.isConnected,
            address: account.peer,
            lastError: account.lastError,
            queue: tally.waiting,
            queueBytes: tally.bytes,
            oldestSeconds: tally.waiting > 0 ? oldest.map { now.seconds(since: $0) } : nil,
            drainSeconds: tally.waiting > 0 && pace > 0
                ? Int(min(1e9, Double(tally.waiting) / pace).rounded(.up)) : nil,
            sentPerSecond: Self.tenths(pace),
            receivedPerSecond: Self.tenths(account.pace.receivedPerSecond),
            sent: account.traffic.sent,
            received: account.traffic.received,
            delivered: tally.delivered,
            dropped: tally.dropped.total,
            probeMilliseconds: account.probeDelay.map { delay in
                let (seconds, attoseconds) = delay.components
                return Int(seconds * 1_000 + attoseconds / 1_000_000_000_000_000)
            }
        )
    }

    private static func tenths(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}
