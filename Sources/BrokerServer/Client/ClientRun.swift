package import NIOCore
import NIOPosix

/// A client's work on a thread of its own, from the call to the exit code.
package struct ClientRun: Sendable {
    /// What a piece of work is asked to do from outside.
    package protocol Work: AnyObject {
        func start()
        /// Ctrl-C: ends in good order.
        func interrupt()
    }

    private let loop: any EventLoop
    private let status: EventLoopFuture<Int32>
    private let work: NIOLoopBoundBox<(any Work)?>

    /// - Parameter make: called on the loop of the thread; what it makes is started, and ends by its promise.
    /// - Throws: what `make` throws.
    package static func start(
        _ make: @escaping @Sendable (any EventLoop, EventLoopPromise<Int32>) throws -> any Work
    ) async throws -> ClientRun {
        let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
        let promise = loop.makePromise(of: Int32.self)
        let box = NIOLoopBoundBox<(any Work)?>.makeBoxSendingValue(nil, eventLoop: loop)
        do {
            try await loop.submit {
                let work = try make(loop, promise)
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
