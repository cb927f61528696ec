import BrokerCore
import MQTTCodec
import NIOCore
import NIOPosix
import NIOSSL

/// Dials the upstreams of links: resolves, connects, shakes hands, gives up, reports to the shard.
struct LinkConnector: Sendable {
    /// Where a link may be reached, and how it is encrypted.
    private struct Route {
        var addresses: [LinkAddress]
        var tls: WatchedTLS?
        /// Nil: the host of the address.
        var serverName: String?
        var checksName: Bool
    }

    private let routes: [MQTTString: Route]
    /// For the network and for TLS together.
    private let connectTimeout: TimeAmount
    private let writeBufferBytesMax: Int

    init(_ configuration: Configuration, tls: [String: WatchedTLS]) {
        var routes: [MQTTString: Route] = [:]
        for link in configuration.links {
            routes[MQTTString(link.name)] = Route(
                addresses: link.addresses,
                tls: tls[link.name],
                serverName: link.tls.serverName,
                checksName: link.tls.verification == .full
            )
        }
        self.routes = routes
        self.connectTimeout = .seconds(10)
        self.writeBufferBytesMax = configuration.limits.writeBufferBytesMax
    }

    /// On the runner's loop. Names are resolved again at every try; the addresses take turns.
    func dial(_ dial: Outbox.Dial, runner: ShardRunner) {
        let link = dial.link
        let epoch = link.epoch
        guard let route = routes[link.settings.name], !route.addresses.isEmpty else { return }
        let address = route.addresses[dial.attempt % route.addresses.count]
        let deadline = runner.loop.now + connectTimeout
        let failed = { (reason: String) in
            runner.shard.dialFailed(link, epoch: epoch, reason: "\(address): \(reason)", now: runner.now)
            runner.turn()
        }
        let connected = { (channel: any Channel) in
            self.connected(channel, link, epoch, address, runner)
            runner.turn()
        }
        ClientBootstrap(group: runner.loop)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.writeBufferWaterMark, value: .mqtt(writeBufferBytesMax))
            .connect(host: address.host, port: address.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): failed("\(error)")
                case .success(let channel):
                    guard address.transport.isEncrypted, let tls = route.tls else { return connected(channel) }
                    let name = Self.serverName(route.serverName ?? address.host)
                    do {
                        try channel.pipeline.syncOperations.addHandlers([
                            try NIOSSLClientHandler(
                                context: tls.context,
                                serverHostname: name
                            ),
                            LinkTLSGate(
                                deadline: deadline,
                                serverName: route.checksName ? name : nil,
                                connected: connected,
                                failed: failed
                            ),
                        ])
                        channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
                    } catch {
                        channel.close(promise: nil)
                        failed(TLSFailure.text(error))
                    }
                }
            }
    }

    /// An address is no server name (RFC 6066 §3): the certificate is compared with the address that was dialled.
    private static func serverName(_ host: String) -> String? {
        host.contains(":") || IPv4Text.bytes(of: host) != nil ? nil : host
    }

    private func connected(
        _ channel: any Channel,
        _ link: Link,
        _ epoch: UInt64,
        _ address: LinkAddress,
        _ runner: ShardRunner
    ) {
        guard let connection = runner.shard.dialed(link, epoch: epoch, peer: "\(address)", now: runner.now) else {
            return channel.close(promise: nil)
        }
        let limits = CodecLimits.of(runner.shard.settings)
        let decoder = PacketDecoder(role: .client, version: link.settings.version, limits: limits)
        let handler = ConnectionHandler(runner: runner, decoder: decoder, connection: connection)
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            runner.shard.closed(connection, now: runner.now)
            channel.close(promise: nil)
        }
    }
}
