import Certificates
import Crypto
import Foundation
import SwiftASN1
import Testing
import X509

@Suite("The name in a client's certificate")
struct CertificateNameTests {
    private func certificate(
        _ subject: DistinguishedName,
        emails: [String] = []
    ) throws -> [UInt8] {
        let key = P256.Signing.PrivateKey()
        var extensions = Certificate.Extensions()
        if !emails.isEmpty {
            try extensions.append(
                Certificate.Extension(SubjectAlternativeNames(emails.map(GeneralName.rfc822Name)), critical: false))
        }
        let certificate = try Certificate(
            version: .v3,
            serialNumber: Certificate.SerialNumber(),
            publicKey: Certificate.PublicKey(key.publicKey),
            notValidBefore: Date(timeIntervalSince1970: 0),
            notValidAfter: Date(timeIntervalSince1970: 4_000_000_000),
            issuer: subject,
            subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: extensions,
            issuerPrivateKey: Certificate.PrivateKey(key)
        )
        return Array(try certificate.serializeAsPEM().derBytes)
    }

    private func name(
        _ kind: CertificateName,
        _ parts: [(ASN1ObjectIdentifier, String)],
        emails: [String] = []
    ) throws -> String? {
        let attributes = parts.map { RelativeDistinguishedName.Attribute(type: $0.0, utf8String: $0.1) }
        return kind.name(in: try certificate(try DistinguishedName(attributes), emails: emails))
    }

    private static let cn: ASN1ObjectIdentifier = [2, 5, 4, 3]
    private static let o: ASN1ObjectIdentifier = [2, 5, 4, 10]

    @Test("the common name is the one that stands there")
    func commonName() throws {
        #expect(try name(.commonName, [(Self.o, "Example"), (Self.cn, "press-4")]) == "press-4")
        #expect(try name(.commonName, [(Self.cn, "Jürgen")]) == "Jürgen")
    }

    @Test("none, two, empty, NUL and line ends make no name")
    func noCommonName() throws {
        #expect(try name(.commonName, [(Self.o, "Example")]) == nil)
        #expect(try name(.commonName, [(Self.cn, "press-4"), (Self.cn, "admin")]) == nil)
        #expect(try name(.commonName, [(Self.cn, "")]) == nil)
        #expect(try name(.commonName, [(Self.cn, "admin\0.example.com")]) == nil)
        #expect(try name(.commonName, [(Self.cn, "admin\nroot")]) == nil)
    }

    @Test("the subject is written as RFC 2253 does, the last part first, with its escapes")
    func distinguishedName() throws {
        let ou: ASN1ObjectIdentifier = [2, 5, 4, 11]
        let subject = try name(.distinguishedName, [(Self.o, "Smith, Sons + Co"), (ou, "#1 "), (Self.cn, "press-4")])
        #expect(subject == "CN=press-4,OU=\\#1\\ ,O=Smith\\, Sons \\+ Co")
        #expect(try name(.distinguishedName, [(Self.cn, "é")]) == "CN=\\C3\\A9")
        #expect(try name(.distinguishedName, [(Self.cn, "a\0b")]) == "CN=a\\00b")
        #expect(try name(.distinguishedName, [([1, 2, 3], "x")]) == "1.2.3=#0C0178")
        #expect(try name(.distinguishedName, []) == nil)
    }

    @Test("an injected comma cannot pretend to be another part")
    func injection() throws {
        let forged = try name(.distinguishedName, [(Self.cn, "eve,O=Example")])
        let real = try name(.distinguishedName, [(Self.o, "Example"), (Self.cn, "eve")])
        #expect(forged != real)
    }

    @Test("the e-mail address is the first among the alternative names")
    func email() throws {
        #expect(try name(.email, [(Self.cn, "x")], emails: ["a@example.com", "b@example.com"]) == "a@example.com")
        #expect(try name(.email, [(Self.cn, "x@example.com")]) == nil)
    }

    @Test("bytes that are no certificate have no name and no facts")
    func garbage() {
        for bytes in [[], [0x30], [UInt8](repeating: 0x30, count: 2_000)] as [[UInt8]] {
            #expect(CertificateName.commonName.name(in: bytes) == nil)
            #expect(CertificateFacts(der: bytes) == nil)
        }
    }
}
