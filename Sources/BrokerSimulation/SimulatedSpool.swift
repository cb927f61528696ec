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
    /// Nothing new is taken for want of room.
    private var isFull = false
    /// What the shard was told last of the spool as a whole.
    private var toldRefusal: SpoolRefusal?
    /// Receivers that refuse, by number.
    private var fullReceivers: Set<UInt64> = []
    /// Messages that never needed a row.
    private(set) var elided = 0
    /// Told of every commit at the moment at which it happens, and of every message that a full queue gave up.
    var onCommit: (Ticket) -> Void = { _ in }
    var onGivenUp: (ReceiverRecord.Kind, Position) -> Void = { _, _ in }
    /// Takes what the spool tells the shard.
    private var report: (SpoolEvent) -> Void = { _ in }

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
        if simulation.options.sabotage == .eagerAnswer, holds(messageAcknowledgedBy: records) {
            tell(.committed(ticket), after: .zero)
        }
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
        isFull = false
        toldRefusal = nil
        failures = 0
        nextPosition = store.lastPosition + 1
    }

    /// The run is over: nobody listens any more.
    func tearDown() {
        onCommit = { _ in }
        onGivenUp = { _, _ in }
        report = { _ in }
    }

    func contents() -> SpoolContents {
        let lanes = simulation.options.settings.linkLanes
        var contents = store.contents(nodeNumber: nodeNumber, bootCount: life + 1, lanes)
        if simulation.options.sabotage == .forgottenIdentifiers {
            for index in contents.receivers.indices { contents.receivers[index].outbound = [] }
        }
        if simulation.options.sabotage == .forgottenGroups {
            contents.receivers.removeAll { if case .group = $0.record.kind { true } else { false } }
        }
        return contents
    }

    /// A shard listens from now on: it is told who refuses.
    func attach(_ report: @escaping (SpoolEvent) -> Void) {
        self.report = report
        fullReceivers.removeAll()
        updateFullness()
        sweepLater()
    }

    private func write() {
        guard !waiting.isEmpty else { return }
        let batch = waiting
        waiting = Batch()
        writing = batch
        let delay = simulation.random.duration(milliseconds: isSlow ? 200...3_000 : 0...15)
        let life = life
        if simulation.options.sabotage == .earlyCommit { tell(.committed(batch.ticket), after: .zero) }
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
        self.isSick = isSick
        tellRefusal()
    }

    func becomeFull(_ isFull: Bool) {
        self.isFull = isFull
        tellRefusal()
    }

    private func tellRefusal() {
        let refusal: SpoolRefusal? = isSick ? .sick : isFull ? .full : nil
        guard refusal != toldRefusal else { return }
        toldRefusal = refusal
        tell(.refusing(refusal), after: .zero)
    }

    /// Tells which receivers refuse from now on, and which no longer: those that are gone do not.
    private func updateFullness() {
        for (receiver, isFull) in store.fullness(simulation.options, before: fullReceivers) {
            if isFull { fullReceivers.insert(receiver.number) } else { fullReceivers.remove(receiver.number) }
            tell(.full(receiver, isFull), after: .zero)
        }
    }

    /// Whether one of the messages that are not on disk yet was acknowledged by somebody.
    private func holds(messageAcknowledgedBy records: [SpoolRecord]) -> Bool {
        records.contains {
            if case .acknowledged(_, let position) = $0 { position.number > store.lastPosition } else { false }
        }
    }

    private func commit(_ batch: Batch) {
        store.wallMark = max(store.wallMark, simulation.now.wall)
        let before = store.lastPosition
        for record in batch.records {
            if case .retain = record, simulation.options.sabotage == .forgottenRetained { continue }
            if let problem = store.apply(record, at: simulation.now.instant) { simulation.fail("spool: \(problem)") }
        }
        if simulation.options.sabotage == .eagerElision {
            for case .acknowledged(_, let position) in batch.records where position.number > before {
                store.loseRow(position)
            }
        }
        elided += store.countElided(batch.records, after: before)
        simulation.trace("spool \(nodeNumber) commits \(batch.ticket.number), \(batch.records.count) records")
        if simulation.options.sabotage == .lostRow, simulation.random.once(in: 50) { store.loseRow() }
        onCommit(batch.ticket)
        giveUpAged()
        tellGivenUp(store.giveUpOldest(simulation.options))
        updateFullness()
    }

    private func tellGivenUp(_ given: [(ReceiverID, ReceiverRecord.Kind, [Position])]) {
        for (receiver, kind, positions) in given {
            for position in positions { onGivenUp(kind, position) }
            tell(.dropped(receiver, messages: positions.count), after: .zero)
        }
    }

    private func giveUpAged() { tellGivenUp(store.giveUpAged(simulation.options, at: simulation.now.instant)) }

    /// Queues that nobody touches are looked at as well, in a batch of its own.
    private func sweepLater() {
        guard let ageMax = simulation.options.spoolAgeMax else { return }
        let life = life
        simulation.schedule(after: ageMax / 4) {
            guard self.life == life else { return }
            if self.writing == nil {
                self.giveUpAged()
                self.updateFullness()
            }
            self.sweepLater()
        }
    }

    /// Reads at a moment of its own choosing after the commit, and answers even later.
    private func load(_ request: LoadRequest) {
        let isLate = simulation.random.once(in: 8)
        let delay = simulation.random.duration(milliseconds: isLate ? 50...2_000 : 0...5)
        let life = life
        simulation.schedule(after: delay) {
            guard self.life == life else { return }
            var page = self.store.page(request)
            if self.simulation.options.sabotage == .reversedPages { page.entries.reverse() }
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
