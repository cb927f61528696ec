import BrokerSimulation
import Testing

/// A checker that never fails proves nothing.
@Suite struct CheckersBiteTests {
    @Test("a disk that says committed too early is found out")
    func lyingDisk() {
        var failures: [String] = []
        for seed in 1...60 as ClosedRange<UInt64> {
            var options = SimulationOptions(seed: seed)
            options.liesAboutCommits = true
            options.faults = 20...40
            failures += Simulation(seed: seed, options: options).run().failures
        }
        #expect(failures.contains { $0.contains("lost:") })
        #expect(failures.contains { $0.contains("twice:") })
    }
}
