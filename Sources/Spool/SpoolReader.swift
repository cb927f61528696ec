import BrokerCore
import Foundation
import MQTTCodec
import NIOCore

/// Reads pages of queues on a thread and a connection of its own, so that a long page never holds up a commit.
///
/// The writer says which positions a page consists of; the reader fetches their rows. A row that went in between was
/// acknowledged by its receiver, or is discarded with it, and is skipped. A request that waits while its receiver
/// asks in another epoch is not answered.
///
/// Unchecked: `jobs` and the flags are touched with `condition` locked; the rest belongs to the thread.
final class SpoolReader: @unchecked Sendable {
    struct Job {
        var request: LoadRequest
        var positions: [UInt64]
        var end: Position
    }

    private let path: String
    private let tidings: SpoolTidings
    private let status: SpoolStatus
    private let intake: SpoolIntake
    private let condition = NSCondition()
    private var jobs: [Job] = []
    private var isClosing = false
    private var hasEnded = false

    init(path: String, tidings: SpoolTidings, status: SpoolStatus, intake: SpoolIntake) {
        self.path = path
        self.tidings = tidings
        self.status = status
        self.intake = intake
    }

    func start() {
        let thread = Thread { self.run() }
        thread.name = "spool.reader"
        thread.start()
    }

    func read(_ new: [Job]) {
        condition.lock()
        defer { condition.unlock() }
        jobs += new
        condition.broadcast()
    }

    /// Answers what waits, then ends the thread. Blocks until it has ended.
    func close() {
        condition.lock()
        defer { condition.unlock() }
        isClosing = true
        condition.broadcast()
        while !hasEnded { condition.wait() }
    }

    private func run() {
        var source: PageSource?
        while let work = take() {
            var failed: [Job] = []
            for job in work {
                do throws(SpoolError) {
                    let open: PageSource
                    if let source { open = source } else { open = try PageSource(path: path) }
                    source = open
                    let page = try open.page(job) { position in
                        guard status.foundDamage(at: position) else { return }
                        intake.foundDamaged(position)
                    }
                    tidings.tell([.loaded(page)])
                } catch {
                    source?.close()
                    source = nil
                    status.cannotRead(error)
                    failed.append(job)
                }
            }
            // A page that cannot be read is tried again for ever, behind those that can.
            if failed.isEmpty { status.canRead() } else { putBack(failed, pausing: failed.count == work.count) }
        }
        source?.close()
        condition.lock()
        hasEnded = true
        condition.broadcast()
        condition.unlock()
    }

    /// Nil when nothing waits and nothing will come.
    private func take() -> [Job]? {
        condition.lock()
        defer { condition.unlock() }
        while jobs.isEmpty {
            if isClosing { return nil }
            condition.wait()
        }
        defer { jobs = [] }
        return jobs.count > 1 ? Self.wanted(jobs, beside: jobs) : jobs
    }

    /// A receiver that asks over another connection does not wait for the page that it asked for over the one before.
    /// Otherwise, while a page cannot be read, each new connection of its receiver would bring one more to try.
    ///
    /// - Parameter later: requests in the order in which they were made, none before those that are looked at.
    private static func wanted(_ jobs: [Job], beside later: [Job]) -> [Job] {
        var epochs: [ReceiverID: UInt64] = [:]
        for job in later { epochs[job.request.receiver] = job.request.epoch }
        return jobs.filter { epochs[$0.request.receiver, default: $0.request.epoch] == $0.request.epoch }
    }

    /// What was read for nothing comes again, unless the spool is closing: then nobody waits for it.
    private func putBack(_ failed: [Job], pausing: Bool) {
        let deadline = Date(timeIntervalSinceNow: 0.2)
        condition.lock()
        defer { condition.unlock() }
        // Whoever comes meanwhile need not wait.
        while pausing, !isClosing, jobs.isEmpty, condition.wait(until: deadline) {}
        // Behind what came meanwhile, since none of that asks for the same receiver in another epoch.
        if !isClosing { jobs += Self.wanted(failed, beside: jobs) }
    }
}

/// The read-only connection and its statement.
private final class PageSource {
    private let connection: SQLConnection
    private let begin: SQLStatement
    private let commit: SQLStatement
    private let select: SQLStatement
    private var row = MessageRow()

    init(path: String) throws(SpoolError) {
        connection = try SQLConnection(path: path, role: .reader)
        begin = try connection.prepare("BEGIN")
        commit = try connection.prepare("COMMIT")
        select = try connection.prepare("\(MessageRow.Table.message.select) WHERE position = ?")
    }

    func close() { connection.close() }

    func page(_ job: SpoolReader.Job, foundDamage: (UInt64) -> Void) throws(SpoolError) -> Page {
        var page = Page(receiver: job.request.receiver, entries: [], end: job.end, epoch: job.request.epoch)
        page.entries.reserveCapacity(job.positions.count)
        var bytes = 0
        try begin.run()
        for (index, position) in job.positions.enumerated() {
            guard let entry = try entry(at: position, for: job.request.receiver, foundDamage) else { continue }
            page.entries.append(entry)
            bytes += entry.message.payload.readableBytes + entry.message.properties.publishBytes
            if bytes >= job.request.bytesMax, index + 1 < job.positions.count {
                page.end = Position(position)
                break
            }
        }
        try commit.run()
        return page
    }

    private func entry(
        at position: UInt64,
        for receiver: ReceiverID,
        _ foundDamage: (UInt64) -> Void
    ) throws(SpoolError) -> Page.Entry? {
        select.bind(position, at: 1)
        defer { select.reset() }
        do throws(SpoolError) {
            guard try select.step() else { return nil }
        } catch .corrupt {
            // A page of this row is damaged; others may be sound.
            foundDamage(position)
            return nil
        }
        guard let message = row.decode(select, from: .message), let delivery = row.delivery(to: receiver) else {
            foundDamage(position)
            return nil
        }
        return Page.Entry(position: Position(position), message: message, delivery: delivery)
    }
}
