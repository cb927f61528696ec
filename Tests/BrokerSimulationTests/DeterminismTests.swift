import BrokerSimulation
import Testing

@Suite struct DeterminismTests {
    @Test("the same seed gives the same run", arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func sameSeedSameDigest(seed: UInt64) {
        let first = Simulation(seed: seed).run()
        let second = Simulation(seed: seed).run()
        #expect(first.digest == second.digest)
        #expect(first.trace.lines == second.trace.lines)
    }

    @Test("different seeds give different runs")
    func differentSeeds() {
        #expect(Simulation(seed: 1).run().digest != Simulation(seed: 2).run().digest)
    }
}
