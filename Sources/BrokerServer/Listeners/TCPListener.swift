import NIOCore
import NIOPosix

/// A port that speaks MQTT over TCP or TLS.
enum TCPListener {
    /// Binds and accepts.
    ///
    /// - Parameters:
    ///   - tls: nil for MQTT in the clear.
    ///   - openConnection: called on the connection's event loop, with TLS after the handshake; adds the handler that
    ///     speaks MQTT.
    static func bind(
        _ address: BindAddress,
        group: any EventLoopGroup,
        writeBufferBytesMax: Int,
        tls: TLSDoor?,
        openConnection: @escaping @Sendable (any Channel, Arrival) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause())
                    // Connections in their handshake are bounded and told of a shutdown here; the shard knows the rest.
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            AcceptedConnections(connectionsMax: tls.connectionsMax)
                        )
                    }
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            // A second read that finds nothing is a system call for nothing.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 512, maximum: 65_536)
            )
            .childChannelOption(.writeBufferWaterMark, value: .mqtt(writeBufferBytesMax))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try TLSDoor.enter(channel, tls, openConnection) }
            }
            .bind(host: address.host, port: address.port)
    }
}

extension ChannelOptions.Types.WriteBufferWaterMark {
    /// A slow reader is told of at the limit, and believed again at half of it.
    static func mqtt(_ bytesMax: Int) -> Self { .init(low: max(1, bytesMax / 2), high: max(2, bytesMax)) }
}
