package import BrokerCore
package import NIOCore

/// What is known of a connection before it says anything in MQTT or HTTP.
package struct Arrival: Sendable {
    /// When it was accepted: one deadline runs from here to the whole CONNECT, through TLS and HTTP.
    package var at: NIODeadline
    /// Whether it came through TLS.
    package var isEncrypted = false
    /// What its certificate calls it, if the listener asks for that.
    package var certificateName: String?
    /// Who is at the other end, when a proxy that is believed says so; nil for whoever the socket says.
    package var client: Client?

    /// How messages of this WebSocket may be compressed; nil when they are not.
    package var deflate: DeflateAgreement?

    /// Whoever a proxy speaks for.
    package struct Client: Sendable, Equatable {
        /// For the log: the client, and over whom it came.
        package var peer: String
        /// As access rules and limits know it; nil when the client has none.
        package var address: NetworkAddress?

        package init(peer: String, address: NetworkAddress?) {
            self.peer = peer
            self.address = address
        }
    }

    package init(at: NIODeadline, certificateName: String? = nil, client: Client? = nil) {
        self.at = at
        self.certificateName = certificateName
        self.client = client
    }

    /// For how long it has been here.
    package func age(now: NIODeadline) -> Duration { .nanoseconds(max(0, (now - at).nanoseconds)) }

    /// Where it comes from, for the log.
    func peer(of channel: any Channel) -> String { client?.peer ?? channel.remoteAddress?.text ?? "local" }

    /// The same as rules and limits know it; nil for sockets of the file system.
    func address(of channel: any Channel) -> NetworkAddress? {
        if let client { return client.address }
        return channel.remoteAddress?.networkAddress
    }
}
