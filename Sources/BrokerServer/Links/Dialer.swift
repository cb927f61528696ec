import BrokerCore
package import NIOCore
package import NIOPosix
import NIOSSL

/// Opens a connection to a broker, for links and for the client of the command line alike.
///
///     TCP --(proxy: LinkOpeningGate)--(mqtts, wss: LinkTLSGate)--(ws, wss: LinkOpeningGate)--> connected
///
/// All of it happens on the loop of the bootstrap, and exactly one of `connected` and `failed` is called.
package struct Dialer {
    /// Why there is no connection.
    package enum Failure: Error, CustomStringConvertible {
        /// The name is unknown, or nobody takes the connection.
        case network(any Error)
        /// The proxy, TLS or the upgrade to WebSocket, in words.
        case handshake(String)

        package var description: String {
            switch self {
            case .network(let error): Self.words(error)
            case .handshake(let reason): reason
            }
        }

        /// As the system says it, which people know.
        static func words(_ error: any Error) -> String {
            switch error {
            case let error as NIOConnectionError:
                error.connectionErrors.last.map { words($0.error) } ?? "The name of the host is not known"
            case let error as IOError: String(cString: strerror(error.errnoCode))
            case ChannelError.connectTimeout: "Connection timed out"
            default: "\(error)"
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
    /// Nil: there is none between.
    let proxy: LinkProxy?
    /// For the network, the proxy, TLS and the upgrade together.
    let deadline: NIODeadline
    let frameBytesMax: Int
    /// The channel reads nothing until it is told to; framing is there for WebSockets.
    let connected: (any Channel, WebSocketFraming?) -> Void
    let failed: (Failure) -> Void

    package init(
        address: LinkAddress,
        tls: WatchedTLS?,
        serverName: String?,
        checksName: Bool,
        proxy: LinkProxy? = nil,
        deadline: NIODeadline,
        frameBytesMax: Int,
        connected: @escaping (any Channel, WebSocketFraming?) -> Void,
        failed: @escaping (Failure) -> Void
    ) {
        self.address = address
        self.tls = tls
        self.serverName = serverName
        self.checksName = checksName
        self.proxy = proxy
        self.deadline = deadline
        self.frameBytesMax = frameBytesMax
        self.connected = connected
        self.failed = failed
    }

    /// On the loop of the bootstrap, which serves this call only. Names are resolved anew.
    package func dial(_ bootstrap: ClientBootstrap) {
        let (host, port) = proxy.map { ($0.host, $0.port) } ?? (address.host, address.port)
        shakeHands(on: Self.prepared(bootstrap).connect(host: host, port: port))
    }

    /// The same to an address that is known, with a bootstrap that `prepared` made and that may serve many calls.
    package func dial(prepared bootstrap: ClientBootstrap, to resolved: SocketAddress) {
        shakeHands(on: bootstrap.connect(to: resolved))
    }

    /// Adds to the bootstrap, which is a reference, what every connection to a broker needs.
    package static func prepared(_ bootstrap: ClientBootstrap) -> ClientBootstrap {
        bootstrap
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
    }

    private func shakeHands(on channel: EventLoopFuture<any Channel>) {
        channel
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): failed(.network(error))
                case .success(let channel): passProxy(channel)
                }
            }
    }

    private func passProxy(_ channel: any Channel) {
        guard let proxy else { return shakeHands(channel) }
        do {
            try channel.pipeline.syncOperations.addHandler(
                LinkOpeningGate(
                    ProxyOpening(proxy, to: address),
                    deadline: deadline,
                    connected: { shakeHands($0) },
                    failed: { failed(.handshake($0)) }
                )
            )
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            channel.close(promise: nil)
            failed(.handshake("\(error)"))
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
                LinkOpeningGate(
                    WebSocketOpening(address: address, key: .random()),
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
