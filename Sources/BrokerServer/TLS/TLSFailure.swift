import Certificates
import Foundation
import NIOCore
import NIOSSL

/// Errors of handshakes in the words of the people who can mend them.
enum TLSFailure {
    /// Nobody spoke TLS: a port scan, a health check of a load balancer, a client that left. Not worth a line.
    static func isSilence(_ error: any Error) -> Bool {
        switch error {
        case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])), NIOSSLError.uncleanShutdown: true
        default: false
        }
    }

    /// - Parameter peer: the certificate that the other side showed, as far as it is known.
    static func text(_ error: any Error, peer: NIOSSLCertificate? = nil) -> String {
        if let error = error as? NIOSSLExtraError {
            if error == .failedToValidateHostname { return wrongName("") }
            return error.description
        }
        if case NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])) = error {
            return "the other side closed the connection during the handshake"
        }
        if let error = error as? IOError {
            return "the connection broke during the handshake: \(String(cString: strerror(error.errnoCode)))"
        }
        guard let reason = reason(in: "\(error)") else { return "\(error)" }
        if reason == "CERTIFICATE_VERIFY_FAILED" { return verification(peer) }
        return meanings[reason] ?? reason.lowercased().replacing("_", with: " ")
    }

    /// What the other side's alert says; nil for any other error.
    static func alert(_ error: any Error) -> String? {
        guard error is BoringSSLError, let reason = reason(in: "\(error)"), reason.contains("_ALERT_") else {
            return nil
        }
        return meanings[reason] ?? "the other side ended TLS: " + reason.lowercased().replacing("_", with: " ")
    }

    /// BoringSSL's words for what operators meet.
    private static let meanings = [
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no client certificate was shown",
        "HTTP_REQUEST": "plain HTTP where TLS is spoken",
        "WRONG_VERSION_NUMBER": "the other side does not speak TLS here",
        "UNSUPPORTED_PROTOCOL": "the other side speaks only older versions of TLS",
        "TLSV1_ALERT_PROTOCOL_VERSION": "the other side refuses our versions of TLS",
        "NO_SHARED_CIPHER": "no cipher in common",
        "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the authority of our certificate",
        "SSLV3_ALERT_BAD_CERTIFICATE": "the other side refuses our certificate",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the other side says that our certificate has expired",
        "SSLV3_ALERT_CERTIFICATE_REVOKED": "the other side says that our certificate is revoked",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side does not accept our certificate",
        "SSLV3_ALERT_HANDSHAKE_FAILURE": "the other side refuses the handshake",
        "TLSV1_ALERT_CERTIFICATE_REQUIRED": "the other side wants a client certificate",
        "TLSV1_ALERT_ACCESS_DENIED": "the other side denies access",
        "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "the other side does not serve the protocol that ALPN names",
    ]

    private static func reason(in text: String) -> String? {
        text.firstMatch(of: /OPENSSL_internal:([A-Z0-9_]+)/).map { String($0.1) }
    }

    static func wrongName(_ expected: String) -> String {
        "the certificate does not name the host that was dialled"
            + (expected.isEmpty ? "" : ", \"\(expected)\"") + serverNameAdvice
    }

    /// Apart, since the command line has no such setting.
    static let serverNameAdvice = "; tls.server_name says which name to expect"

    /// BoringSSL keeps to itself why it did not trust; what can be told from the certificate is said.
    private static func verification(_ peer: NIOSSLCertificate?) -> String {
        guard let peer else {
            return "the certificate is not trusted: its authority is unknown, or it is not valid now"
        }
        var facts: CertificateFacts?
        do {
            facts = CertificateFacts(der: try peer.toDERBytes())
        } catch {
            return "the certificate is not trusted, and cannot be read"
        }
        guard let facts else { return "the certificate is not trusted, and cannot be read" }
        let now = Int64(Date().timeIntervalSince1970)
        if facts.notAfter < now { return "the certificate of \(facts.subject) has expired on \(facts.expiryDate)" }
        if facts.notBefore > now { return "the certificate of \(facts.subject) is not valid yet; is the clock right?" }
        return "the certificate of \(facts.subject) is not trusted: its authority is \(facts.issuer)"
    }
}

extension ChannelHandlerContext {
    /// What the other side showed in its handshake; nil when it showed none.
    var peerCertificate: NIOSSLCertificate? {
        do {
            return try pipeline.syncOperations.nioSSL_peerCertificate()
        } catch {
            return nil
        }
    }
}
