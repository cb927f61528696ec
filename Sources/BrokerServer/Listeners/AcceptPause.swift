import BrokerCore
import Dispatch
import Foundation
package import NIOCore

/// Stands in the pipeline of a listening socket and stops accepting for a moment: when the system has no descriptors or
/// buffers left, since accept fails again at once then and the loop would turn in circles; and when more come in a second
/// than may. Whoever waits meanwhile waits in the backlog of the socket, and nobody is sent away.
///
/// NIO's own `AcceptBackoffHandler` delays the next read, while the one that failed stays wanted: measured, the loop
/// went on turning. Reading is switched off instead. Errors of a single connection, which a peer can bring about by
/// resetting it, stop nothing.
package final class AcceptPause: ChannelInboundHandler {
    package typealias InboundIn = any Channel
    package typealias InboundOut = any Channel

    private static let pause = TimeAmount.milliseconds(200)
    private let connectsPerSecond: Int?
    private var bucket: LeakyBucket?
    private var isPausing = false

    /// - Parameter connectsPerSecond: nil for as many as come.
    package init(connectsPerSecond: Int? = nil) { self.connectsPerSecond = connectsPerSecond }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if let connectsPerSecond {
            let now = Instant(nanoseconds: context.eventLoop.now.uptimeNanoseconds)
            // A tenth of a second's worth may come at once.
            var bucket =
                bucket ?? LeakyBucket(perSecond: connectsPerSecond, capacity: connectsPerSecond / 10, now: now)
            bucket.pour(1, now: now)
            let wait = bucket.wait(now: now)
            self.bucket = bucket
            if wait > .zero { pause(context, for: TimeAmount(wait)) }
        }
        context.fireChannelRead(data)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? IOError, Self.isOfSystem(error) else { return context.fireErrorCaught(error) }
        pause(context, for: Self.pause)
    }

    private func pause(_ context: ChannelHandlerContext, for time: TimeAmount) {
        guard !isPausing else { return }
        isPausing = true
        let channel = context.channel
        channel.setOption(.autoRead, value: false).assumeIsolated().whenComplete { _ in }
        context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            self.isPausing = false
            // One read accepts several.
            let now = Instant(nanoseconds: context.eventLoop.now.uptimeNanoseconds)
            if let wait = self.bucket?.wait(now: now), wait > .zero {
                return self.pause(context, for: TimeAmount(wait))
            }
            channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        }
    }

    private static func isOfSystem(_ error: IOError) -> Bool {
        [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode)
    }
}
