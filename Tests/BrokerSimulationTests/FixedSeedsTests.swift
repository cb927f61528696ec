import BrokerSimulation
import Testing

/// Whole runs from seeds. `DRAWBRIDGE_SEED=n` runs that seed alone, `DRAWBRIDGE_SEEDS=count` that many, from
/// `DRAWBRIDGE_FIRST_SEED` on; `DRAWBRIDGE_TRACE=1` prints all that happened in a run that failed.
@Suite struct FixedSeedsTests {
    /// In a few portions, so that the cores share them.
    static var portions: [Range<UInt64>] {
        if let seed = Environment.number("DRAWBRIDGE_SEED") { return [seed..<seed + 1] }
        let first = Environment.number("DRAWBRIDGE_FIRST_SEED") ?? 1
        let count = Environment.number("DRAWBRIDGE_SEEDS") ?? 200
        return stride(from: first, to: first + count, by: 10).map { $0..<min($0 + 10, first + count) }
    }

    @Test("no seed breaks a promise", arguments: portions)
    func promisesHold(seeds: Range<UInt64>) {
        for seed in seeds { Self.expectPromisesHold(seed) }
    }

    @Test("no seed that once failed fails again", arguments: RegressionSeeds.all)
    func failsNoMore(regression: RegressionSeeds.Seed) {
        Self.expectPromisesHold(regression.seed)
    }

    private static func expectPromisesHold(_ seed: UInt64) {
        var options = SimulationOptions(seed: seed)
        options.keepsTrace = Environment.number("DRAWBRIDGE_TRACE") != nil
        let report = Simulation(seed: seed, options: options).run()
        guard !report.failures.isEmpty else { return }
        for line in report.trace.lines { print(line) }
        Issue.record("\(report)")
    }
}
