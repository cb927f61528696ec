import BrokerServer
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite("Sockets that listen")
struct ListenerSocketTests {
    @Test("a connection that was accepted sends what it has at once, and reads once a turn")
    func inheritedOptions() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        struct Found: Sendable {
            var noDelay: [ChannelOptions.Types.SocketOption.Value?] = []
            var readsPerTurn: [UInt?] = []
        }
        let found = Mutex(Found())
        let listener = try await ListenerSocket.bind(
            BindAddress(host: "127.0.0.1", port: 0),
            group: group,
            entrance: Entrance(timeout: .seconds(10), logger: Logger(label: "test")),
            hasStages: false
        ) { channel, _ in
            let noDelay = try channel.syncOptions?.getOption(.tcpOption(.tcp_nodelay))
            let reads = try channel.syncOptions?.getOption(.maxMessagesPerRead)
            found.withLock {
                $0.noDelay.append(noDelay)
                $0.readsPerTurn.append(reads)
            }
            channel.writeAndFlush(ByteBuffer(string: "in"), promise: nil)
        }.get()
        let port = try #require(listener.localAddress?.port)
        // One for each loop at least.
        var clients: [WireClient] = []
        for _ in 0..<4 { clients.append(try await WireClient.connect(port: port)) }
        for client in clients { try await client.expect(Array("in".utf8)) }
        let all = found.withLock { $0 }
        #expect(all.noDelay.count == 4 && all.noDelay.allSatisfy { $0 ?? 0 != 0 })
        #expect(all.readsPerTurn == [1, 1, 1, 1])
        for client in clients { try await client.close() }
        try await listener.close()
        try await group.shutdownGracefully()
    }
}
