import BrokerSimulation
import Testing

/// Whole runs from seeds. `DRAWBRIDGE_SEED=n` runs that seed alone, `DRAWBRIDGE_SEEDS=count` that many, from
/// `DRAWBRIDGE_FIRST_SEED` on; `DRAWBRIDGE_TRACE=1` prints what happened in a run that failed.
@Suite struct FixedSeedsTests {
    static var seeds: Range<UInt64> {
        if let seed = Environment.number("DRAWBRIDGE_SEED") { return seed..<seed + 1 }
        let first = Environment.number("DRAWBRIDGE_FIRST_SEED") ?? 1
        return first..<first + (Environment.number("DRAWBRIDGE_SEEDS") ?? 200)
    }

    @Test("no seed breaks a promise")
    func promisesHold() {
        for seed in Self.seeds {
            let report = Simulation(seed: seed).run()
            if Environment.number("DRAWBRIDGE_TRACE") != nil, !report.failures.isEmpty {
                for line in report.trace.lines { print(line) }
            }
            if !report.failures.isEmpty { Issue.record("\(report)") }
        }
    }
}
