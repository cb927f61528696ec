package import BrokerCore
package import MQTTCodec

/// Where a spool lives, how much it may hold and how sure it makes.
package struct SpoolOptions: Sendable {
    /// The folder that holds `spool.sqlite`, its write-ahead log and `spool.lock`. Made with mode 0700 if it is missing.
    package var directory: String
    /// When a commit counts as done.
    package var mode: DurabilityMode = .sync
    /// What happens at the start to a file that is damaged or that another program made.
    package var whenCorrupt: CorruptPolicy = .quarantine
    /// Bytes of all rows, as pages of the file that are in use; beyond it new messages are refused.
    package var bytesMax = 8 << 30
    /// Bytes that the file system must have left; below it new messages are refused. What is free inside the file
    /// counts, for half of it at most.
    package var freeDiskMin = 0
    /// How much may wait for one session, or for one share group.
    package var session: QueueBounds
    /// How much may wait for a link that `links` does not name.
    package var link = QueueBounds.ofLink
    /// How much may wait for a link, by its name.
    package var links: [MQTTString: QueueBounds] = [:]
    /// When the spool as a whole raises an alarm; each queue has its own in its bounds.
    package var watermarks = Watermarks.standard
    /// What tests put between the writer and its disk.
    package var hooks = SpoolHooks()

    package init(directory: String, queueMessagesMax: Int = 10_000) {
        self.directory = directory
        session = QueueBounds(messagesMax: queueMessagesMax, bytesMax: 64 << 20, whenFull: .dropOldest)
    }

    /// The bounds of all queues.
    private var allBounds: [QueueBounds] { [session, link] + links.values }

    /// The shortest and the longest time that any message may wait; nil when none has to go for its age.
    var ages: ClosedRange<Duration>? {
        let ages = allBounds.compactMap(\.ageMax)
        guard let least = ages.min(), let most = ages.max() else { return nil }
        return least...most
    }

    /// The bounds of the queue of a receiver.
    func bounds(of kind: ReceiverRecord.Kind) -> QueueBounds {
        switch kind {
        case .session, .group: session
        case .link(let name): links[name] ?? link
        }
    }
}

/// How much may wait for one receiver, and what happens then. What was appended is stored whatever the policy says, so
/// a queue that rejects may overshoot by what was under way when it became full.
package struct QueueBounds: Sendable, Hashable {
    package var messagesMax: Int
    /// Counted as `Message.bytes`.
    package var bytesMax: Int
    /// How long a message may wait, from the moment at which this node took it; nil for as long as it takes. What is
    /// older goes a little later, whatever the policy says: an exchange of QoS 2 that was begun is finished first.
    package var ageMax: Duration?
    package var whenFull: FullQueuePolicy
    /// When the queue raises an alarm.
    package var watermarks = Watermarks.standard

    /// Of a link that says nothing else.
    package static let ofLink = QueueBounds(messagesMax: 5_000_000, bytesMax: 2 << 30, whenFull: .reject)

    package init(messagesMax: Int, bytesMax: Int, ageMax: Duration? = nil, whenFull: FullQueuePolicy) {
        self.messagesMax = messagesMax
        self.bytesMax = bytesMax
        self.ageMax = ageMax
        self.whenFull = whenFull
    }
}

/// What gives way when a queue is full.
package enum FullQueuePolicy: String, Sendable, Hashable, CaseIterable {
    /// Messages of QoS 0 first; the spool holds none, so here it is `dropOldest`.
    case dropQoS0ThenOldest = "drop-qos0-then-oldest"
    /// The oldest waiting message makes room.
    case dropOldest = "drop-oldest"
    /// The message that comes is not kept for this receiver.
    case dropNewest = "drop-newest"
    /// Nothing is dropped: the broker is told, and refuses who publishes to it.
    case reject
}

extension DurabilityMode {
    /// What `PRAGMA synchronous` reads back.
    var synchronous: Int64 {
        switch self {
        case .sync: 2
        case .normal: 1
        case .off: 0
        }
    }
}

/// What happens at the start to a file that is damaged or that another program made.
package enum CorruptPolicy: String, Sendable, Hashable, CaseIterable {
    /// It is set aside, what is sound in it goes into a new one.
    case quarantine
    /// The spool does not open.
    case stop
}

/// Called by the writer thread around each commit, with the number of the batch. A test may block there, to see what
/// gathers meanwhile, or throw, to stand in for a disk that fails before or after the commit took effect.
package struct SpoolHooks: Sendable {
    package var willCommit: @Sendable (_ batch: UInt64) throws(SpoolError) -> Void = { _ throws(SpoolError) in }
    package var didCommit: @Sendable (_ batch: UInt64) throws(SpoolError) -> Void = { _ throws(SpoolError) in }
    /// Called before a message is written, to stand in for one that SQLite does not take. Nil costs nothing.
    package var willInsert: (@Sendable (Message) throws(SpoolError) -> Void)?
    /// Stands in for the file system: bytes that are free.
    package var freeDisk: (@Sendable () -> Int)?
    /// Stands in for the clock that messages grow old by: how long the spool has been open.
    package var elapsed: (@Sendable () -> Duration)?

    package init() {}
}
