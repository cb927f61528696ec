package import BrokerCore
package import MQTTCodec
import Synchronization

/// The durable queue: SQLite behind records and tickets.
///
/// The broker appends records and gets `.committed(ticket)` once they are on disk; it asks for pages of queues and get
/// `.loaded`. One thread writes, one reads; nobody who appends ever waits for a disk.
package final class Spool: Sendable {
    private let intake: SpoolIntake
    private let writer: SpoolWriter
    private let tidings: SpoolTidings
    private let status: SpoolStatus
    /// What SQLite does for a commit: the writer's connection read it back when it was opened.
    package let durability: DurabilityMode
    /// What the operator must know about how this spool came here, in sentences: an old copy was put back.
    package let notices: [String]
    /// How often this spool was opened, this time included.
    package let bootCount: UInt64
    let path: String
    let isCopying = Mutex(false)
    /// As they are now.
    private let options: Mutex<SpoolOptions>

    /// What was set aside when the spool was opened; nil when its file was sound.
    package let quarantine: QuarantineReport?

    /// Opens or creates the spool of a directory, checks it and reads what it holds. Blocking.
    ///
    /// - Parameter now: the wall clock; the latest time that the spool has seen never goes back.
    /// - Throws: what is wrong, with advice for the operator in `description`.
    package static func open(_ options: SpoolOptions, now: Timestamp) throws(SpoolError) -> (Spool, SpoolContents) {
        let directory = try SpoolDirectory(options.directory)
        let quarantine = Quarantine(directory)
        do throws(SpoolError) {
            if quarantine.isUnfinished { throw .corrupt(detail: "its salvage was cut off") }
            if directory.isDatabaseLost { throw .corrupt(detail: "spool.sqlite is missing or empty") }
            return try open(directory, options, nil, now: now)
        } catch .corrupt(let detail) {
            guard options.whenCorrupt == .quarantine else { throw .corrupt(detail: detail) }
            let report = try quarantine.run(reason: detail, now: now)
            return try open(directory, options, report, now: now)
        } catch {
            throw error
        }
    }

    /// Looks at the file before anything is written to it, so that one that is refused stays as it is.
    private static func check(_ directory: SpoolDirectory) throws(SpoolError) {
        guard FileSize.bytes(directory.databasePath) > 0 else { return }
        let connection = try SQLConnection(path: directory.databasePath, role: .reader)
        defer { connection.close() }
        try SpoolSchema.identify(connection)
        try SpoolSchema.check(connection)
    }

    private static func open(
        _ directory: SpoolDirectory,
        _ options: SpoolOptions,
        _ report: QuarantineReport?,
        now: Timestamp
    ) throws(SpoolError) -> (Spool, SpoolContents) {
        try check(directory)
        let store = try BatchStore(path: directory.databasePath, mode: options.mode)
        do throws(SpoolError) {
            let status = SpoolStatus()
            let notices = try SpoolBoot.notices(store.connection, noted: SpoolBoot.read(in: options.directory))
            let loader = try SpoolLoader(store.connection, options: options, now: now, status: status)
            directory.rememberDatabase()
            let boot = SpoolBoot(
                spool: loader.contents.nodeNumber,
                starts: loader.contents.bootCount,
                batch: loader.lastBatch
            )
            boot.write(in: options.directory)
            let spool = Spool(store, loader, directory, options, status, report, notices, now: now)
            return (spool, loader.contents)
        } catch {
            store.close()
            throw error
        }
    }

    private init(
        _ store: BatchStore,
        _ loader: SpoolLoader,
        _ directory: SpoolDirectory,
        _ options: SpoolOptions,
        _ status: SpoolStatus,
        _ quarantine: QuarantineReport?,
        _ notices: [String],
        now: Timestamp
    ) {
        self.quarantine = quarantine
        self.options = Mutex(options)
        self.status = status
        self.notices = notices
        path = directory.databasePath
        bootCount = loader.contents.bootCount
        durability = store.mode
        status.changed(loader.index.allTallies())
        tidings = SpoolTidings()
        tidings.fullness(loader.index.full().map { ($0, true) })
        tidings.levels(loader.index.high())
        intake = SpoolIntake(
            nextPosition: loader.contents.lastPosition.number + 1,
            wallMark: max(loader.contents.wallMark, now)
        )
        let reader = SpoolReader(path: directory.databasePath, tidings: tidings, status: status, intake: intake)
        writer = SpoolWriter(
            store: store,
            index: loader.index,
            lastBatch: loader.lastBatch,
            directory: directory,
            options: options,
            intake: intake,
            tidings: tidings,
            status: status,
            reader: reader,
            openedAt: now
        )
        reader.start()
        writer.start()
    }

    deinit { close() }

    /// Says who gets the events. Called before the first append. `deliver` is called on the threads of the spool, and
    /// from here if there is something to know from the start: the spool refuses, a receiver is full. It must neither
    /// block nor close the spool nor attach.
    package func attach(_ deliver: @escaping @Sendable ([SpoolEvent]) -> Void) { tidings.attach(deliver) }

    /// Hands over the records of one turn, in order. They are committed together, after everything that was appended
    /// before; `.committed` with this ticket or a higher one tells when. Loads are answered after that commit. May be
    /// called from any thread; after `close` nothing happens.
    ///
    /// Deliveries, subscriptions and packet identifiers of a receiver that has no `.receiver` record yet, or is gone,
    /// are ignored.
    ///
    /// - Parameters:
    ///   - ticket: grows with every append; `.none` wants no answer.
    ///   - wall: the wall time of the turn.
    /// - Returns: the position of the first message record; meaningless if there is none. The others follow by one.
    /// - Complexity: O(records); takes one lock, no I/O.
    @discardableResult
    package func append(
        _ records: [SpoolRecord],
        loads: [LoadRequest],
        ticket: Ticket,
        wall: Timestamp
    ) -> Position {
        intake.append(SpoolAppend(records: records, loads: loads, ticket: ticket), wall: wall)
    }

    /// Other bounds for the queues of sessions, and of links by their names, from the next batch on. What a smaller queue
    /// has too much of gives way, as its policy says, with the next message for it; what is too old now, by itself. From
    /// any thread.
    ///
    /// - Parameter watermarks: those of the spool as a whole.
    package func setBounds(
        session: QueueBounds,
        links: [MQTTString: QueueBounds],
        watermarks: Watermarks = .standard
    ) {
        options.withLock { options in (options.session, options.links) = (session, links) }
        intake.setBounds(AllBounds(session: session, links: links, watermarks: watermarks))
    }

    /// How much may wait for a link.
    package func bounds(ofLink name: MQTTString) -> QueueBounds {
        options.withLock { $0.bounds(of: .link(name: name)) }
    }

    /// How many committed messages wait for a receiver.
    package func depth(of receiver: ReceiverID) -> Int { status.tally(of: receiver).waiting }

    /// Messages that a receiver will not get, by reason, since the spool was opened.
    package func drops(of receiver: ReceiverID) -> [DropReason: UInt64] {
        status.tally(of: receiver).dropped.byReason
    }

    /// What became of the messages of a receiver since the spool was opened; zeros for one that is not there.
    package func tally(of receiver: ReceiverID) -> ReceiverTally { status.tally(of: receiver) }

    /// The same of all receivers together, those included that are gone by now.
    package var tally: ReceiverTally { books.total }

    var books: SpoolBooks { status.books }

    /// What waits in all, and what was given up because there was no room.
    ///
    /// - Complexity: O(1), one lock.
    package var standing: SpoolStanding { status.standing }

    /// Whether the spool as a whole is above its watermark.
    package var isHigh: Bool { status.isHigh }

    /// Why new messages are refused; nil when they are taken.
    package var refusal: SpoolRefusal? { status.refusal }

    /// Whether commits succeed: for the health of the node.
    package var state: SpoolState { status.state }

    package var statistics: SpoolStatistics { status.statistics }

    /// Commits everything that was appended, empties the log, ends the threads and closes the file. Blocking and
    /// idempotent. On a disk that stays sick the last batch is tried a few times and then given up, unannounced.
    package func close() {
        intake.close()
        writer.waitUntilEnded()
    }
}
