import NIOCore

/// Says what opens the line to an upstream, at a proxy or for a WebSocket, waits for the answer, and leaves.
final class LinkOpeningGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let opening: any LinkOpening
    private let deadline: NIODeadline
    private let connected: (any Channel) -> Void
    private let failed: (String) -> Void
    private var timer: Scheduled<Void>?
    private var received = ByteBuffer()
    private var isOver = false

    init(
        _ opening: any LinkOpening,
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
            self.fail(self.opening.lateText, context)
        }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: opening.request)), promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        received.writeImmutableBuffer(Self.unwrapInboundIn(data))
        let answer: Bool
        do throws(OpeningRefusal) {
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
        fail(opening.closedText, context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(opening.text(of: error), context)
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        failed(reason)
        context.close(promise: nil)
    }
}
