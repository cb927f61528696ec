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

    /// The client id, as `-d` names it.
    package var name: String { connect.clientID.isEmpty ? "(null)" : connect.clientID.string }
}
