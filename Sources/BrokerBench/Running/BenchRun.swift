package import BrokerServer
import Foundation
import NIOCore
import NIOPosix

/// Conducts one run: connects the clients, lets them send, measures, waits for what is on its way, and reports.
package final class BenchRun: Sendable {
    static let pollPeriod = Duration.milliseconds(10)
    /// How long connecting may stand still.
    private static let setUpPatience = 10.0
    /// After the last message that is due: for one that comes twice.
    private static let afterglow = Duration.milliseconds(100)

    let settings: BenchSettings
    let plan: BenchPlan
    let interruption: Interruption
    /// Nil for silence.
    private let progress: (@Sendable (String) -> Void)?

    /// - Parameter progress: takes a line each second.
    package init(
        _ settings: BenchSettings,
        interruption: Interruption,
        progress: (@Sendable (String) -> Void)?
    ) throws(UsageProblem) {
        let wanted = settings.descriptors
        let limit = DescriptorLimit.raise(to: wanted)
        guard wanted <= limit else {
            throw UsageProblem(
                """
                \(wanted) descriptors are needed and the system allows \(limit) (ulimit -Hn); take a smaller -c, raise \
                the limit, or share the clients among processes (-n numbers them on).
                """
            )
        }
        self.settings = settings
        self.plan = try BenchPlan(settings)
        self.interruption = interruption
        self.progress = progress
    }

    /// - Throws: why the run could not take place: `BenchProblem`, `TLSProblem`.
    package func run() async throws -> BenchReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
        let report: BenchReport
        do {
            if !settings.processes.isEmpty, ProcessUsage(of: settings.processes) == nil {
                throw BenchProblem("--pid: there is no such process.")
            }
            let place = try await BenchPlace.find(settings, on: group)
            let loops = try await BenchLoops.make(settings, run: Self.runNumber(), place: place, on: group)
            report = try await conduct(loops)
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
        return report
    }

    private func conduct(_ loops: BenchLoops) async throws -> BenchReport {
        let report =
            switch settings.scenario {
            case .conn: settings.isChurning ? try await churn(loops) : try await hold(loops)
            case .sub, .pub, .pair, .fanin, .fanout, .chat: try await exchange(loops)
            case .idle: try await idle(loops)
            case .backlog: try await backlog(loops)
            }
        try await loops.each { $0.abortAll() }
        return report
    }

    /// Random, under the boot of this machine: its monotonic clock counts from there.
    private static func runNumber() -> UInt32 {
        var boot: UInt32 = 0
        do {
            let text = try String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
            for byte in text.utf8 { boot = (boot &* 31 &+ UInt32(byte)) & 0xFFFF }
        } catch {
            boot = 0
        }
        return boot << 16 | UInt32.random(in: 0...0xFFFF)
    }

    static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    // MARK: - Steps that scenarios share

    func read(_ loops: BenchLoops) async throws -> Reading {
        let snapshot = try await loops.snapshot()
        return Reading(
            snapshot: snapshot,
            time: Self.now,
            broker: settings.processes.isEmpty ? nil : ProcessUsage(of: settings.processes),
            ownCPUSeconds: ProcessUsage.own
        )
    }

    /// Which of the clients that connect have to come.
    enum Attendance {
        /// Everybody, or the run cannot take place.
        case everybody
        /// Somebody; who does not come is counted as failed.
        case somebody
        /// The run is under way: even if nobody comes, that is what the broker did, and is counted.
        case whoever
    }

    /// Connects the clients that `isWanted` names and waits until they are ready.
    ///
    /// - Parameters:
    ///   - count: how many they are.
    ///   - needed: which of them have to come.
    /// - Returns: false when it was interrupted before. What ends a run that is under way (`whoever`) is not.
    /// - Throws: that those did not come, and why; that the broker does not allow what the run needs.
    @discardableResult
    func connect(
        _ loops: BenchLoops,
        _ count: Int,
        needed: Attendance = .everybody,
        _ isWanted: @escaping @Sendable (BenchPlan.Role) -> Bool
    ) async throws -> Bool {
        let before = try await loops.snapshot().counters
        try await loops.each { $0.connect(isWanted) }
        let watch = Patience(seconds: Self.setUpPatience)
        var ticker = ProgressTicker()
        while true {
            let snapshot = try await loops.snapshot()
            if let misfit = snapshot.misfit { throw BenchProblem(misfit) }
            let counters = snapshot.counters
            let ready = counters.ready - before.ready
            let failed = counters.failed - before.failed + counters.dropped - before.dropped
            if ready >= count { return true }
            // Of those who were there before, some may have gone.
            if ticker.isDue { say("\(ticker.seconds)s  connected \(max(0, ready)) of \(count)") }
            let isSlow = settings.connectRate.map { $0 < 1 } ?? false
            let isStuck = watch.isOver(progress: ready + failed) && !isSlow
            let isDecided = failed > 0 && (needed == .everybody || ready + failed >= count)
            let isInterrupted = interruption.isInterrupted && needed != .whoever
            guard isDecided || isStuck || isInterrupted else {
                try await Task.sleep(for: Self.pollPeriod)
                continue
            }
            if needed == .whoever, isStuck { try await loops.each { $0.giveUp() } }
            if isInterrupted, failed == 0 { return false }
            if needed == .whoever || needed == .somebody && ready > 0 { return !isInterrupted }
            throw BenchProblem("\(ready) of \(count) clients connected: \(snapshot.firstFailure ?? "nobody answers")")
        }
    }

    /// Waits for the end of the time, of the limit or of patience with whoever started it.
    ///
    /// - Parameters:
    ///   - duration: nil for no end.
    ///   - isOver: asked again and again.
    /// - Returns: the largest resident memory of the broker that was seen.
    func wait(
        _ loops: BenchLoops,
        _ duration: Duration?,
        _ ticker: inout ProgressTicker,
        _ isOver: (BenchSnapshot) -> Bool = { _ in false }
    ) async throws -> Int {
        let end = duration.map { Self.now + UInt64($0 / .nanoseconds(1)) }
        var residentMax = 0
        while !interruption.isInterrupted {
            let now = Self.now
            if let end, now >= end { break }
            let snapshot = try await loops.snapshot()
            if isOver(snapshot) { break }
            if let usage = ProcessUsage(of: settings.processes) { residentMax = max(residentMax, usage.residentBytes) }
            if ticker.isDue { say(ticker.line(snapshot.counters)) }
            let rest = end.map { Duration.nanoseconds(Int64(clamping: $0 - now)) } ?? Self.pollPeriod * 2
            try await Task.sleep(for: min(rest, Self.pollPeriod * 2))
        }
        return residentMax
    }

    /// Waits until everything has come, or nothing has for a while.
    ///
    /// - Returns: the seconds until the last that came.
    @discardableResult
    func drain(
        _ loops: BenchLoops,
        _ ticker: inout ProgressTicker,
        _ isComplete: (BenchSnapshot) -> Bool
    ) async throws -> Double {
        let begun = Self.now
        let watch = Patience(seconds: settings.patience / .seconds(1))
        while true {
            let snapshot = try await loops.snapshot()
            if isComplete(snapshot) {
                let seconds = Double(Self.now - begun) / 1e9
                try await Task.sleep(for: Self.afterglow)
                return seconds
            }
            let counters = snapshot.counters
            if watch.isOver(progress: counters.progress) {
                return Double(watch.lastChange - min(begun, watch.lastChange)) / 1e9
            }
            if ticker.isDue { say(ticker.line(counters)) }
            try await Task.sleep(for: Self.pollPeriod)
        }
    }

    /// All clients leave in good order.
    func leave(_ loops: BenchLoops, _ isWanted: @escaping @Sendable (BenchPlan.Role) -> Bool = { _ in true })
        async throws
    {
        try await loops.each { $0.leaveAll(isWanted) }
        let before = try await loops.snapshot().counters
        let watch = Patience(seconds: 3)
        var last = before
        while !watch.isOver(progress: last.ready) {
            let present = try await loops.each { $0.leavingCount }.reduce(0, +)
            if present == 0 { return }
            last = try await loops.snapshot().counters
            try await Task.sleep(for: Self.pollPeriod)
        }
    }

    func say(_ line: String) { progress?(line) }
}

/// How long nothing has changed.
final class Patience {
    private let limit: UInt64
    private var last: Int?
    private var since = BenchRun.now

    var lastChange: UInt64 { since }

    init(seconds: Double) { limit = UInt64(max(0, seconds) * 1e9) }

    func isOver(progress: Int) -> Bool {
        guard progress == last else {
            last = progress
            since = BenchRun.now
            return false
        }
        return BenchRun.now - since > limit
    }
}
