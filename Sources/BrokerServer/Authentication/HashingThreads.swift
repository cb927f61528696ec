import BrokerCore
import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The few threads on which passwords are hashed, and what waits for them.
///
/// They run below the priority of the event loops and leave one core to them, so that a storm of logins takes what the
/// connected clients leave. On two busy cores a storm of 500 made a connected client's 99th percentile 4 ms with one
/// thread and 20 ms with two, which decided a fifth more logins a second.
///
/// What waits is bounded and served in turn by address: somebody who tries a thousand passwords stands behind himself.
final class HashingThreads: Sendable {
    private struct Job: Sendable {
        /// When nobody waits for the result any more.
        var deadline: Instant
        var run: @Sendable (_ isLate: Bool) -> Void
    }

    private let pool: NIOThreadPool
    private let queue: Mutex<FairQueue<NetworkAddress?, Job>>
    private let now: @Sendable () -> Instant

    static let waitingMax = 2048
    static let waitingPerAddressMax = 1024

    /// - Parameter now: the monotonic clock.
    init(count: Int = max(1, min(4, System.coreCount - 1)), now: @escaping @Sendable () -> Instant) {
        pool = NIOThreadPool(numberOfThreads: count)
        queue = Mutex(FairQueue(countMax: Self.waitingMax, countPerKeyMax: Self.waitingPerAddressMax))
        self.now = now
        pool.start()
    }

    /// Runs `body` on one of the threads, or tells it that it is too late to be of use.
    ///
    /// - Returns: false when too much waits already; `body` is not called then.
    func run(
        for address: NetworkAddress?, until deadline: Instant, _ body: @escaping @Sendable (_ isLate: Bool) -> Void
    )
        -> Bool
    {
        let job = Job(deadline: deadline, run: body)
        guard queue.withLock({ $0.append(job, of: address?.network) }) else { return false }
        pool.submit { state in self.runNext(isShutDown: state == .cancelled) }
        return true
    }

    /// Runs something small that reads a file, outside of the order.
    func run(_ body: @escaping @Sendable () -> Void) {
        pool.submit { state in if state == .active { body() } }
    }

    private func runNext(isShutDown: Bool) {
        guard let job = queue.withLock({ $0.popFirst() }) else { return }
        guard !isShutDown else { return job.run(true) }
        stepBack()
        job.run(now() > job.deadline)
    }

    /// On Linux each thread has a niceness of its own.
    private func stepBack() {
        #if canImport(Glibc)
            _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        #elseif canImport(Musl)
            _ = setpriority(PRIO_PROCESS, 0, 10)
        #endif
    }

    /// What still waits is told that it is too late.
    func shutDown() { pool.shutdownGracefully { _ in } }
}
