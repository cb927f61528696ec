package import Crypto
import Foundation
import SwiftASN1
package import X509

/// A certificate with the private key that belongs to it.
package struct CertificatePair: Sendable {
    package let certificate: Certificate
    package let key: P256.Signing.PrivateKey

    /// - Returns: the certificate as PEM, with a line end.
    package func certificatePEM() throws -> String { try certificate.serializeAsPEM().pemString + "\n" }

    /// The key as PEM (PKCS#8), with a line end; not encrypted, since a server has to start by itself.
    package var keyPEM: String { key.pemRepresentation + "\n" }
}

/// A small authority of one's own: it signs the certificates of one site's servers and clients.
///
/// All keys are P-256, which every TLS library speaks and which makes handshakes cheap for small machines.
package struct CertificateAuthority: Sendable {
    package let pair: CertificatePair

    /// An edge device whose clock is a little behind must not refuse what was made a moment ago.
    private static let clockSlack: Int64 = 3_600
    private static let day: Int64 = 86_400
    /// The authority outlives what it signs several times over.
    package static let authorityDays = 3_650
    /// Apple's devices refuse certificates of servers that are valid for longer, also those of private authorities.
    package static let daysMax = 825

    /// Makes a new authority.
    ///
    /// - Parameters:
    ///   - name: its common name; people see it where they choose whom to trust.
    ///   - now: seconds since 1970, here and below.
    package init(name: String, now: Int64) throws {
        let key = P256.Signing.PrivateKey()
        let subject = try DistinguishedName { CommonName(name) }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: Self.date(now - Self.clockSlack),
            notValidAfter: Self.date(now + Int64(Self.authorityDays) * Self.day),
            issuer: subject,
            subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                // No further authorities below this one.
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
            },
            issuerPrivateKey: Certificate.PrivateKey(key)
        )
        pair = CertificatePair(certificate: certificate, key: key)
    }

    /// Why two files are not an authority's.
    package enum Problem: Error, CustomStringConvertible {
        case unreadable(String)
        case notItsKey

        package var description: String {
            switch self {
            case .unreadable(let what): "the authority's \(what) cannot be read as PEM"
            case .notItsKey: "the authority's key is not that of its certificate"
            }
        }
    }

    /// Takes up one that was made before.
    package init(certificatePEM: String, keyPEM: String) throws(Problem) {
        let certificate: Certificate
        let key: P256.Signing.PrivateKey
        do { certificate = try Certificate(pemEncoded: certificatePEM) } catch { throw .unreadable("certificate") }
        do { key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM) } catch { throw .unreadable("key") }
        guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else { throw .notItsKey }
        pair = CertificatePair(certificate: certificate, key: key)
    }

    /// A pair for a server, and for its links to others.
    ///
    /// - Parameters:
    ///   - hosts: names and addresses under which clients reach it; the first is the common name. Not empty.
    ///   - days: for how long it is valid.
    package func server(hosts: [String], days: Int, now: Int64) throws -> CertificatePair {
        let names = try hosts.map { try CertificateHost($0).generalName }
        // Upper bound of a common name (RFC 5280, appendix A); who reads it is a person, clients read the other names.
        let commonName = String(hosts.first?.prefix(64) ?? "server")
        return try issue(
            subject: try DistinguishedName { CommonName(commonName) },
            alternatives: names,
            usages: [.serverAuth, .clientAuth],
            days: days,
            now: now
        )
    }

    /// A pair for a client. A name with an `@` is an e-mail address too.
    package func client(name: String, days: Int, now: Int64) throws -> CertificatePair {
        try issue(
            subject: try DistinguishedName { CommonName(name) },
            // Addresses with other letters have a form of their own (RFC 9598) that nobody reads.
            alternatives: name.contains("@") && name.utf8.allSatisfy { $0 < 0x80 } ? [.rfc822Name(name)] : [],
            usages: [.clientAuth],
            days: days,
            now: now
        )
    }

    private static func date(_ seconds: Int64) -> Date { Date(timeIntervalSince1970: TimeInterval(seconds)) }

    private func issue(
        subject: DistinguishedName,
        alternatives: [GeneralName],
        usages: [ExtendedKeyUsage.Usage],
        days: Int,
        now: Int64
    ) throws -> CertificatePair {
        let key = P256.Signing.PrivateKey()
        let authorityKey = Certificate.PublicKey(pair.key.publicKey)
        var extensions = try Certificate.Extensions {
            Critical(BasicConstraints.notCertificateAuthority)
            Critical(KeyUsage(digitalSignature: true))
            try ExtendedKeyUsage(usages)
            SubjectKeyIdentifier(hash: Certificate.PublicKey(key.publicKey))
            AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: authorityKey).keyIdentifier)
        }
        if !alternatives.isEmpty {
            try extensions.append(Certificate.Extension(SubjectAlternativeNames(alternatives), critical: false))
        }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: Self.date(now - Self.clockSlack),
            notValidAfter: Self.date(now + Int64(days) * Self.day),
            issuer: pair.certificate.subject,
            subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: extensions,
            issuerPrivateKey: Certificate.PrivateKey(pair.key)
        )
        return CertificatePair(certificate: certificate, key: key)
    }
}
