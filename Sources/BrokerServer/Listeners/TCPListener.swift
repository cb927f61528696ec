import NIOCore
import NIOPosix

/// A port that speaks plain MQTT.
enum TCPListener {
    /// Binds and accepts.
    ///
    /// - Parameter openConnection: called on the connection's event loop; adds the handler that speaks MQTT.
    static func bind(
        _ address: BindAddress,
        group: any EventLoopGroup,
        writeBufferBytesMax: Int,
        openConnection: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) -> EventLoopFuture<any Channel> {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause())
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
            .childChannelInitializer(openConnection)
            .bind(host: address.host, port: address.port)
    }
}

extension ChannelOptions.Types.WriteBufferWaterMark {
    /// A slow reader is told of at the limit, and believed again at half of it.
    static func mqtt(_ bytesMax: Int) -> Self { .init(low: max(1, bytesMax / 2), high: max(2, bytesMax)) }
}
