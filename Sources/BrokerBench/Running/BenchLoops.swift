import NIOCore
import NIOPosix

/// The loops of a run, as whoever conducts it sees them.
struct BenchLoops: Sendable {
    private let loops: [(eventLoop: any EventLoop, bench: NIOLoopBound<BenchLoop>)]
    private let group: MultiThreadedEventLoopGroup

    static func make(
        _ settings: BenchSettings,
        run: UInt32,
        place: BenchPlace,
        on group: MultiThreadedEventLoopGroup
    ) async throws -> BenchLoops {
        var loops: [(eventLoop: any EventLoop, bench: NIOLoopBound<BenchLoop>)] = []
        for (thread, eventLoop) in group.makeIterator().prefix(settings.threads).enumerated() {
            let bench = try await eventLoop.submit {
                let bench = BenchLoop(settings, thread: thread, run: run, place: place, on: eventLoop)
                return NIOLoopBound(bench, eventLoop: eventLoop)
            }.get()
            loops.append((eventLoop, bench))
        }
        let made = BenchLoops(loops: loops, group: group)
        try await made.introduce()
        return made
    }

    private init(
        loops: [(eventLoop: any EventLoop, bench: NIOLoopBound<BenchLoop>)],
        group: MultiThreadedEventLoopGroup
    ) {
        self.loops = loops
        self.group = group
    }

    /// Calls `body` on every loop, all at once, and waits for all.
    @discardableResult
    func each<Result: Sendable>(_ body: @escaping @Sendable (BenchLoop) -> Result) async throws -> [Result] {
        let results = loops.map { loop in loop.eventLoop.submit { body(loop.bench.value) } }
        var all: [Result] = []
        for result in results { all.append(try await result.get()) }
        return all
    }

    private func introduce() async throws {
        let doors = try await each { $0.inbox }
        let loops = self.loops
        let others = zip(doors, loops).map { inbox, loop in
            let wake: @Sendable () -> Void = { loop.eventLoop.execute { loop.bench.value.takeCredits() } }
            return (inbox: inbox, wake: wake)
        }
        let writingOff = loops.map { loop in
            let tell: @Sendable (Int, UInt64) -> Void = { publisher, end in
                loop.eventLoop.execute { loop.bench.value.wroteOff(publisher, before: end) }
            }
            return tell
        }
        try await each { $0.introduce(others, writingOff: writingOff) }
    }

    func snapshot() async throws -> BenchSnapshot {
        var sum = BenchSnapshot(counters: BenchCounters(), isDone: true, isSettled: true)
        for part in try await each({ $0.snapshot() }) {
            sum.counters += part.counters
            sum.isDone = sum.isDone && part.isDone
            sum.isSettled = sum.isSettled && part.isSettled
            sum.firstFailure = sum.firstFailure ?? part.firstFailure
            sum.misfit = sum.misfit ?? part.misfit
            sum.lastAcknowledged = max(sum.lastAcknowledged, part.lastAcknowledged)
            sum.lastReceived = max(sum.lastReceived, part.lastReceived)
        }
        return sum
    }

    func lost() async throws -> UInt64 {
        var sent: [UInt64] = []
        for part in try await each({ $0.sentByPublisher() }) {
            if sent.isEmpty { sent = part } else { for index in sent.indices { sent[index] += part[index] } }
        }
        let all = sent
        return try await each { $0.lost(sent: all) }.reduce(0) { $0.addingSaturated($1) }
    }
}
