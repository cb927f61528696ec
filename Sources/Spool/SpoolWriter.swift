import BrokerCore
import Foundation

/// The one thread that writes: it takes what waits, commits it in one transaction, announces it, repeats.
///
///     take -> apply to the index -> write, COMMIT -> books -> announce -> loads to the reader -> checkpoint -> take
///                                     |      ^
///                                     v      | not on disk: write again
///                          close, pause, reopen, read the batch number -> on disk: go on
///
/// Before the checkpoint some free pages are given back now and then, if there are many.
///
/// There is no timer: while a batch is written, the next one gathers. After a failure nothing is undone and nothing
/// announced; a failed fsync is never retried on the same handle, because the kernel may have dropped the pages.
///
/// Unchecked: everything mutable belongs to the thread, which starts after `init`; `end` is guarded by its condition.
final class SpoolWriter: @unchecked Sendable {
    private let path: String
    private let options: SpoolOptions
    private let room: SpoolRoom
    private let intake: SpoolIntake
    private let tidings: SpoolTidings
    private let status: SpoolStatus
    private let reader: SpoolReader
    private let directory: SpoolDirectory
    private var index: QueueIndex
    /// Nil while the disk is sick.
    private var store: BatchStore?
    private var lastBatch: UInt64
    private var lastWall = Timestamp(microseconds: 0)
    /// True while there are more pages to give back than one step took.
    private var hasPagesToGive = true
    /// When pages may be given back between two batches again.
    private var nextBusyStep = ContinuousClock.now
    private let end = NSCondition()
    private var hasEnded = false
    /// What messages grow old by: the wall time of the opening, and what has passed since.
    private let openedAt: Timestamp
    private let opened = ContinuousClock.now

    /// How many records a batch takes: so many that its commit is a small part of it, and no more, since those who wait
    /// for its answers could send the next ones meanwhile. A disk that takes long to sync gets large batches.
    private var recordsMax = SpoolWriter.recordsMin
    private static let recordsMin = 1_000
    /// How much longer than its commit the rest of a batch should take at least; a commit writes the pages of the batch.
    private static let commitsWorth = 2.0

    /// How long nothing must come before the log is emptied.
    private static let idleSeconds = 1.0
    /// Between two steps of giving pages back, when nothing comes.
    private static let stepSeconds = 0.01
    /// Between two steps of giving pages back while batch follows batch: so many times as long as the last one took
    /// with its commit, and this long at least.
    private static let busyRestFactor = 20
    private static let busyRestMin = Duration.milliseconds(50)
    private static let pauseSecondsMin = 0.1
    private static let pauseSecondsMax = 2.0
    /// How many steps of giving pages back a close takes.
    private static let lastStepsMax = 8
    /// How often a batch is tried again once the spool closes.
    private static let lastTriesMax = 3

    init(
        store: BatchStore,
        index: QueueIndex,
        lastBatch: UInt64,
        directory: SpoolDirectory,
        options: SpoolOptions,
        intake: SpoolIntake,
        tidings: SpoolTidings,
        status: SpoolStatus,
        reader: SpoolReader,
        openedAt: Timestamp
    ) {
        self.openedAt = openedAt
        self.store = store
        self.index = index
        self.lastBatch = lastBatch
        self.directory = directory
        self.path = directory.databasePath
        self.options = options
        room = SpoolRoom(options)
        self.intake = intake
        self.tidings = tidings
        self.status = status
        self.reader = reader
    }

    func start() {
        updateRefusal()
        let thread = Thread { self.run() }
        thread.name = "spool.writer"
        thread.start()
    }

    /// Blocks until the thread has ended.
    func waitUntilEnded() {
        end.lock()
        defer { end.unlock() }
        while !hasEnded { end.wait() }
    }

    private func run() {
        var isRunning = true
        while isRunning {
            switch intake.take(waitingAtMost: patience, recordsMax: recordsMax) {
            case .work(let appends, let wall):
                isRunning = perform(appends, wall)
            case .idle:
                reopen()
                takeBounds()
                setDamagedAside()
                tidy()
                if store != nil, index.untilSweep(at: now) == .zero { isRunning = perform([], intake.wall) }
                updateRefusal()
            case .finished:
                isRunning = false
            }
        }
        reader.close()
        maintain { (store) throws(SpoolError) in
            try store.connection.run("UPDATE node SET is_open = 0", while: "closing")
            var steps = 1
            while steps < Self.lastStepsMax, try store.tidy() { steps += 1 }
        }
        store?.close()
        store = nil
        SpoolBoot.ended(in: directory.path, batch: lastBatch)
        directory.release()
        end.lock()
        hasEnded = true
        end.broadcast()
        end.unlock()
    }

    /// The time by which messages grow old.
    private var now: Timestamp { openedAt.later(by: options.hooks.elapsed?() ?? ContinuousClock.now - opened) }

    /// How long to wait for work before there is something else to do; nil when there is nothing.
    private var patience: TimeInterval? {
        guard store != nil, let sweep = index.untilSweep(at: now) else { return patienceOfFile }
        // What is too old goes in steps as well.
        let seconds = max(sweep / .seconds(1), Self.stepSeconds)
        return min(seconds, patienceOfFile ?? seconds)
    }

    private var patienceOfFile: TimeInterval? {
        if store == nil { return Self.idleSeconds }
        if hasPagesToGive { return Self.stepSeconds }
        if status.refusal != nil { return SpoolRoom.secondsBetweenLooks }
        return store?.hasLog == true ? Self.idleSeconds : nil
    }

    /// False when the spool closes although the batch could not be written.
    private func perform(_ appends: [SpoolAppend], _ wall: Timestamp) -> Bool {
        takeBounds()
        var batch = index.apply(appends, at: now)
        batch.wallMark = wall.microseconds
        lastWall = wall
        if !batch.isEmpty {
            batch.number = lastBatch + 1
            let start = ContinuousClock.now
            guard let aside = write(batch, wall) else { return false }
            if let store { measure(batch, ContinuousClock.now - start - store.lastCommit, store.lastCommit) }
            lastBatch = batch.number
            for one in aside { forget(one, &batch) }
            status.committed(batch, setAside: aside.count, isDemanded: batch.demandsSync && options.mode != .sync)
        } else {
            status.changed(batch)
        }
        tell(batch, committed: appends.map(\.ticket).max() ?? .none)
        load(appends)
        maintain { (store) throws(SpoolError) in
            try giveBackPages(of: store)
            try store.checkpointIfLong()
        }
        hasPagesToGive = false
        setDamagedAside()
        updateRefusal()
        return true
    }

    private func measure(_ batch: Batch, _ writing: Duration, _ committing: Duration) {
        let wanted = Self.commitsWorth * (committing / max(writing, .nanoseconds(1))) * Double(batch.count)
        recordsMax = max(Self.recordsMin, Int(min(wanted, 1e6)))
    }

    /// Maintenance may have closed the file. While the spool refuses, no batch would come to find out that it is well.
    private func reopen() {
        guard store == nil else { return }
        do throws(SpoolError) {
            let reopened = try BatchStore(path: path, mode: options.mode)
            _ = try reopened.lastBatch()
            store = reopened
            status.recovered()
        } catch {
            status.failed(at: lastWall, error)
            refuse(.sick)
        }
    }

    /// Takes a message that could not be stored out of the queues, so that nobody waits for it.
    private func forget(_ aside: SetAside, _ batch: inout Batch) {
        guard let position = aside.position else { return }
        batch.rows.removeAll { $0.position == position }
        batch.messages -= 1
        let change = index.forget(position, .setAside)
        batch.dropped += change.dropped
        batch.tallies += change.tallies
        batch.open = change.open
        batch.fullness += change.fullness
        batch.levels += change.levels
    }

    private func takeBounds() {
        guard let bounds = intake.takeBounds() else { return }
        let change = index.setBounds(session: bounds.session, links: bounds.links)
        room.setWatermarks(bounds.watermarks)
        status.changed(change)
        tell(change)
    }

    /// What the reader found damaged leaves the queues: it would be counted, and waited for, for ever.
    private func setDamagedAside() {
        for position in intake.takeDamaged() {
            let change = index.forget(position, .damaged)
            status.changed(change)
            tell(change)
            maintain { (store) throws(SpoolError) in
                try store.setDamagedAside(position, wall: lastWall.microseconds)
            }
        }
    }

    /// Gives pages back and empties the log, a step at a time, while nothing else is to be done.
    private func tidy() {
        hasPagesToGive = false
        maintain { (store) throws(SpoolError) in hasPagesToGive = try store.tidy() }
    }

    /// Gives some free pages back although there is other work: in a file that is never at rest they would stay.
    ///
    /// It must not slow commits down notably. A step begins no page after 2 ms, and all steps with their commits take a
    /// twentieth of the time at most, however slow the disk is; none is made unless there are many free pages.
    private func giveBackPages(of store: BatchStore) throws(SpoolError) {
        let start = ContinuousClock.now
        guard start >= nextBusyStep else { return }
        defer {
            let end = ContinuousClock.now
            nextBusyStep = end + max(Self.busyRestMin, (end - start) * Self.busyRestFactor)
        }
        try store.giveBackPagesIfMany()
    }

    /// Tells when the spool, or the disk, has no more room, and when it has again.
    private func updateRefusal() {
        maintain { (store) throws(SpoolError) in
            let bytes = try store.bytes()
            refuse(room.refusal(bytes: bytes, directory: options.directory))
            let wasHigh = room.isHigh
            guard room.isHigh(bytesUsed: bytes.used) != wasHigh else { return }
            status.isHigh(room.isHigh)
            tidings.level(QueueLevel(isHigh: room.isHigh, messages: index.openMessages, bytes: bytes.used))
        }
    }

    private func refuse(_ refusal: SpoolRefusal?) {
        status.refuses(refusal)
        tidings.refuse(refusal)
    }

    /// Writes until it is on disk. Nil when the spool closes before that.
    /// - Returns: what was set aside.
    private func write(_ batch: Batch, _ wall: Timestamp) -> [SetAside]? {
        var pause = Self.pauseSecondsMin
        var lastTries = 0
        // What the last attempt left out, should it have taken effect.
        var aside: [SetAside] = []
        while true {
            do throws(SpoolError) {
                if let store {
                    try store.write(batch, hooks: options.hooks, aside: &aside)
                    return aside
                }
                let reopened = try BatchStore(path: path, mode: options.mode)
                store = reopened
                // The commit may have taken effect although it said that it failed.
                if try reopened.lastBatch() == batch.number { return aside }
            } catch {
                status.failed(at: wall, error)
                refuse(.sick)
                store?.close()
                store = nil
                if intake.pause(seconds: pause) {
                    lastTries += 1
                    if lastTries > Self.lastTriesMax { return nil }
                }
                pause = min(pause * 2, Self.pauseSecondsMax)
            }
        }
    }

    /// Work on the file that no answer waits for. When it fails the next batch will find out what is wrong.
    private func maintain(_ work: (BatchStore) throws(SpoolError) -> Void) {
        guard let store else { return }
        do {
            try work(store)
        } catch {
            store.close()
            self.store = nil
        }
    }

    /// - Parameter ticket: the highest that is on disk now; none when nothing was written for somebody who waits.
    private func tell(_ batch: Batch, committed ticket: Ticket = .none) {
        var events: [SpoolEvent] = ticket == .none ? [] : [.committed(ticket)]
        for dropped in batch.dropped { events.append(.dropped(dropped.receiver, messages: dropped.messages)) }
        // Who is full is told first: the answers that follow may bring the next message.
        tidings.fullness(batch.fullness + batch.tallies.compactMap { $0.isGone ? ($0.receiver, false) : nil })
        let lowered = batch.tallies.filter(\.isGone).map {
            ($0.receiver, QueueLevel(isHigh: false, messages: 0, bytes: 0))
        }
        tidings.levels(batch.levels + lowered)
        if !events.isEmpty { tidings.tell(events) }
    }

    private func load(_ appends: [SpoolAppend]) {
        var jobs: [SpoolReader.Job] = []
        for append in appends {
            for request in append.loads {
                let (positions, end) = index.page(request)
                jobs.append(.init(request: request, positions: positions, end: end))
            }
        }
        if !jobs.isEmpty { reader.read(jobs) }
    }
}
