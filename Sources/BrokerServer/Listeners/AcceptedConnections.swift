package import NIOCore

/// Stands in the pipeline of a listening socket and tells the connections that came through it of a shutdown.
///
/// Fire `ChannelShouldQuiesceEvent` into the listener's pipeline: it stops accepting, every connection gets the event,
/// and those that are idle close at once while the others finish what they do.
package final class AcceptedConnections: ChannelInboundHandler {
    package typealias InboundIn = any Channel
    package typealias InboundOut = any Channel

    private var connections: [ObjectIdentifier: any Channel] = [:]
    private var isQuiescing = false
    private let connectionsMax: Int

    /// - Parameter connectionsMax: one more is closed as it comes, before anything is allocated for it.
    package init(connectionsMax: Int = .max) { self.connectionsMax = connectionsMax }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let connection = Self.unwrapInboundIn(data)
        guard !isQuiescing, connections.count < connectionsMax else {
            connection.close(promise: nil)
            return
        }
        let id = ObjectIdentifier(connection)
        connections[id] = connection
        connection.closeFuture.hop(to: context.eventLoop).assumeIsolated().whenComplete { _ in
            self.connections[id] = nil
        }
        context.fireChannelRead(data)
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            isQuiescing = true
            context.close(promise: nil)
            for connection in connections.values {
                connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            }
        }
        context.fireUserInboundEventTriggered(event)
    }
}
