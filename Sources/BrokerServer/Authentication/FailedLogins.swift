package import BrokerCore

/// Counts failed logins for each address and each user, and says how long the next refusal waits.
///
/// The first failures cost nothing, since people mistype. From then on the pause doubles up to a cap that stays within
/// the time that a client gives a CONNECT. A success clears both counts; so does a quiet quarter of an hour. The answer
/// waits, not a thread: what keeps guesses few is the price of each, and the queue in which an address stands behind
/// itself.
package struct FailedLogins {
    struct Count: Equatable {
        var failures: Int
        var last: Instant
    }

    private var addresses = RecentTable<NetworkAddress, Count>(countMax: Self.countMax)
    private var users = RecentTable<[UInt8], Count>(countMax: Self.countMax)

    package static let countMax = 10_000
    package static let freeFailures = 2
    package static let firstPause = Duration.milliseconds(250)
    package static let pauseMax = Duration.seconds(4)
    package static let memory = Duration.seconds(900)

    package init() {}

    /// Entries that are kept, for whoever wants to see that they are bounded.
    package var count: Int { addresses.count + users.count }

    /// A login was refused.
    ///
    /// - Parameters:
    ///   - address: nil when the transport has none.
    ///   - user: the name that was said; nil when there was none.
    /// - Returns: how long the answer waits, and the larger of the two counts.
    package mutating func failed(address: NetworkAddress?, user: String?, now: Instant) -> (
        pause: Duration, failures: Int
    ) {
        var failures = 0
        if let key = address?.network {
            addresses[key] = Self.next(addresses[key], now)
            failures = max(failures, addresses[key]?.failures ?? 0)
        }
        if let user {
            let key = Self.key(of: user)
            users[key] = Self.next(users[key], now)
            failures = max(failures, users[key]?.failures ?? 0)
        }
        return (Self.pause(after: failures), failures)
    }

    package mutating func succeeded(address: NetworkAddress?, user: String?) {
        if let address { addresses[address.network] = nil }
        if let user { users[Self.key(of: user)] = nil }
    }

    /// Names of the network may be long; those that begin with the same hundred bytes share a count.
    private static func key(of user: String) -> [UInt8] { Array(user.utf8.prefix(100)) }

    private static func next(_ count: Count?, _ now: Instant) -> Count {
        guard let count, now.since(count.last) < memory else { return Count(failures: 1, last: now) }
        return Count(failures: min(count.failures + 1, 1_000_000), last: now)
    }

    private static func pause(after failures: Int) -> Duration {
        guard failures > freeFailures else { return .zero }
        return min(firstPause * (1 << min(failures - freeFailures - 1, 10)), pauseMax)
    }
}
