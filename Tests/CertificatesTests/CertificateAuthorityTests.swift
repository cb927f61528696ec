import Certificates
import Foundation
import SwiftASN1
import Testing
import X509

@Suite("The authority of a site")
struct CertificateAuthorityTests {
    private static let now = Int64(Date().timeIntervalSince1970)

    private func verify(
        _ certificate: Certificate,
        _ authority: CertificateAuthority,
        _ policy: some VerifierPolicy & Sendable
    ) async -> Bool {
        var verifier = Verifier(rootCertificates: CertificateStore([authority.pair.certificate])) {
            RFC5280Policy()
            policy
        }
        switch await verifier.validate(leaf: certificate, intermediates: CertificateStore([])) {
        case .validCertificate: return true
        case .couldNotValidate: return false
        }
    }

    @Test("what it signs is trusted under every name it was asked for, and under no other")
    func server() async throws {
        let authority = try CertificateAuthority(name: "CA", now: Self.now)
        let server = try authority.server(
            hosts: ["edge.example.com", "127.0.0.1", "::1"], days: 30, now: Self.now)
        for host in ["edge.example.com", "EDGE.example.com"] {
            #expect(
                await verify(server.certificate, authority, ServerIdentityPolicy(serverHostname: host, serverIP: nil)))
        }
        for address in ["127.0.0.1", "::1"] {
            #expect(
                await verify(
                    server.certificate, authority, ServerIdentityPolicy(serverHostname: nil, serverIP: address)))
        }
        #expect(
            await !verify(
                server.certificate, authority, ServerIdentityPolicy(serverHostname: "other.example.com", serverIP: nil))
        )
        #expect(
            await !verify(
                server.certificate, authority, ServerIdentityPolicy(serverHostname: nil, serverIP: "127.0.0.2")))
    }

    @Test("another authority of the same name is another authority")
    func stranger() async throws {
        let server = try CertificateAuthority(name: "CA", now: Self.now)
            .server(hosts: ["localhost"], days: 30, now: Self.now)
        let other = try CertificateAuthority(name: "CA", now: Self.now)
        let policy = ServerIdentityPolicy(serverHostname: "localhost", serverIP: nil)
        #expect(await !verify(server.certificate, other, policy))
    }

    @Test("a pair is valid for as long as it was asked for, and from an hour ago")
    func validity() throws {
        let now: Int64 = 1_800_000_000
        let client = try CertificateAuthority(name: "CA", now: now).client(name: "phone", days: 10, now: now)
        #expect(client.certificate.notValidBefore == Date(timeIntervalSince1970: 1_799_996_400))
        #expect(client.certificate.notValidAfter == Date(timeIntervalSince1970: 1_800_864_000))
        let facts = try #require(CertificateFacts(der: der(client)))
        #expect(facts.subject == "CN=phone")
        #expect(facts.notAfter == 1_800_000_000 + 10 * 86_400)
    }

    @Test("a name is named by a name and an address by an address, never one by the other")
    func names() throws {
        let authority = try CertificateAuthority(name: "CA", now: Self.now)
        let certificate = der(
            try authority.server(
                hosts: ["Hub.example.com", "*.sites.example.com", "127.0.0.1", "*.com"], days: 1, now: Self.now))
        func isNamed(_ host: String) throws -> Bool? { try CertificateHost(host).isNamed(in: certificate) }
        for host in ["hub.example.com", "HUB.example.com", "a.sites.example.com", "127.0.0.1"] {
            #expect(try isNamed(host) == true, "\(host)")
        }
        for host in ["example.com", "x.hub.example.com", "sites.example.com", "a.b.sites.example.com", "::1"] {
            #expect(try isNamed(host) == false, "\(host)")
        }
        // A `*` does not stand for every company there is.
        #expect(try isNamed("example.com") == false)
        #expect(
            try CertificateHost("phone").isNamed(in: der(authority.client(name: "phone", days: 1, now: Self.now)))
                == nil)
        #expect(try CertificateHost("phone").isNamed(in: [1, 2, 3]) == nil)
    }

    @Test("a host is an address or a name, and nothing in between")
    func hosts() throws {
        for text in ["edge", "edge-1.example.com", "*.example.com", "xn--bcher-kva.example", "_mqtt.local"] {
            #expect(try !CertificateHost(text).isAddress)
        }
        for text in ["10.0.0.1", "::1", "fe80::1"] { #expect(try CertificateHost(text).isAddress) }
        for text in [
            "", "10.0.0.300", "1.2.3", "a b", "a..b", "-a", "a-", "edge:8883", "[::1]", "*", "a.*.b", "bücher",
        ] {
            #expect(throws: CertificateHost.Invalid.self) { try CertificateHost(text) }
        }
    }
}

func der(_ pair: CertificatePair) -> [UInt8] {
    do {
        return Array(try pair.certificate.serializeAsPEM().derBytes)
    } catch {
        Issue.record(error)
        return []
    }
}
