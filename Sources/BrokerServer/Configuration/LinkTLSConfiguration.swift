/// `[link.tls]`: how a link knows its upstream, and shows who it is itself.
package struct LinkTLSConfiguration: Sendable, Equatable {
    package enum Verification: String, Sendable, CaseIterable {
        /// The certificate is of a known authority and names the host that was dialled.
        case full
        /// Of a known authority, whatever it names.
        case authority = "ca"
        /// Anything goes: never outside of a test.
        case none
    }

    /// `ca`: a file of authorities as PEM; `system`, nil here, means those of the machine; default `system`.
    package var authorityPath: String?
    /// `cert`: our certificate as PEM; default none.
    package var certificatePath: String?
    /// `key`: its private key; both or neither.
    package var keyPath: String?
    /// `alpn`: default `mqtt` for mqtts and `http/1.1` for wss, nil here.
    package var applicationProtocols: [String]?
    /// `server_name`: the name to ask for and to check; default: the host of the address.
    package var serverName: String?
    /// `verify`: default `full`.
    package var verification = Verification.full

    package init() {}
}
