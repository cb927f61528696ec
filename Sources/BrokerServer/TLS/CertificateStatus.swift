package import Certificates

/// A certificate that this node shows, as `GET /healthz` tells of it.
package struct CertificateStatus: Sendable, Equatable {
    /// "listener mqtts" or "link hq".
    package let owner: String
    package let facts: CertificateFacts
    /// Seconds since 1970, when this was asked.
    package let now: Int64

    package init(owner: String, facts: CertificateFacts, now: Int64) {
        self.owner = owner
        self.facts = facts
        self.now = now
    }

    package var freshness: CertificateFacts.Freshness { facts.freshness(now: now) }
    package var daysLeft: Int64 { facts.daysLeft(now: now) }

    /// `listener mqtts: certificate of CN=edge, by CN=our CA, until 2029-02-23T04:52:05Z (825 days)`
    package var summary: String {
        let left = freshness == .expired ? "EXPIRED" : "\(daysLeft) days"
        return "\(owner): certificate of \(facts.subject), by \(facts.issuer), until \(facts.expiryDate) (\(left))"
    }
}
