package import Certificates
import Foundation

/// How long a certificate still lives, as operators are told.
extension CertificateFacts {
    /// Renewal takes people some days, and ACME clients renew a month before the end.
    package static let warningDays: Int64 = 21

    package enum Freshness: String, Sendable {
        case ok, expiring, expired
    }

    package func daysLeft(now: Int64) -> Int64 { (notAfter - now) / 86_400 }

    package func freshness(now: Int64) -> Freshness {
        if notAfter < now { return .expired }
        return daysLeft(now: now) < Self.warningDays ? .expiring : .ok
    }

    /// `2026-11-21T06:00:00Z`
    package var expiryDate: String {
        Date(timeIntervalSince1970: TimeInterval(notAfter)).formatted(.iso8601)
    }

    /// What to say about it; nil while it has time.
    package func expiryWarning(now: Int64) -> String? {
        switch freshness(now: now) {
        case .ok: nil
        case .expiring: "expires in \(daysLeft(now: now)) days, on \(expiryDate)"
        case .expired: "has expired on \(expiryDate): clients refuse it"
        }
    }
}
