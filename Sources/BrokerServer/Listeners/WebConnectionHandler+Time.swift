import BrokerCore
import NIOCore
import NIOHTTP1

/// Deadlines of the client, and how fast it may ask.
extension WebConnectionHandler {
    /// Counts a request: its head, and that it asks for something.
    func measure(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard throttle != nil else { return }
        let bytes = head.headers.reduce(head.uri.utf8.count + 16) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
        throttle?.received(bytes: bytes, now: context.instant)
        throttle?.receivedMessage(now: context.instant)
        slowDown(context)
    }

    /// Nothing more is read until the bucket has leaked; the request under way is answered.
    func slowDown(_ context: ChannelHandlerContext) {
        guard !isThrottled, let pause = throttle?.pause(now: context.instant), pause > .zero else { return }
        isThrottled = true
        context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(pause)) {
            self.isThrottled = false
            // The time that was lost is not the client's.
            if self.deadline != nil { self.expect(within: self.timeAllowed, context) }
            self.workThroughWaiting(context)
        }
    }

    private var timeAllowed: TimeAmount {
        if case .receiving = state { limits.bodyTimeout } else { limits.idleTimeout }
    }

    func expect(within time: TimeAmount, _ context: ChannelHandlerContext) {
        let deadline = context.eventLoop.now + time
        self.deadline = deadline
        if let timer {
            // A timer that is too early looks again when it fires; most are, and none is moved per request.
            guard deadline < timer.at else { return }
            timer.task.cancel()
        }
        schedule(at: deadline, context)
    }

    private func schedule(at deadline: NIODeadline, _ context: ChannelHandlerContext) {
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.timer = nil
            self.timeReached(context)
        }
        timer = (deadline, task)
    }

    private func timeReached(_ context: ChannelHandlerContext) {
        guard let deadline else { return }
        guard deadline <= context.eventLoop.now else {
            schedule(at: deadline, context)
            return
        }
        self.deadline = nil
        switch state {
        case .receiving(let request):
            send(.problem(.requestTimeout, "The body did not arrive in time."), to: request, closes: true, context)
        case .idle, .closing:
            // A slow line that still takes bytes is not idle.
            let left = unsentBytes(context)
            if left > 0, left < untaken {
                untaken = left
                expect(within: limits.idleTimeout, context)
            } else {
                context.close(promise: nil)
            }
        case .answering(let request):
            let answer = HTTPAnswer.problem(
                .gatewayTimeout,
                "The disk does not answer. Whether the message is kept is not known: sent again, it may come twice."
            )
            send(answer, to: request, closes: true, context)
        case .authenticating, .upgrading:
            context.close(promise: nil)
        case .closed:
            break
        }
    }

    private func unsentBytes(_ context: ChannelHandlerContext) -> Int {
        do {
            return try context.channel.syncOptions?.getOption(.bufferedWritableBytes) ?? 0
        } catch {
            return 0
        }
    }
}
