package import MQTTCodec

/// Whom a client of the command line calls, and as whom.
package struct ClientSettings: Sendable {
    package var address: LinkAddress
    /// For mqtts and wss.
    package var tls: LinkTLSConfiguration
    package var connect: Connect
    /// Messages of QoS 1 and 2 on their way at once.
    package var window = 20
    /// Whether each packet is said on standard error.
    package var isTalkative = false

    package init(address: LinkAddress, tls: LinkTLSConfiguration = LinkTLSConfiguration(), connect: Connect) {
        self.address = address
        self.tls = tls
        self.connect = connect
    }

    /// What connections encrypt with; nil when the address is not encrypted.
    ///
    /// - Throws: what is wrong with the files.
    package func watchedTLS() throws(TLSProblem) -> WatchedTLS? {
        guard address.transport.isEncrypted else { return nil }
        let files = tls
        let name = address.transport.applicationProtocol
        return try WatchedTLS(owner: "client", paths: files.paths, isWatched: false) { () throws(TLSProblem) in
            try files.load(.disk, applicationProtocol: name)
        }
    }

    /// The client id, as `-d` names it.
    package var name: String { connect.clientID.isEmpty ? "(null)" : connect.clientID.string }
}
