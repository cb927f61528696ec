import NIOCore
import NIOHTTP1

/// Serves one request of the administration and closes: whoever asks is a command that asks once.
final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let routes: AdminRoutes
    private let door: AdminRoute.Door
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    private var isAnswered = false
    private var deadline: Scheduled<Void>?

    private static let bodyBytesMax = 64 << 10
    private static let requestTimeout = TimeAmount.seconds(10)

    init(routes: AdminRoutes, door: AdminRoute.Door) {
        self.routes = routes
        self.door = door
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: Self.requestTimeout) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswered else { return }
        switch Self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
        case .body(let bytes):
            guard bytes.readableBytes <= Self.bodyBytesMax - body.readableBytes else {
                return send(.problem(.payloadTooLarge, "The body is larger than \(Self.bodyBytesMax) bytes."), context)
            }
            body.writeImmutableBuffer(bytes)
        case .end:
            guard let head else { return }
            deadline?.cancel()
            ask(AdminRequest(method: head.method, uri: head.uri, body: body), context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Not HTTP, or gone: either way there is nobody to explain it to.
        context.close(promise: nil)
    }

    private func ask(_ request: AdminRequest, _ context: ChannelHandlerContext) {
        isAnswered = true
        let promise = context.eventLoop.makePromise(of: HTTPAnswer.self)
        promise.completeWithTask { [routes, door] in await routes.answer(request, at: door) }
        promise.futureResult.assumeIsolated().whenSuccess { answer in
            if context.channel.isActive { self.send(answer, context) }
        }
    }

    private func send(_ answer: HTTPAnswer, _ context: ChannelHandlerContext) {
        isAnswered = true
        deadline?.cancel()
        var head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: answer.headers)
        head.headers.replaceOrAdd(name: "Content-Length", value: String(answer.body.readableBytes))
        head.headers.replaceOrAdd(name: "Connection", value: "close")
        context.write(Self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(Self.wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}
