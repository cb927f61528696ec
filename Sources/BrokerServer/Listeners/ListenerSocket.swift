package import NIOCore
import NIOPosix

/// A socket that listens, on a port or in the file system, for whatever protocol.
package enum ListenerSocket {
    /// Binds and accepts.
    ///
    /// - Parameters:
    ///   - hasStages: whether connections exist that the protocol does not know of yet: they are counted and told of a
    ///     shutdown here.
    ///   - open: called on the connection's event loop when it is ready for its protocol; adds the handlers of it.
    /// - Returns: the listening channel. Closing it stops accepting; `ChannelShouldQuiesceEvent` in its pipeline also
    ///   reaches the connections.
    package static func bind(
        _ address: BindAddress,
        group: any EventLoopGroup,
        entrance: Entrance,
        hasStages: Bool,
        open: @escaping @Sendable (any Channel, Arrival) throws -> Void
    ) -> EventLoopFuture<any Channel> {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(AcceptPause(connectsPerSecond: entrance.connectsPerSecond))
                    if hasStages || entrance.hasStages || entrance.connectionsMax < .max {
                        try pipeline.addHandler(AcceptedConnections(connectionsMax: entrance.connectionsMax))
                    }
                }
            }
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // Set here and not as options of the bootstrap, where each takes a future of its own. A second read
                    // that finds nothing is a system call for nothing.
                    let options = channel.syncOptions
                    try options?.setOption(.maxMessagesPerRead, value: 1)
                    try options?.setOption(.recvAllocator, value: ReadBuffers())
                    try entrance.enter(channel, open)
                }
            }
        guard let path = address.unixPath else {
            return
                bootstrap
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                // Those that are accepted inherit it: two system calls less for each.
                .serverChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                // Who has no keep-alive and lost its power is noticed after some hours.
                .serverChannelOption(.socketOption(.so_keepalive), value: 1)
                .bind(host: address.host, port: address.port)
        }
        do throws(UnixSocketFile.Failure) {
            return bootstrap.withBoundSocket(try UnixSocketFile.bind(path))
        } catch {
            return group.any().makeFailedFuture(error)
        }
    }
}

extension ChannelOptions.Types.WriteBufferWaterMark {
    /// A slow reader is told of at the limit, and believed again at half of it.
    static func mqtt(_ bytesMax: Int) -> Self { .init(low: max(1, bytesMax / 2), high: max(2, bytesMax)) }
}
