import BrokerCore
import MQTTCodec
import NIOCore
import NIOPosix
import NIOSSL

/// Dials the upstreams of links: resolves, connects, shakes hands, upgrades, gives up, reports to the shard.
///
///     TCP --(mqtts, wss: LinkTLSGate)--(ws, wss: LinkWebSocketGate)--> ConnectionHandler
struct LinkConnector: Sendable {
    /// Where a link may be reached, and how it is encrypted.
    private struct Route {
        var addresses: [LinkAddress]
        var tls: [LinkAddress.Transport: WatchedTLS]
        /// Nil: the host of the address.
        var serverName: String?
        var checksName: Bool
    }

    /// One try.
    private struct Attempt {
        let link: Link
        let epoch: UInt64
        let address: LinkAddress
        let route: Route
        /// For the network, TLS and the upgrade together.
        let deadline: NIODeadline
        let runner: ShardRunner

        func failed(_ reason: String) {
            runner.shard.dialFailed(link, epoch: epoch, reason: "\(address): \(reason)", now: runner.now)
            runner.turn()
        }
    }

    private let routes: [MQTTString: Route]
    private let connectTimeout: TimeAmount
    private let writeBufferBytesMax: Int
    private let frameBytesMax: Int

    init(_ configuration: Configuration, tls: [String: [LinkAddress.Transport: WatchedTLS]]) {
        var routes: [MQTTString: Route] = [:]
        for link in configuration.links {
            routes[MQTTString(link.name)] = Route(
                addresses: link.addresses,
                tls: tls[link.name] ?? [:],
                serverName: link.tls.serverName,
                checksName: link.tls.verification == .full
            )
        }
        self.routes = routes
        self.connectTimeout = .seconds(10)
        self.writeBufferBytesMax = configuration.limits.writeBufferBytesMax
        self.frameBytesMax = configuration.limits.packetBytesMax + 1024
    }

    /// On the runner's loop. Names are resolved again at every try; the addresses take turns.
    func dial(_ dial: Outbox.Dial, runner: ShardRunner) {
        guard let route = routes[dial.link.settings.name], !route.addresses.isEmpty else { return }
        let attempt = Attempt(
            link: dial.link,
            epoch: dial.link.epoch,
            address: route.addresses[dial.attempt % route.addresses.count],
            route: route,
            deadline: runner.loop.now + connectTimeout,
            runner: runner
        )
        ClientBootstrap(group: runner.loop)
            .connectTimeout(connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.writeBufferWaterMark, value: .mqtt(writeBufferBytesMax))
            .connect(host: attempt.address.host, port: attempt.address.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .failure(let error): attempt.failed("\(error)")
                case .success(let channel): shakeHands(channel, attempt)
                }
            }
    }

    private func shakeHands(_ channel: any Channel, _ attempt: Attempt) {
        guard let tls = attempt.route.tls[attempt.address.transport] else { return upgrade(channel, attempt) }
        let name = Self.serverName(attempt.route.serverName ?? attempt.address.host)
        do {
            try channel.pipeline.syncOperations.addHandlers([
                try NIOSSLClientHandler(context: tls.context, serverHostname: name),
                LinkTLSGate(
                    deadline: attempt.deadline,
                    serverName: attempt.route.checksName ? name : nil,
                    connected: { upgrade($0, attempt) },
                    failed: attempt.failed
                ),
            ])
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            channel.close(promise: nil)
            attempt.failed(TLSFailure.text(error))
        }
    }

    private func upgrade(_ channel: any Channel, _ attempt: Attempt) {
        guard attempt.address.transport.isWebSocket else { return connected(channel, framing: nil, attempt) }
        let framing = WebSocketFraming(limits: WebSocketLimits(frameBytesMax: frameBytesMax), isClient: true)
        do {
            try channel.pipeline.syncOperations.addHandler(
                LinkWebSocketGate(
                    address: attempt.address,
                    deadline: attempt.deadline,
                    connected: { connected($0, framing: framing, attempt) },
                    failed: attempt.failed
                )
            )
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            channel.close(promise: nil)
            attempt.failed("\(error)")
        }
    }

    /// An address is no server name (RFC 6066 §3): the certificate is compared with the address that was dialled.
    private static func serverName(_ host: String) -> String? {
        host.contains(":") || IPv4Text.bytes(of: host) != nil ? nil : host
    }

    private func connected(_ channel: any Channel, framing: WebSocketFraming?, _ attempt: Attempt) {
        let runner = attempt.runner
        defer { runner.turn() }
        let peer = "\(attempt.address)"
        guard let connection = runner.shard.dialed(attempt.link, epoch: attempt.epoch, peer: peer, now: runner.now)
        else {
            return channel.close(promise: nil)
        }
        let limits = CodecLimits.of(runner.shard.settings)
        let decoder = PacketDecoder(role: .client, version: attempt.link.settings.version, limits: limits)
        let handler = ConnectionHandler(runner: runner, decoder: decoder, connection: connection, framing: framing)
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            runner.shard.closed(connection, now: runner.now)
            channel.close(promise: nil)
        }
    }
}
