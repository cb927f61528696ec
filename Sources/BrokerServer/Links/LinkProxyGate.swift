import NIOCore

/// Asks an HTTP proxy for the way to an upstream, then leaves; what follows is said to the upstream.
final class LinkProxyGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let opening: ProxyOpening
    private let deadline: NIODeadline
    private let connected: (any Channel) -> Void
    private let failed: (String) -> Void
    private var timer: Scheduled<Void>?
    private var received = ByteBuffer()
    private var isOver = false

    init(
        _ opening: ProxyOpening,
        deadline: NIODeadline,
        connected: @escaping (any Channel) -> Void,
        failed: @escaping (String) -> Void
    ) {
        self.opening = opening
        self.deadline = deadline
        self.connected = connected
        self.failed = failed
    }

    func handlerAdded(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.fail("no answer of the proxy \(self.opening.proxy) in time", context)
        }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: opening.request)), promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        received.writeImmutableBuffer(Self.unwrapInboundIn(data))
        let answer: Bool
        do throws(ProxyOpening.Refusal) {
            answer = try opening.isAccepted(by: &received)
        } catch {
            return fail(error.reason, context)
        }
        guard answer else { return }
        isOver = true
        timer?.cancel()
        connected(context.channel)
        if received.readableBytes > 0 {
            context.fireChannelRead(Self.wrapInboundOut(received))
            context.fireChannelReadComplete()
        }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail("the proxy \(opening.proxy) closed the connection", context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail("the proxy \(opening.proxy): \(error)", context)
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        failed(reason)
        context.close(promise: nil)
    }
}
