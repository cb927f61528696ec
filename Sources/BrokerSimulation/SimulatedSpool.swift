import BrokerCore

/// A spool in memory that behaves as the real one may at its worst: one transaction for all that waits, committed late,
/// pages read at some moment after that, and on a crash everything that was not committed is gone.
final class SimulatedSpool {
    private struct Batch {
        var records: [SpoolRecord] = []
        var ticket = Ticket.none
        var loads: [LoadRequest] = []
        var isEmpty: Bool { records.isEmpty && loads.isEmpty }
    }

    private unowned let simulation: Simulation
    private let nodeNumber: UInt64
    private(set) var store = SpoolStore()
    private var waiting = Batch()
    private var writing: Batch?
    private var nextPosition: UInt64 = 1
    /// Counts starts: what was planned before a crash does not happen after it.
    private var life: UInt64 = 0
    var isSlow = false
    /// Takes what the spool tells the shard.
    var report: (SpoolEvent) -> Void = { _ in }

    init(_ simulation: Simulation, nodeNumber: UInt64) {
        self.simulation = simulation
        self.nodeNumber = nodeNumber
    }

    /// - Returns: the position of the first message among the records.
    func append(_ records: [SpoolRecord], loads: [LoadRequest], ticket: Ticket) -> Position {
        let first = Position(nextPosition)
        for case .message in records { nextPosition += 1 }
        waiting.records += records
        waiting.loads += loads
        waiting.ticket = ticket
        if writing == nil { write() }
        return first
    }

    var isIdle: Bool { writing == nil && waiting.isEmpty }

    /// - Parameter loses: whether the transaction that is being written is lost as well.
    func crash(loses: Bool) {
        life += 1
        if let writing, !loses { commit(writing) }
        writing = nil
        waiting = Batch()
        nextPosition = store.lastPosition + 1
    }

    func contents() -> SpoolContents { store.contents(nodeNumber: nodeNumber, bootCount: life + 1) }

    private func write() {
        guard !waiting.isEmpty else { return }
        let batch = waiting
        waiting = Batch()
        writing = batch
        let delay = simulation.random.duration(milliseconds: isSlow ? 200...3_000 : 0...15)
        let life = life
        if simulation.options.liesAboutCommits { tell(.committed(batch.ticket), after: .zero) }
        simulation.schedule(after: delay) { [weak self] in
            guard let self, self.life == life, self.writing != nil else { return }
            self.writing = nil
            self.commit(batch)
            self.tell(.committed(batch.ticket), after: self.simulation.random.duration(milliseconds: 0...3))
            for request in batch.loads { self.load(request) }
            self.write()
        }
    }

    private func commit(_ batch: Batch) {
        store.wallMark = max(store.wallMark, simulation.now.wall)
        for record in batch.records {
            if let problem = store.apply(record) { simulation.fail("spool: \(problem)") }
        }
        simulation.trace("spool \(nodeNumber) commits \(batch.ticket.number), \(batch.records.count) records")
    }

    /// Reads at a moment of its own choosing after the commit, and answers even later.
    private func load(_ request: LoadRequest) {
        let isLate = simulation.random.once(in: 8)
        let delay = simulation.random.duration(milliseconds: isLate ? 50...2_000 : 0...5)
        let life = life
        simulation.schedule(after: delay) { [weak self] in
            guard let self, self.life == life else { return }
            let page = self.store.page(request)
            self.tell(.loaded(page), after: self.simulation.random.duration(milliseconds: 0...5))
        }
    }

    private func tell(_ event: SpoolEvent, after delay: Duration) {
        let life = life
        simulation.schedule(after: delay) { [weak self] in
            guard let self, self.life == life else { return }
            self.report(event)
        }
    }
}
