import BrokerSimulation
import Testing

/// A checker that never fails proves nothing.
@Suite struct CheckersBiteTests {
    private func failures(of seeds: ClosedRange<UInt64>, _ change: (inout SimulationOptions) -> Void) -> [String] {
        seeds.flatMap { seed in
            var options = SimulationOptions(seed: seed)
            change(&options)
            return Simulation(seed: seed, options: options).run().failures
        }
    }

    @Test("a disk that says committed too early is found out")
    func lyingDisk() {
        let failures = failures(of: 1...12) {
            $0.liesAboutCommits = true
            $0.faults = 20...40
        }
        #expect(failures.contains { $0.contains("lost:") })
    }

    @Test("a disk that forgets who waits for a message does not close the ledger")
    func forgetfulDisk() {
        let failures = failures(of: 1...5) { $0.losesRows = true }
        #expect(failures.contains { $0.contains("the spool has it no more") })
        #expect(failures.contains { $0.contains("ledger") })
    }

    @Test("a reference that missed an UNSUBSCRIBE disagrees about who gets what")
    func deafReference() {
        let failures = failures(of: 1...8) { $0.hasDeafReference = true }
        #expect(failures.contains { $0.contains("the reference says") })
    }

    @Test("every way in which a message can end happens, and the sum closes")
    func everyEnd() {
        var ledger = LedgerSum()
        for seed in 1...10 as ClosedRange<UInt64> { ledger += Simulation(seed: seed).run().ledger }
        #expect(ledger.delivered > 0)
        #expect(ledger.expired > 0)
        #expect(ledger.dropped > 0)
        #expect(ledger.discarded > 0)
        #expect(ledger.waiting == 0, "\(ledger)")
    }
}
