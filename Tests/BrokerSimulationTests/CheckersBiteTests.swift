import BrokerSimulation
import Testing

/// A checker that never fails proves nothing: here is a fault for each, put in on purpose.
@Suite struct CheckersBiteTests {
    struct Bite: Sendable, CustomStringConvertible {
        let sabotage: Sabotage
        /// What the checker that is meant says.
        let words: String
        var needsShares = false
        var description: String { "\(sabotage)" }
    }

    static let all: [Bite] = [
        Bite(sabotage: .earlyCommit, words: "lost:"),
        Bite(sabotage: .eagerElision, words: "lost:"),
        Bite(sabotage: .eagerAnswer, words: "lost:"),
        Bite(sabotage: .lostWill, words: "lost:"),
        Bite(sabotage: .forgottenIdentifiers, words: "twice:"),
        Bite(sabotage: .reversedPages, words: "out of order:"),
        Bite(sabotage: .forgottenRetained, words: "retained:"),
        Bite(sabotage: .deafToDisconnect, words: "forbidden: the will"),
        Bite(sabotage: .deafToNoLocal, words: "forbidden:"),
        Bite(sabotage: .lostRow, words: "ledger of node"),
        Bite(sabotage: .lostRow, words: "the spool has it no more"),
        Bite(sabotage: .deafToShare, words: "still there", needsShares: true),
        Bite(sabotage: .deafToShare, words: "twice with QoS 2", needsShares: true),
        Bite(sabotage: .forgottenGroups, words: "came to no member", needsShares: true),
        Bite(sabotage: .reversedPages, words: "shared: out of order", needsShares: true),
        Bite(sabotage: .hastyEars, words: "answered before"),
        Bite(sabotage: .reversedOrders, words: "answered before"),
        Bite(sabotage: .deafReference, words: "the reference says"),
        Bite(sabotage: .narrowBounds, words: "over its bounds"),
    ]

    @Test("every fault is found by the checker that is there for it", arguments: all)
    func isFound(bite: Bite) {
        var found: UInt64?
        for seed in 1...160 as ClosedRange<UInt64> where found == nil {
            var options = SimulationOptions(seed: seed)
            options.sabotage = bite.sabotage
            options.failuresMax = 1_000
            options.faults = 10...20
            options.hasWills = true
            options.hasNoLocal = true
            options.hasShares = bite.needsShares
            if bite.sabotage == .reversedOrders { options.loops = 2 }
            let report = Simulation(seed: seed, options: options).run()
            if report.failures.contains(where: { $0.contains(bite.words) }) { found = seed }
        }
        #expect(found != nil, "\(bite.sabotage): nobody says \"\(bite.words)\"")
    }

    @Test("every sabotage is tried")
    func allTried() {
        #expect(Set(Self.all.map(\.sabotage)) == Set(Sabotage.allCases))
    }

    @Test("every way in which a message can end happens, rows are elided, and the sum closes")
    func everyEnd() {
        var ledger = LedgerSum()
        var elided = 0
        for seed in 1...10 as ClosedRange<UInt64> {
            let report = Simulation(seed: seed).run()
            ledger += report.ledger
            elided += report.elided
        }
        #expect(ledger.delivered > 0)
        #expect(ledger.expired > 0)
        #expect(ledger.dropped > 0)
        #expect(ledger.discarded > 0)
        #expect(ledger.waiting == 0, "\(ledger)")
        #expect(elided > 0)
    }
}
