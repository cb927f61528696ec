import BrokerCore
import Foundation

/// The one thread that writes: it takes everything that waits, commits it in one transaction, announces it, repeats.
///
///     take -> apply to the index -> write, COMMIT -> depths -> announce -> loads to the reader -> checkpoint -> take
///                                     |      ^
///                                     v      | not on disk: write again
///                          close, pause, reopen, read the batch number -> on disk: go on
///
/// There is no timer: while a batch is written, the next one gathers. After a failure nothing is undone and nothing
/// announced; a failed fsync is never retried on the same handle, because the kernel may have dropped the pages.
///
/// Unchecked: everything mutable belongs to the thread, which starts after `init`; `end` is guarded by its condition.
final class SpoolWriter: @unchecked Sendable {
    private let path: String
    private let hooks: SpoolHooks
    private let intake: SpoolIntake
    private let shards: SpoolShards
    private let status: SpoolStatus
    private let reader: SpoolReader
    private let directory: SpoolDirectory
    private var index: QueueIndex
    /// Nil while the disk is sick.
    private var store: BatchStore?
    private var lastBatch: UInt64
    private let end = NSCondition()
    private var hasEnded = false

    /// How long nothing must come before the log is emptied.
    private static let idleSeconds = 1.0
    private static let pauseSecondsMin = 0.1
    private static let pauseSecondsMax = 2.0
    /// How often a batch is tried again once the spool closes.
    private static let lastTriesMax = 3

    init(
        store: BatchStore,
        index: QueueIndex,
        lastBatch: UInt64,
        directory: SpoolDirectory,
        hooks: SpoolHooks,
        intake: SpoolIntake,
        shards: SpoolShards,
        status: SpoolStatus,
        reader: SpoolReader
    ) {
        self.store = store
        self.index = index
        self.lastBatch = lastBatch
        self.directory = directory
        self.path = directory.databasePath
        self.hooks = hooks
        self.intake = intake
        self.shards = shards
        self.status = status
        self.reader = reader
    }

    func start() {
        let thread = Thread { self.run() }
        thread.name = "spool-writer"
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
            switch intake.take(waitingAtMost: store?.hasLog == true ? Self.idleSeconds : nil) {
            case .work(let appends, let wall):
                isRunning = perform(appends, wall)
            case .idle:
                maintain { (store) throws(SpoolError) in try store.tidy() }
            case .finished:
                isRunning = false
            }
        }
        reader.close()
        maintain { (store) throws(SpoolError) in
            try store.connection.run("UPDATE node SET is_open = 0", while: "closing")
            try store.tidy()
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

    /// False when the spool closes although the batch could not be written.
    private func perform(_ appends: [SpoolAppend], _ wall: Timestamp) -> Bool {
        var batch = index.apply(appends)
        batch.wallMark = wall.microseconds
        if !batch.isEmpty {
            batch.number = lastBatch + 1
            guard write(batch, wall) else { return false }
            lastBatch = batch.number
        }
        status.committed(depths: batch.depths) { statistics in
            guard !batch.isEmpty else { return }
            statistics.commits += 1
            statistics.rowsWritten += UInt64(batch.rows.count)
            statistics.rowsElided += UInt64(batch.messages - batch.rows.count)
            for dropped in batch.dropped { statistics.messagesDropped += UInt64(dropped.messages) }
        }
        announce(appends, batch)
        load(appends)
        maintain { (store) throws(SpoolError) in try store.checkpointIfLong() }
        return true
    }

    /// Writes until it is on disk. False when the spool closes before that.
    private func write(_ batch: Batch, _ wall: Timestamp) -> Bool {
        var pause = Self.pauseSecondsMin
        var lastTries = 0
        while true {
            do throws(SpoolError) {
                if let store {
                    try store.write(batch, hooks: hooks)
                    return true
                }
                let reopened = try BatchStore(path: path)
                store = reopened
                // The commit may have taken effect although it said that it failed.
                if try reopened.lastBatch() == batch.number { return true }
            } catch {
                status.failed(at: wall, error)
                store?.close()
                store = nil
                if intake.pause(seconds: pause) {
                    lastTries += 1
                    if lastTries > Self.lastTriesMax { return false }
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

    /// One call per shard, with its highest ticket.
    private func announce(_ appends: [SpoolAppend], _ batch: Batch) {
        var events: [Int: [SpoolEvent]] = [:]
        var tickets: [Int: Ticket] = [:]
        for append in appends { tickets[append.shard] = max(tickets[append.shard] ?? .none, append.ticket) }
        for (shard, ticket) in tickets { events[shard] = ticket == .none ? [] : [.committed(ticket)] }
        for dropped in batch.dropped {
            events[dropped.shard, default: []].append(.dropped(dropped.receiver, messages: dropped.messages))
        }
        for (shard, events) in events.sorted(by: { $0.key < $1.key }) where !events.isEmpty {
            shards.deliver(events, to: shard)
        }
    }

    private func load(_ appends: [SpoolAppend]) {
        var jobs: [SpoolReader.Job] = []
        for append in appends {
            for request in append.loads {
                let (positions, end) = index.page(request)
                jobs.append(.init(shard: append.shard, request: request, positions: positions, end: end))
            }
        }
        if !jobs.isEmpty { reader.read(jobs) }
    }
}
