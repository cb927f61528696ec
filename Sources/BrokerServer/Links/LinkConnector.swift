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
        var proxy: LinkProxy?
        var connectTimeout: TimeAmount
        let credentials: LinkCredentials
    }

    /// One try. The link is named here, and is the shard's.
    struct Attempt {
        let link: Link
        let epoch: UInt64
        let address: LinkAddress
        let runner: LoopRunner

        func failed(_ reason: String) { runner.tell(.dialFailed(self, "\(address): \(reason)")) }

        func failed(_ failure: CredentialSource.Failure) { runner.tell(.dialFailed(self, "password: \(failure)")) }
    }

    private let routes: [MQTTString: Route]
    private let writeBufferBytesMax: Int
    private let frameBytesMax: Int

    init(_ configuration: Configuration, tls: [String: [LinkAddress.Transport: WatchedTLS]]) {
        var routes: [MQTTString: Route] = [:]
        for link in configuration.links {
            routes[MQTTString(link.name)] = Route(
                addresses: link.addresses,
                tls: tls[link.name] ?? [:],
                serverName: link.tls.serverName,
                checksName: link.tls.verification == .full,
                proxy: link.proxy,
                connectTimeout: TimeAmount(link.connectTimeout),
                credentials: LinkCredentials(username: link.username, password: link.password)
            )
        }
        self.routes = routes
        self.writeBufferBytesMax = configuration.limits.writeBufferBytesMax
        self.frameBytesMax = configuration.limits.packetBytesMax + 1024
    }

    /// On the runner's loop. Passwords are read and names are resolved again at every try.
    func dial(_ dial: Outbox.Dial, runner: LoopRunner) {
        guard let route = routes[dial.name], route.addresses.indices.contains(dial.address) else { return }
        let attempt = Attempt(
            link: dial.link,
            epoch: dial.epoch,
            address: route.addresses[dial.address],
            runner: runner
        )
        route.credentials.read(on: runner.loop) { result in
            switch result {
            case .success(let login): self.dial(attempt, login, route)
            case .failure(let failure): attempt.failed(failure)
            }
        }
    }

    private func dial(_ attempt: Attempt, _ login: LinkLogin, _ route: Route) {
        let loop = attempt.runner.loop
        let dialer = Dialer(
            address: attempt.address,
            tls: route.tls[attempt.address.transport],
            serverName: route.serverName,
            checksName: route.checksName,
            proxy: route.proxy,
            deadline: loop.now + route.connectTimeout,
            frameBytesMax: frameBytesMax,
            connected: { connected($0, framing: $1, attempt, login) },
            failed: { attempt.failed("\($0)") }
        )
        dialer.dial(
            ClientBootstrap(group: loop)
                .connectTimeout(route.connectTimeout)
                .channelOption(.writeBufferWaterMark, value: .mqtt(writeBufferBytesMax))
        )
    }

    private func connected(
        _ channel: any Channel,
        framing: WebSocketFraming?,
        _ attempt: Attempt,
        _ login: LinkLogin
    ) {
        let handler = ConnectionHandler(
            runner: attempt.runner,
            .upstream(attempt.link, epoch: attempt.epoch, peer: "\(attempt.address)", login),
            framing: framing,
            writeBufferBytesMax: writeBufferBytesMax
        )
        do {
            try channel.pipeline.syncOperations.addHandler(handler)
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        } catch {
            channel.close(promise: nil)
            attempt.failed("\(error)")
        }
    }
}
