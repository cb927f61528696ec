package import Certificates

/// `[listener.tls]`: what makes a door speak TLS, and nothing else.
package struct ListenerTLSConfiguration: Sendable, Equatable {
    package enum ClientCertificate: String, Sendable, CaseIterable {
        /// None is asked for.
        case none
        /// One that is shown must be good.
        case optional
        /// Nobody comes in without.
        case required
    }

    package enum Version: String, Sendable, CaseIterable {
        case v1_2 = "1.2"
        case v1_3 = "1.3"
    }

    /// `cert`: required; the server's certificate as PEM, then those between it and its authority.
    package var certificatePath: String
    /// `key`: required; its private key as PEM, not encrypted.
    package var keyPath: String
    /// `client_ca`: the authorities of client certificates, as PEM; required unless `client_cert` is `none`.
    package var clientAuthorityPath: String?
    /// `client_cert`: default `none`.
    package var clientCertificate = ClientCertificate.none
    /// `username`: which name of its certificate is a client's user name; default `none`, nil here.
    package var username: CertificateName?
    /// `min_version`: default `1.2`.
    package var minimumVersion = Version.v1_2
    /// `watch`: new files are used for new handshakes, without a restart; default true.
    package var isWatched = true

    package init(certificatePath: String, keyPath: String) {
        self.certificatePath = certificatePath
        self.keyPath = keyPath
    }

    /// Whether clients would come in by one and not by the other, or under another name.
    func asksOtherThan(_ other: ListenerTLSConfiguration) -> Bool {
        clientCertificate != other.clientCertificate || clientAuthorityPath != other.clientAuthorityPath
            || username != other.username || minimumVersion != other.minimumVersion
    }
}
