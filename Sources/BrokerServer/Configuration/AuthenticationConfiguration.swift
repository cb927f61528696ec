/// `[auth]`: who is let in.
package struct AuthenticationConfiguration: Sendable, Equatable {
    /// Who may know an answer to "who is this?".
    package enum Source: String, Sendable, CaseIterable {
        /// A client certificate that the TLS handshake has verified.
        case cert
        /// The file of `auth.users`.
        case users
    }

    /// `chain`: whom to ask, in this order, until somebody knows an answer; default: whatever is configured.
    ///
    /// Empty means that there is nobody to ask and everybody is anonymous, which only a node on loopback may be without
    /// saying so. With anybody in it, clients on loopback have to show something too: a proxy on this machine makes the
    /// whole world look like loopback.
    package var chain: [Source] = []
    /// `anonymous`: clients that show nothing are let in, off loopback too; default false.
    package var allowsAnonymous = false
    /// `users.file`: names and hashed passwords, relative to the configuration file.
    package var usersFile: String?

    /// `links`: users who are links of other Drawbridges: who a message is, where it comes from and whether it was sent
    /// before is believed of them.
    package var links: [String] = []

    /// Whether somebody decided who comes in from other machines: by a chain, or by letting everybody in.
    package var isDecided: Bool { !chain.isEmpty || allowsAnonymous }

    package init() {}
}
