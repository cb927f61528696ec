import BrokerCore
import MQTTCodec
import NIOCore
import NIOPosix

/// Dials the upstreams of links, and hands what stands to a ConnectionHandler, or the reason why not to the shard.
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
            runner: runner
        )
        let dialer = Dialer(
            address: attempt.address,
            tls: route.tls[attempt.address.transport],
            serverName: route.serverName,
            checksName: route.checksName,
            deadline: runner.loop.now + connectTimeout,
            frameBytesMax: frameBytesMax,
            connected: { connected($0, framing: $1, attempt) },
            failed: { attempt.failed("\($0)") }
        )
        dialer.dial(
            ClientBootstrap(group: runner.loop)
                .connectTimeout(connectTimeout)
                .channelOption(.writeBufferWaterMark, value: .mqtt(writeBufferBytesMax))
        )
    }

    private func connected(_ channel: any Channel, framing: WebSocketFraming?, _ attempt: Attempt) {
        let runner = attempt.runner
        defer { runner.turn() }
        let peer = "\(attempt.address)"
        guard let connection = runner.shard.dialed(attempt.link, epoch: attempt.epoch, peer: peer, now: runner.now)
        else {
            return channel.close(promise: nil)
        }
        var limits = CodecLimits.of(runner.shard.settings)
        // An upstream that is less strict would send the same again after each closing.
        limits.refusesControlCharacters = false
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
