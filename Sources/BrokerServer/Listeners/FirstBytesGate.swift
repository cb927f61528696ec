package import Logging
package import NIOCore

/// Stands at the front of a connection that was accepted until its first bytes have said enough: then it adds the
/// handlers for what follows, hands them what came, and leaves.
///
/// Who says nothing, or drips, is closed when the time from accept to CONNECT is over.
///
/// ```
/// waiting --bytes--> Look.wait       waiting
///                    Look.open       handlers are added, the rest of the bytes is theirs
///                    Look.refuse     closed, with a line in the log
/// ```
package final class FirstBytesGate: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    /// What is to be done after a look at the bytes.
    package enum Look {
        case wait
        /// Bytes that were looked through are gone from the buffer.
        case open((any Channel) throws -> Void)
        case refuse(String)
    }

    private let arrival: Arrival
    private let timeout: TimeAmount
    private let logger: Logger
    private let look: (inout ByteBuffer) -> Look
    private var bytes = ByteBuffer()
    private var deadline: Scheduled<Void>?
    private var isOpen = false
    private var isRefused = false

    package init(
        arrival: Arrival,
        timeout: TimeAmount,
        logger: Logger,
        look: @escaping (inout ByteBuffer) -> Look
    ) {
        self.arrival = arrival
        self.timeout = timeout
        self.logger = logger
        self.look = look
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        deadline = context.eventLoop.assumeIsolated().scheduleTask(deadline: arrival.at + timeout) {
            self.refuse("nothing that can be recognised in time", context, level: .debug)
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    package func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        guard !isOpen else { return context.fireChannelRead(data) }
        var new = Self.unwrapInboundIn(data)
        bytes.writeBuffer(&new)
        switch look(&bytes) {
        case .wait: break
        case .refuse(let reason): refuse(reason, context)
        case .open(let open): pass(context, open)
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent, !isOpen { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard !isOpen else { return context.fireErrorCaught(error) }
        context.close(promise: nil)
    }

    private func pass(_ context: ChannelHandlerContext, _ open: (any Channel) throws -> Void) {
        deadline?.cancel()
        isOpen = true
        do {
            try open(context.channel)
        } catch {
            return context.close(promise: nil)
        }
        if bytes.readableBytes > 0 {
            context.fireChannelRead(Self.wrapInboundOut(bytes))
            context.fireChannelReadComplete()
        }
        bytes = ByteBuffer()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func refuse(_ reason: String, _ context: ChannelHandlerContext, level: Logger.Level = .info) {
        deadline?.cancel()
        guard !isRefused, !isOpen else { return }
        isRefused = true
        logger.log(
            level: level,
            "connection refused",
            metadata: ["peer": .string(arrival.peer(of: context.channel)), "detail": .string(reason)]
        )
        context.close(promise: nil)
    }
}
