import Certificates
import NIOCore
import NIOSSL

/// What a handshake needs, and what is said about it.
struct LoadedTLS: Sendable {
    var context: NIOSSLContext
    /// The certificate that we show; nil for a link that shows none.
    var certificate: CertificateFacts?
}

/// A peer that does not answer our goodbye holds its connection no longer than this.
private let shutdownTimeout = TimeAmount.seconds(1)

extension ListenerTLSConfiguration {
    /// The files whose change matters.
    var paths: [String] { [certificatePath, keyPath] + (clientAuthorityPath.map { [$0] } ?? []) }

    /// TLS 1.2 and 1.3 with the ciphers of NIOSSL; renegotiation, which is off there, stays off.
    ///
    /// - Parameter applicationProtocols: offered in ALPN; clients that offer none, or another, are served all the same.
    func load(_ files: ConfigurationFiles, applicationProtocols: [String]) throws(TLSProblem) -> LoadedTLS {
        let files = TLSFiles(files: files)
        let pair = try files.pair(certificate: certificatePath, key: keyPath)
        var settings = TLSConfiguration.makeServerConfiguration(
            certificateChain: pair.chain.map { .certificate($0) },
            privateKey: .privateKey(pair.key)
        )
        settings.minimumTLSVersion = minimumVersion == .v1_3 ? .tlsv13 : .tlsv12
        settings.renegotiationSupport = .none
        settings.applicationProtocols = applicationProtocols
        settings.shutdownTimeout = shutdownTimeout
        settings.certificateVerification = .none
        if clientCertificate != .none, let clientAuthorityPath {
            settings.trustRoots = .certificates(try files.certificates(clientAuthorityPath, setting: "client_ca"))
            // Browsers offer their user only the certificates of these authorities.
            settings.sendCANameList = true
            settings.certificateVerification =
                clientCertificate == .required ? .noHostnameVerification : .optionalVerification
        }
        return LoadedTLS(context: try context(settings), certificate: pair.facts)
    }
}

extension LinkTLSConfiguration {
    var paths: [String] { [authorityPath, certificatePath, keyPath].compactMap { $0 } }

    /// - Parameter applicationProtocol: the ALPN of the address when none is configured.
    func load(_ files: ConfigurationFiles, applicationProtocol: String) throws(TLSProblem) -> LoadedTLS {
        let files = TLSFiles(files: files)
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        settings.renegotiationSupport = .none
        settings.applicationProtocols = applicationProtocols ?? [applicationProtocol]
        settings.shutdownTimeout = shutdownTimeout
        settings.trustRoots = .default
        if let authorityPath {
            settings.trustRoots = .certificates(try files.certificates(authorityPath, setting: "ca"))
        }
        switch verification {
        case .full: settings.certificateVerification = .fullVerification
        case .authority: settings.certificateVerification = .noHostnameVerification
        case .none: settings.certificateVerification = .none
        }
        var facts: CertificateFacts?
        if let certificatePath, let keyPath {
            let pair = try files.pair(certificate: certificatePath, key: keyPath)
            settings.certificateChain = pair.chain.map { .certificate($0) }
            settings.privateKey = .privateKey(pair.key)
            facts = pair.facts
        }
        return LoadedTLS(context: try context(settings), certificate: facts)
    }
}

private func context(_ settings: TLSConfiguration) throws(TLSProblem) -> NIOSSLContext {
    do {
        return try NIOSSLContext(configuration: settings)
    } catch {
        throw TLSProblem(setting: "cert", message: "TLS cannot be set up: \(TLSFailure.text(error))")
    }
}
