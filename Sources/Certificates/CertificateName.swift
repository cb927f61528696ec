import Foundation
import SwiftASN1
import X509

/// The name by which a client's certificate calls its owner.
package enum CertificateName: String, Sendable, CaseIterable {
    /// The common name of the subject. A subject with two is not guessed about: it has no name.
    case commonName = "cn"
    /// The whole subject in the form of RFC 2253: `CN=press-4,OU=hall 2,O=Example`.
    case distinguishedName = "dn"
    /// The first e-mail address among the alternative names.
    case email = "san-email"

    /// Reads the name of a certificate whose chain was verified.
    ///
    /// - Parameter der: the certificate.
    /// - Returns: nil when it has no such name, or one that holds NUL or other control characters: a name that two
    ///   programs may read differently is no name.
    package func name(in der: [UInt8]) -> String? {
        let certificate: Certificate
        do {
            certificate = try Certificate(derEncoded: der)
        } catch {
            return nil
        }
        let name: String?
        switch self {
        case .commonName: name = Self.commonName(of: certificate.subject)
        case .distinguishedName: name = certificate.subject.isEmpty ? nil : Self.text(of: certificate.subject)
        case .email: name = Self.email(of: certificate)
        }
        guard let name, !name.isEmpty, name.utf8.count <= 65_535 else { return nil }
        let hasControls = name.unicodeScalars.contains { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }
        return hasControls ? nil : name
    }

    private static func commonName(of subject: DistinguishedName) -> String? {
        let names = subject.flatMap { $0 }.filter { $0.type == .RDNAttributeType.commonName }
        guard names.count == 1, let name = names.first else { return nil }
        return DistinguishedNameText.string(name.value)
    }

    private static func text(of subject: DistinguishedName) -> String { DistinguishedNameText.text(subject) }

    private static func email(of certificate: Certificate) -> String? {
        do {
            guard let names = try certificate.extensions.subjectAlternativeNames else { return nil }
            for case .rfc822Name(let address) in names { return address }
        } catch {
            // Alternative names that cannot be read are none.
        }
        return nil
    }
}

/// What an operator wants to know of a certificate.
package struct CertificateFacts: Sendable, Equatable {
    /// The subject as RFC 2253 writes it.
    package let subject: String
    /// Who signed it, in the same form.
    package let issuer: String
    /// Seconds since 1970.
    package let notBefore: Int64
    package let notAfter: Int64

    /// - Returns: nil when `der` is no certificate.
    package init?(der: [UInt8]) {
        do {
            let certificate = try Certificate(derEncoded: der)
            subject = DistinguishedNameText.text(certificate.subject)
            issuer = DistinguishedNameText.text(certificate.issuer)
            notBefore = Int64(certificate.notValidBefore.timeIntervalSince1970)
            notAfter = Int64(certificate.notValidAfter.timeIntervalSince1970)
        } catch {
            return nil
        }
    }
}
