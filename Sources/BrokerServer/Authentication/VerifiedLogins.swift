package import BrokerCore
import Crypto
import Foundation

/// Logins that were right a moment ago: HTTP brings user name and password with every request, and hashing them each
/// time would cost more than the message.
///
/// Kept is a keyed hash under a key of this process, never a password, for a minute. Everything goes when the users
/// change.
package struct VerifiedLogins {
    private var entries = RecentTable<[UInt8], Instant>(countMax: Self.countMax)
    private let key = SymmetricKey(size: .bits256)

    package static let countMax = 10_000
    package static let lifetime = Duration.seconds(60)

    package init() {}

    /// What a login is known by here.
    package func fingerprint(user: String, password: [UInt8]) -> [UInt8] {
        var code = HMAC<SHA256>(key: key)
        // The length keeps "ab" + "c" and "a" + "bc" apart.
        withUnsafeBytes(of: UInt64(user.utf8.count).littleEndian) { code.update(data: $0) }
        code.update(data: Array(user.utf8))
        code.update(data: password)
        return Array(code.finalize())
    }

    package func contains(_ fingerprint: [UInt8], now: Instant) -> Bool {
        guard let since = entries[fingerprint] else { return false }
        return now.since(since) < Self.lifetime
    }

    package mutating func insert(_ fingerprint: [UInt8], now: Instant) { entries[fingerprint] = now }

    package mutating func removeAll() { entries.removeAll() }

    package var count: Int { entries.count }
}
