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

    private let simulation: Simulation
    private let nodeNumber: UInt64
    private(set) var store = SpoolStore()
    private var waiting = Batch()
    private var writing: Batch?
    private var nextPosition: UInt64 = 1
    /// Counts starts: what was planned before a crash does not happen after it.
    private var life: UInt64 = 0
    var isSlow = false
    /// The next so many commits fail.
    var failures = 0
    /// Every commit fails, and nothing new is taken.
    private(set) var isSick = false
    /// Told of every commit at the moment at which it happens, and of every message that a full queue gave up.
    var onCommit: (Ticket) -> Void = { _ in }
    var onGivenUp: (ReceiverRecord.Kind, Position) -> Void = { _, _ in }
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
        isSick = false
        failures = 0
        nextPosition = store.lastPosition + 1
    }

    /// The run is over: nobody listens any more.
    func tearDown() {
        onCommit = { _ in }
        onGivenUp = { _, _ in }
        report = { _ in }
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
        simulation.schedule(after: delay) {
            guard self.life == life, self.writing != nil else { return }
            if self.fails() { return self.retry(batch) }
            self.writing = nil
            self.commit(batch)
            self.tell(.committed(batch.ticket), after: self.simulation.random.duration(milliseconds: 0...3))
            for request in batch.loads { self.load(request) }
            self.write()
        }
    }

    private func fails() -> Bool {
        guard !isSick else { return true }
        guard failures > 0 else { return false }
        failures -= 1
        return true
    }

    /// A failed commit: nothing is told and nothing undone. The writer opens the file again and looks; the batch may be
    /// there all the same.
    private func retry(_ batch: Batch) {
        simulation.trace("spool \(nodeNumber) fails to commit \(batch.ticket.number)")
        let isThere = simulation.random.once(in: 4)
        if isThere {
            commit(batch)
            writing = Batch()
        }
        let life = life
        simulation.schedule(after: simulation.random.duration(milliseconds: 20...400)) {
            guard self.life == life, self.writing != nil else { return }
            var batch = batch
            if isThere {
                self.tell(.committed(batch.ticket), after: .zero)
                for request in batch.loads { self.load(request) }
                batch = Batch()
            }
            // What waits meanwhile goes into the same transaction.
            batch.records += self.waiting.records
            batch.loads += self.waiting.loads
            if !self.waiting.isEmpty { batch.ticket = self.waiting.ticket }
            self.waiting = batch
            self.writing = nil
            self.write()
        }
    }

    func becomeSick(_ isSick: Bool) {
        guard self.isSick != isSick else { return }
        self.isSick = isSick
        tell(.refusing(isSick ? .sick : nil), after: .zero)
    }

    private func commit(_ batch: Batch) {
        store.wallMark = max(store.wallMark, simulation.now.wall)
        for record in batch.records {
            if let problem = store.apply(record) { simulation.fail("spool: \(problem)") }
        }
        simulation.trace("spool \(nodeNumber) commits \(batch.ticket.number), \(batch.records.count) records")
        if simulation.options.losesRows, simulation.random.once(in: 50) { store.loseRow() }
        onCommit(batch.ticket)
        for (receiver, kind, positions) in store.giveUpOldest(over: simulation.options.spoolQueueMax) {
            for position in positions { onGivenUp(kind, position) }
            tell(.dropped(receiver, messages: positions.count), after: .zero)
        }
    }

    /// Reads at a moment of its own choosing after the commit, and answers even later.
    private func load(_ request: LoadRequest) {
        let isLate = simulation.random.once(in: 8)
        let delay = simulation.random.duration(milliseconds: isLate ? 50...2_000 : 0...5)
        let life = life
        simulation.schedule(after: delay) {
            guard self.life == life else { return }
            let page = self.store.page(request)
            self.tell(.loaded(page), after: self.simulation.random.duration(milliseconds: 0...5))
        }
    }

    private func tell(_ event: SpoolEvent, after delay: Duration) {
        let life = life
        simulation.schedule(after: delay) {
            guard self.life == life else { return }
            self.report(event)
        }
    }
}
