import MQTTCodec
import NIOCore
import NIOPosix

/// A client's work on a thread of its own, from the call to the exit code.
package struct ClientRun: Sendable {
    /// What a piece of work is asked to do from outside.
    package protocol Work: AnyObject {
        func start()
        /// Ctrl-C: ends in good order.
        func interrupt()
    }

    /// What a piece of work is given by whoever runs it: where it lives, whom it tells, and how it ends.
    package final class Desk {
        let loop: any EventLoop
        /// Hears of each packet; nil when nobody wants to.
        let say: ((String) -> Void)?
        let complain: (String) -> Void
        private let promise: EventLoopPromise<Int32>
        private(set) var isOver = false

        fileprivate init(
            _ loop: any EventLoop,
            _ promise: EventLoopPromise<Int32>,
            say: ((String) -> Void)?,
            complain: @escaping (String) -> Void
        ) {
            self.loop = loop
            self.promise = promise
            self.say = say
            self.complain = complain
        }

        /// The first exit code is the one.
        func finish(_ code: Int32) {
            guard !isOver else { return }
            isOver = true
            promise.succeed(code)
        }

        func refused(_ reason: ReasonCode, version: ProtocolVersion) {
            complain(ClientRefusal.text(reason, version: version))
            finish(ClientRefusal.exitCode(reason, version: version))
        }

        func failed(_ failure: ClientFailure) {
            complain("\(failure)")
            finish(failure.exitCode)
        }
    }

    private let loop: any EventLoop
    private let status: EventLoopFuture<Int32>
    private let work: NIOLoopBoundBox<(any Work)?>

    /// - Parameters:
    ///   - say: hears of each packet.
    ///   - complain: hears what goes wrong.
    ///   - make: called on the loop of the thread; what it makes is started, and ends at its desk.
    /// - Throws: what `make` throws.
    package static func start(
        say: (@Sendable (String) -> Void)?,
        complain: @escaping @Sendable (String) -> Void,
        _ make: @escaping @Sendable (Desk) throws -> any Work
    ) async throws -> ClientRun {
        let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
        let promise = loop.makePromise(of: Int32.self)
        let box = NIOLoopBoundBox<(any Work)?>.makeBoxSendingValue(nil, eventLoop: loop)
        do {
            try await loop.submit {
                let work = try make(Desk(loop, promise, say: say, complain: complain))
                box.value = work
                work.start()
            }.get()
        } catch {
            promise.fail(error)
            throw error
        }
        return ClientRun(loop: loop, status: promise.futureResult, work: box)
    }

    private init(loop: any EventLoop, status: EventLoopFuture<Int32>, work: NIOLoopBoundBox<(any Work)?>) {
        self.loop = loop
        self.status = status
        self.work = work
    }

    package func interrupt() { loop.execute { work.value?.interrupt() } }

    package func exitCode() async throws -> Int32 { try await status.get() }
}
