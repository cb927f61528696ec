import BrokerSimulation
import Testing

@Suite struct DeterminismTests {
    @Test("the same seed gives the same run", arguments: [1, 2, 3] as [UInt64])
    func sameSeedSameDigest(seed: UInt64) {
        var options = SimulationOptions(seed: seed)
        options.keepsTrace = true
        let first = Simulation(seed: seed, options: options).run()
        let second = Simulation(seed: seed, options: options).run()
        #expect(first.digest == second.digest)
        #expect(!first.trace.lines.isEmpty)
        let isSame = first.trace.lines == second.trace.lines
        #expect(isSame)
    }

    /// Dictionaries have another order in every process: whoever lets that order into behaviour is found out here.
    @Test("the same seed gives the same digest in another process", arguments: [4, 5, 6] as [UInt64])
    func sameDigestElsewhere(seed: UInt64) async throws {
        let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
            [seed = seed as UInt64] in
            print("digest \(Simulation(seed: seed).run().digest).")
        }
        let output = String(decoding: try #require(result).standardOutputContent, as: UTF8.self)
        let here = Simulation(seed: seed).run().digest
        #expect(output.contains("digest \(here)."))
    }

    @Test("different seeds give different runs")
    func differentSeeds() {
        #expect(Simulation(seed: 1).run().digest != Simulation(seed: 2).run().digest)
    }

    @Test("a run that is stopped half way goes the same way until there, and says that it was stopped")
    func stopped() {
        var options = SimulationOptions(seed: 3)
        options.keepsTrace = true
        let whole = Simulation(seed: 3, options: options).run()
        options.stepsMax = 500
        let half = Simulation(seed: 3, options: options).run()
        #expect(half.wasStopped)
        #expect(half.steps == 500)
        #expect(half.failures.isEmpty)
        let goesTheSameWay = whole.trace.lines.starts(with: half.trace.lines.dropLast())
        #expect(goesTheSameWay)
        #expect(half.description.contains("drawbridge simulate --seed 3 --steps 500"))
    }
}
