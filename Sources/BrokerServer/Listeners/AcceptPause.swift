import Foundation
import NIOCore

/// Stands in the pipeline of a listening socket and stops accepting for a moment when the system has no descriptors or
/// buffers left: accept fails again at once then, and the loop would turn in circles.
///
/// NIO's own `AcceptBackoffHandler` delays the next read, while the one that failed stays wanted: measured, the loop
/// went on turning. Reading is switched off instead. Errors of a single connection, which a peer can bring about by
/// resetting it, stop nothing.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private static let pause = TimeAmount.milliseconds(200)
    private var isPausing = false

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, Self.isOfSystem(error) else { return context.fireErrorCaught(error) }
        guard !isPausing else { return }
        isPausing = true
        let channel = context.channel
        channel.setOption(.autoRead, value: false).assumeIsolated().whenComplete { _ in }
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPausing = false
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        }
    }

    private static func isOfSystem(_ error: IOError) -> Bool {
        [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode)
    }
}
