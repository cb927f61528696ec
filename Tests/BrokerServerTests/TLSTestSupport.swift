import Certificates
import Foundation
import Testing

/// Certificates of a test: an authority, a server's and a client's pair, as texts and as files.
struct TestCertificates {
    static var now: Int64 { Int64(Date().timeIntervalSince1970) }

    let authority: CertificateAuthority
    let server: CertificatePair
    let client: CertificatePair

    init(authority: CertificateAuthority, server: CertificatePair, client: CertificatePair) {
        self.authority = authority
        self.server = server
        self.client = client
    }

    init(name: String = "CA", client: String = "phone", days: Int = 365, now: Int64 = now) throws {
        authority = try CertificateAuthority(name: name, now: now)
        server = try authority.server(hosts: ["localhost", "127.0.0.1"], days: days, now: now)
        self.client = try authority.client(name: client, days: days, now: now)
    }

    /// By the names that `drawbridge cert init` gives them.
    var texts: [String: String] {
        get throws {
            [
                "ca.crt": try authority.pair.certificatePEM(),
                "server.crt": try server.certificatePEM(), "server.key": server.keyPEM,
                "client.crt": try client.certificatePEM(), "client.key": client.keyPEM,
            ]
        }
    }

    /// - Returns: a new folder with all of them.
    func write() throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)").path()
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for (name, text) in try texts {
            try text.write(toFile: "\(folder)/\(name)", atomically: false, encoding: .utf8)
        }
        return folder
    }
}
