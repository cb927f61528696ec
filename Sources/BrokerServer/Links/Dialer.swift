import BrokerCore
import NIOCore
import NIOPosix
import NIOSSL

/// Opens a connection to a broker, for links and for the client of the command line alike.
///
///     TCP --(mqtts, wss: LinkTLSGate)--(ws, wss: LinkWebSocketGate)--> connected
///
/// All of it happens on the loop of the bootstrap, and exactly one of `connected` and `failed` is called.
struct Dialer {
    /// Why there is no connection.
    enum Failure: Error, CustomStringConvertible {
        /// The name is unknown, or nobody takes the connection.
        case network(any Error)
        /// TLS or the upgrade to WebSocket, in words.
        case handshake(String)

        var description: String {
            switch self {
            case .network(let error): "\(error)"
            case .handshake(let reason): reason
            }
        }
    }

    let address: LinkAddress
    /// Nil when the address is not encrypted.
    let tls: WatchedTLS?
    /// The name to ask for; nil: the host of the address.
    let serverName: String?
    /// Whether the certificate must have that name.
    let checksName: Bool
    /// For the network, TLS and the upgrade together.
    let deadline: NIODeadline
    let frameBytesMax: Int
    /// The channel reads nothing until it is told to; framing is there for WebSockets.
    let connected: (any Channel, WebSocketFraming?) -> Void
    let failed: (Failure) -> Void

    /// On the loop of the bootstrap. Names are resolved anew.
    func dial(_ bootstrap: ClientBootstrap) {
        bootstrap
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .connect(host: address.host, port: address.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): failed(.network(error))
                case .success(let channel): shakeHands(channel)
                }
            }
    }

    private func shakeHands(_ channel: any Channel) {
        guard address.transport.isEncrypted else { return upgrade(channel) }
        guard let tls else {
            channel.close(promise: nil)
            return failed(.handshake("TLS is not set up"))
        }
        let name = Self.serverName(serverName ?? address.host)
        do {
            try channel.pipeline.syncOperations.addHandlers([
                try NIOSSLClientHandler(context: tls.context, serverHostname: name),
                LinkTLSGate(
                    deadline: deadline,
                    serverName: checksName ? name : nil,
                    connected: { upgrade($0) },
                    failed: { failed(.handshake($0)) }
                ),
            ])
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            channel.close(promise: nil)
            failed(.handshake(TLSFailure.text(error)))
        }
    }

    private func upgrade(_ channel: any Channel) {
        guard address.transport.isWebSocket else { return connected(channel, nil) }
        let framing = WebSocketFraming(limits: WebSocketLimits(frameBytesMax: frameBytesMax), isClient: true)
        do {
            try channel.pipeline.syncOperations.addHandler(
                LinkWebSocketGate(
                    address: address,
                    deadline: deadline,
                    connected: { connected($0, framing) },
                    failed: { failed(.handshake($0)) }
                )
            )
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            channel.close(promise: nil)
            failed(.handshake("\(error)"))
        }
    }

    /// An address is no server name (RFC 6066 §3): the certificate is compared with the address that was dialled.
    private static func serverName(_ host: String) -> String? {
        NetworkAddress(host) == nil ? host : nil
    }
}
