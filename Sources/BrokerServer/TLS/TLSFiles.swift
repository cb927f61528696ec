import Certificates
import NIOSSL

/// Reads certificates and keys, so that what is wrong is said in the words of whoever made the files.
struct TLSFiles {
    /// A certificate with those between it and its authority, and its key.
    struct Pair {
        var chain: [NIOSSLCertificate]
        var key: NIOSSLPrivateKey
        var facts: CertificateFacts
    }

    let files: ConfigurationFiles

    /// - Throws: what is wrong with one of the two files, or that they do not belong together.
    func pair(certificate certificatePath: String, key keyPath: String) throws(TLSProblem) -> Pair {
        let chain = try certificates(certificatePath, setting: "cert")
        let key = try key(keyPath)
        guard let facts = facts(of: chain) else {
            throw TLSProblem(setting: "cert", message: "\(certificatePath) holds a certificate that cannot be read")
        }
        var probe = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.prefix(1).map { .certificate($0) },
            privateKey: .privateKey(key)
        )
        probe.certificateVerification = .none
        do {
            // BoringSSL compares the two when it is given both.
            _ = try NIOSSLContext(configuration: probe)
        } catch {
            throw TLSProblem(
                setting: "key",
                message: "\(keyPath) is not the key of the first certificate in \(certificatePath) (\(facts.subject))"
            )
        }
        return Pair(chain: chain, key: key, facts: facts)
    }

    /// - Throws: when there is no file, or no certificate in it.
    func certificates(_ path: String, setting: String) throws(TLSProblem) -> [NIOSSLCertificate] {
        let bytes = try content(path, setting: setting)
        do {
            let certificates = try NIOSSLCertificate.fromPEMBytes(bytes)
            if !certificates.isEmpty { return certificates }
        } catch {
            // It is said below what was expected, which helps more than the words of the parser.
        }
        throw TLSProblem(
            setting: setting,
            message: "\(path) holds no certificate as PEM (-----BEGIN CERTIFICATE-----)"
        )
    }

    private func key(_ path: String) throws(TLSProblem) -> NIOSSLPrivateKey {
        let bytes = try content(path, setting: "key")
        let text = String(decoding: bytes, as: UTF8.self)
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            throw TLSProblem(
                setting: "key",
                message: "\(path) is encrypted, and nobody is there to type its password: store it without one, "
                    + "readable by this user only"
            )
        }
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .pem)
        } catch {
            throw TLSProblem(
                setting: "key",
                message: "\(path) holds no private key as PEM (-----BEGIN PRIVATE KEY-----)"
            )
        }
    }

    private func content(_ path: String, setting: String) throws(TLSProblem) -> [UInt8] {
        do throws(ConfigurationFiles.Unreadable) {
            return try files.content(path).bytes
        } catch {
            throw TLSProblem(setting: setting, message: "\(path) cannot be read: \(error.reason)")
        }
    }

    private func facts(of chain: [NIOSSLCertificate]) -> CertificateFacts? {
        do {
            return try chain.first.flatMap { CertificateFacts(der: try $0.toDERBytes()) }
        } catch {
            return nil
        }
    }
}
