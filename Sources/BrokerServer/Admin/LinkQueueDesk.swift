import BrokerCore
import MQTTCodec
import NIOPosix
import Spool
import Synchronization

/// Where operators handle the queues of links while the node runs: step by step, each of them on disk before it is
/// answered. Nobody else is held up for longer than one step takes, and a command that goes away leaves nothing half done.
///
/// A step that changes a queue goes like this: nothing may leave over the link, so that what is read stays as it is; what
/// the upstream settled before is on disk; the spool is read; what is to be done is done, and on disk; the link goes on.
final class LinkQueueDesk: Sendable {
    /// Why something is not done, as a command hears it.
    enum Refusal: Error {
        case badOrder(String)
        case noLink(String)
        case busy(String)
        case draining
        case noRoom(String)
        case file(BacklogError)
    }

    let spool: Spool
    /// The number of this node, and its name.
    let node: UInt64
    let name: String
    let ask: @Sendable (LinkQueueErrand) async throws -> LinkQueueStanding
    let now: @Sendable () -> Timestamp
    /// Links whose queues somebody is busy with.
    private let busy = Mutex<Set<String>>([])

    /// Rows that a step looks at, and messages that it takes: so many that what it costs to begin is a small part.
    static let rowsMax = 20_000
    static let messagesMax = 5_000
    static let bytesMax = 4 << 20
    static let peekMax = 1_000

    init(
        _ spool: Spool,
        node: UInt64,
        name: String,
        ask: @escaping @Sendable (LinkQueueErrand) async throws -> LinkQueueStanding,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.spool = spool
        self.node = node
        self.name = name
        self.ask = ask
        self.now = now
    }

    /// Asks the shard, and says what it says in the words of a command.
    func errand(_ errand: LinkQueueErrand, link: String) async throws -> LinkQueueStanding {
        do {
            return try await ask(errand)
        } catch let failure as LinkQueueFailure {
            switch failure {
            case .unknownLink: throw Refusal.noLink(link)
            case .draining: throw Refusal.draining
            }
        }
    }

    /// Does one thing with the queue of a link at a time.
    func alone<Result>(with link: String, _ work: () async throws -> Result) async throws -> Result {
        guard busy.withLock({ $0.insert(link).inserted }) else { throw Refusal.busy(link) }
        defer { _ = busy.withLock { $0.remove(link) } }
        return try await work()
    }

    /// Does something while nothing leaves over the link.
    ///
    /// - Parameter work: gets how the queue stands, with everything on disk that the upstream settled.
    func holding<Result>(_ link: String, _ work: (LinkQueueStanding) async throws -> Result) async throws -> Result {
        let name = MQTTString(link)
        let standing = try await errand(.hold(name), link: link)
        let result: Result
        do {
            result = try await work(standing)
        } catch {
            _ = try await errand(.letGo(name), link: link)
            throw error
        }
        _ = try await errand(.letGo(name), link: link)
        return result
    }

    /// Reads of the disk belong on no event loop, and not on the few threads of tasks either.
    func blocking<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        do {
            return try await NIOThreadPool.singleton.runIfActive(work)
        } catch let error as BacklogError {
            throw Refusal.file(error)
        }
    }

    /// Which messages an order means.
    func wanted(_ order: LinkQueueOrder) throws -> Wanted {
        var wanted = Wanted()
        if let text = order.filter {
            guard let filter = TopicFilter(text), !filter.isShared else {
                throw Refusal.badOrder("\"\(text)\" is no topic filter.")
            }
            wanted.filter = filter
        }
        if let seconds = order.olderThanSeconds {
            let age = UInt64(clamping: seconds) &* 1_000_000
            let time = now().microseconds
            wanted.cameBefore = Timestamp(microseconds: time > age ? time - age : 0)
        }
        return wanted
    }

    struct Wanted: Sendable {
        var filter: TopicFilter?
        var cameBefore: Timestamp?

        func takes(_ message: Message) -> Bool {
            if let cameBefore, message.id.time > cameBefore { return false }
            return filter?.matches(message.topic) ?? true
        }
    }
}
