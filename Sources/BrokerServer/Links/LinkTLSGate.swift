import Certificates
import NIOCore
import NIOSSL
import NIOTLS

/// Stands behind the TLS handler of a connection to an upstream until the handshake is done, and says how it ended.
final class LinkTLSGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let deadline: NIODeadline
    /// The name that the certificate must have; nil when any will do, and when an address was dialled.
    private let serverName: String?
    private let connected: (any Channel) -> Void
    private let failed: (String) -> Void
    private var timer: Scheduled<Void>?
    /// Told once; errors follow one another.
    private var isOver = false

    init(
        deadline: NIODeadline,
        serverName: String?,
        connected: @escaping (any Channel) -> Void,
        failed: @escaping (String) -> Void
    ) {
        self.deadline = deadline
        self.serverName = serverName
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
        guard isExpectedPeer(context) else {
            return fail(TLSFailure.wrongName(serverName ?? ""), context)
        }
        isOver = true
        timer?.cancel()
        connected(context.channel)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(TLSFailure.text(error, peer: context.peerCertificate), context)
    }

    /// NIOSSL is content with a certificate of the address that was reached when a name was asked for, which is what
    /// somebody has who only answers our question for that name with an address of his own.
    private func isExpectedPeer(_ context: ChannelHandlerContext) -> Bool {
        guard let serverName, let certificate = context.peerCertificate else { return true }
        do {
            // Without alternative names NIOSSL has compared the common name.
            // A name may end with a dot, those in certificates do not.
            let name = serverName.hasSuffix(".") ? String(serverName.dropLast()) : serverName
            return try CertificateHost(name).isNamed(in: certificate.toDERBytes()) ?? true
        } catch {
            return false
        }
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        failed(reason)
        context.close(promise: nil)
    }
}
