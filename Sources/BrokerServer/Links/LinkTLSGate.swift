import NIOCore
import NIOSSL
import NIOTLS

/// Stands behind the TLS handler of a connection to an upstream until the handshake is done, and says how it ended.
final class LinkTLSGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let deadline: NIODeadline
    private let connected: (any Channel) -> Void
    private let failed: (String) -> Void
    private var timer: Scheduled<Void>?
    /// Told once; errors follow one another.
    private var isOver = false

    init(deadline: NIODeadline, connected: @escaping (any Channel) -> Void, failed: @escaping (String) -> Void) {
        self.deadline = deadline
        self.connected = connected
        self.failed = failed
    }

    func handlerAdded(context: ChannelHandlerContext) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.fail("the TLS handshake was not done in time", context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        fail("closed by the other side during the TLS handshake", context)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSUserEvent.handshakeCompleted = event, !isOver else {
            return context.fireUserInboundEventTriggered(event)
        }
        isOver = true
        timer?.cancel()
        connected(context.channel)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        var peer: NIOSSLCertificate?
        do {
            peer = try context.pipeline.syncOperations.nioSSL_peerCertificate()
        } catch {
            // Without it less can be said, that is all.
        }
        fail(TLSFailure.text(error, peer: peer), context)
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        failed(reason)
        context.close(promise: nil)
    }
}
