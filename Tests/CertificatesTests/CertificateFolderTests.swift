import Certificates
import Foundation
import SwiftASN1
import Testing
import X509

@Suite("A folder of certificates")
struct CertificateFolderTests {
    private let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    private let request = CertificateFolder.Request(
        hosts: ["localhost"], clientName: "client", days: 30, password: "secret")

    private func mode(_ name: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path + "/" + name)[.posixPermissions] as? Int
    }

    private func content(_ name: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
    }

    @Test("keys are readable by their owner alone, certificates by all")
    func modes() throws {
        defer { remove() }
        let written = try CertificateFolder(path: path).fill(request, now: 1_800_000_000)
        #expect(written.count == 7)
        for name in ["ca.key", "server.key", "client.key", "client.p12"] { #expect(try mode(name) == 0o600) }
        for name in ["ca.crt", "server.crt", "client.crt"] { #expect(try mode(name) == 0o644) }
        #expect(String(decoding: try content("server.crt"), as: UTF8.self).hasPrefix("-----BEGIN CERTIFICATE-----\n"))
        #expect(String(decoding: try content("server.key"), as: UTF8.self).hasPrefix("-----BEGIN PRIVATE KEY-----\n"))
    }

    @Test("a folder that has one of the files is left as it is")
    func refusal() throws {
        defer { remove() }
        _ = try CertificateFolder(path: path).fill(request, now: 1_800_000_000)
        let key = try content("ca.key")
        for name in ["ca.crt", "server.crt", "server.key", "client.crt", "client.key", "client.p12"] {
            try FileManager.default.removeItem(atPath: path + "/" + name)
        }
        #expect(throws: CertificateFolder.Problem.self) {
            try CertificateFolder(path: path).fill(request, now: 1_800_000_000)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["ca.key"])
        #expect(try content("ca.key") == key)
    }

    @Test("a host that cannot stand in a certificate stops everything before a file is written")
    func badHost() throws {
        var request = request
        request.hosts = ["not a host"]
        #expect(throws: CertificateHost.Invalid.self) {
            try CertificateFolder(path: path).fill(request, now: 1_800_000_000)
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test("one more client is signed by the authority of the folder, and takes nobody's place")
    func client() throws {
        defer { remove() }
        let folder = CertificateFolder(path: path)
        #expect(throws: CertificateFolder.Problem.self) {
            try folder.addClient(name: "press-4", days: 30, password: "secret", now: 1_800_000_000)
        }
        _ = try folder.fill(request, now: 1_800_000_000)
        let written = try folder.addClient(name: "press-4", days: 30, password: "secret", now: 1_800_000_000)
        #expect(written == ["crt", "key", "p12"].map { "\(path)/press-4.\($0)" })
        #expect(try mode("press-4.key") == 0o600 && mode("press-4.p12") == 0o600)
        let text = String(decoding: try content("press-4.crt"), as: UTF8.self)
        let authority = try Certificate(pemEncoded: String(decoding: try content("ca.crt"), as: UTF8.self))
        let certificate = try Certificate(pemEncoded: text)
        #expect(authority.publicKey.isValidSignature(certificate.signature, for: certificate))
        for name in ["press-4", "server", "ca"] {
            #expect(throws: CertificateFolder.Problem.self) {
                try folder.addClient(name: name, days: 30, password: "secret", now: 1_800_000_000)
            }
        }
        for name in ["", "../x", "a/b", ".x", "-x", "a b", "ü"] { #expect(!CertificateFolder.isFileName(name)) }
    }

    @Test("a key that is not the authority's signs nothing")
    func wrongKey() throws {
        let one = try CertificateAuthority(name: "one", now: 1_800_000_000).pair
        let other = try CertificateAuthority(name: "other", now: 1_800_000_000).pair
        let certificate = try one.certificatePEM()
        #expect(throws: CertificateAuthority.Problem.self) {
            try CertificateAuthority(certificatePEM: certificate, keyPEM: other.keyPEM)
        }
        #expect(throws: CertificateAuthority.Problem.self) {
            try CertificateAuthority(certificatePEM: certificate, keyPEM: "nonsense")
        }
        #expect(throws: Never.self) { try CertificateAuthority(certificatePEM: certificate, keyPEM: one.keyPEM) }
    }

    private func remove() {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            Issue.record(error)
        }
    }
}
