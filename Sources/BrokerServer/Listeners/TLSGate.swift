import Certificates
import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// Stands behind the TLS handler of a connection that was accepted, until the handshake is done: then it adds the
/// handlers that speak the protocol, and leaves.
///
/// A peer that takes too long over its handshake, byte by byte or not at all, is closed when the time from accept to
/// CONNECT is over; what is left of that time goes on for the protocol.
final class TLSGate: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var arrival: Arrival
    private let timeout: TimeAmount
    private let username: CertificateName?
    private let logger: Logger
    private let open: (any Channel, Arrival) throws -> Void
    private var deadline: Scheduled<Void>?
    /// One cause brings several errors with it, down to the failed goodbye.
    private var isRefused = false

    /// - Parameters:
    ///   - arrival: what is known of the connection before its handshake.
    ///   - timeout: from accept to CONNECT.
    ///   - username: which name of the client's certificate is wanted.
    ///   - open: adds the handlers of the protocol; when it throws the connection is closed.
    init(
        arrival: Arrival,
        timeout: TimeAmount,
        username: CertificateName?,
        logger: Logger,
        open: @escaping (any Channel, Arrival) throws -> Void
    ) {
        self.arrival = arrival
        self.timeout = timeout
        self.username = username
        self.logger = logger
        self.open = open
    }

    func handlerAdded(context: ChannelHandlerContext) {
        deadline = context.eventLoop.assumeIsolated().scheduleTask(deadline: arrival.at + timeout) {
            self.refused("no handshake in time", context, level: .debug)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case TLSUserEvent.handshakeCompleted: handshakeCompleted(context)
        case is ChannelShouldQuiesceEvent: context.close(promise: nil)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let text = TLSFailure.text(error, peer: context.peerCertificate)
        refused(text, context, level: TLSFailure.isSilence(error) ? .debug : .info)
    }

    private func handshakeCompleted(_ context: ChannelHandlerContext) {
        if let username, let certificate = context.peerCertificate {
            guard let name = name(username, of: certificate) else {
                // Not let in without a name: the rules for clients without certificate are not meant for it.
                return refused("the client's certificate has no usable name (\(username.rawValue))", context)
            }
            arrival.certificateName = name
        }
        deadline?.cancel()
        do {
            try open(context.channel, arrival)
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    private func name(_ kind: CertificateName, of certificate: NIOSSLCertificate) -> String? {
        do {
            return kind.name(in: try certificate.toDERBytes())
        } catch {
            return nil
        }
    }

    private func refused(_ reason: String, _ context: ChannelHandlerContext, level: Logger.Level = .info) {
        deadline?.cancel()
        guard !isRefused else { return }
        isRefused = true
        logger.log(
            level: level,
            "TLS connection refused",
            metadata: [
                "peer": .string(arrival.peer(of: context.channel)), "detail": .string(reason),
            ]
        )
        context.close(promise: nil)
    }
}
