import BrokerCore
import MQTTCodec
import NIOCore
import NIOPosix

/// Dials the upstreams of links: resolves, connects, gives up, reports to the shard.
struct LinkConnector: Sendable {
    /// Where each link may be reached, by its name.
    private let addresses: [MQTTString: [LinkAddress]]
    private let connectTimeout: TimeAmount
    private let writeBufferBytesMax: Int

    init(_ configuration: Configuration) {
        var addresses: [MQTTString: [LinkAddress]] = [:]
        for link in configuration.links { addresses[MQTTString(link.name)] = link.addresses }
        self.addresses = addresses
        self.connectTimeout = .seconds(10)
        self.writeBufferBytesMax = configuration.limits.writeBufferBytesMax
    }

    /// On the runner's loop. Names are resolved again at every try; the addresses take turns.
    func dial(_ dial: Outbox.Dial, runner: ShardRunner) {
        let link = dial.link
        let epoch = link.epoch
        guard let choices = addresses[link.settings.name], !choices.isEmpty else { return }
        let address = choices[dial.attempt % choices.count]
        let limits = CodecLimits.of(runner.shard.settings)
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
                case .failure(let error):
                    runner.shard.dialFailed(link, epoch: epoch, reason: "\(address): \(error)", now: runner.now)
                case .success(let channel):
                    connected(channel, link, epoch, address, limits, runner)
                }
                runner.turn()
            }
    }

    private func connected(
        _ channel: any Channel,
        _ link: Link,
        _ epoch: UInt64,
        _ address: LinkAddress,
        _ limits: CodecLimits,
        _ runner: ShardRunner
    ) {
        guard let connection = runner.shard.dialed(link, epoch: epoch, peer: "\(address)", now: runner.now) else {
            return channel.close(promise: nil)
        }
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
