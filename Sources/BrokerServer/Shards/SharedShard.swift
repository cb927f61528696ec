import BrokerCore
import MQTTCodec
import NIOCore
import Spool
import Synchronization

/// The shard of a node, run by whichever loop has mail for it, one at a time.
///
/// A loop gathers what its connections read in one round, and then runs the shard itself: nothing has to be woken to
/// route a message. A loop that finds the shard busy leaves its mail and goes on with its sockets; whoever runs the shard
/// looks for mail again before it goes. What is to be sent travels to the loops of the receivers, and each writes, and
/// encrypts, for its own connections while the shard is somebody else's.
///
///     loop A  read, unframe, decrypt --mail--+                  +--orders--> loop A  frame, encrypt, write
///                                             +--> the shard --+
///     loop B  read, unframe, decrypt --mail--+   (one at a time) +--orders--> loop B
///
/// So the broker is one function of one order of events, however many cores carry its connections: there is no session to
/// be handed over, and no route that another core may not have heard of.
final class SharedShard: Sendable {
    private let mail = Postbox<Mail>()
    /// Buffers whose bytes are out, for the shard to fill again.
    private let spent = Postbox<ByteBuffer>()
    private let runner: Mutex<ShardRunner>
    /// Bytes in the mail, about.
    private let mailBytes = Atomic(0)
    /// Above it a loop waits for the shard rather than read more: the mail is bounded, and TCP slows the senders down.
    private static let mailBytesMax = 8 << 20
    private let standing: Mutex<Standing>

    /// What connections that come need to know before the shard knows of them.
    private struct Standing {
        /// What clients of a listener may, by its name.
        var doors: [String: ClientDoor]
        var isDraining = false
        var loops: [LoopEntry] = []
    }

    /// How others reach a loop.
    struct LoopEntry: Sendable {
        let orders: Postbox<LoopOrder>
        let wake: @Sendable () -> Void
    }

    init(_ runner: sending ShardRunner, doors: [String: ClientDoor]) {
        self.runner = Mutex(runner)
        self.standing = Mutex(Standing(doors: doors))
    }

    /// The loops are there: the shard may be run. The first of them does what no connection asks for.
    func connect(_ loops: [LoopEntry], _ spool: Spool) {
        standing.withLock { $0.loops = loops }
        runner.withLock { runner in
            runner.loops = loops.map(\.orders)
            runner.post = { [weak self] in self?.post($0) }
        }
        spool.attach { [weak self] events in self?.post(.spool(events)) }
        // What the shard wants from the start on, as links that dial.
        post(.timer)
    }

    /// The loops have ended: nobody is woken any more, and they and the shard let go of each other.
    func disconnect() { standing.withLock { $0.loops = [] } }

    // MARK: - Doors

    /// - Returns: nil when nobody is let in any more.
    func door(_ listener: String) -> ClientDoor? {
        standing.withLock { $0.isDraining ? nil : $0.doors[listener] }
    }

    /// Who is still in a handshake of a listener that is closed comes in as it was.
    func add(_ doors: [String: ClientDoor]) {
        standing.withLock { $0.doors.merge(doors) { _, new in new } }
    }

    func closeDoors() { standing.withLock { $0.isDraining = true } }

    // MARK: - Mail

    /// From any thread; never waits for data. The first loop sees to it.
    func post(_ mail: Mail) {
        mailBytes.add(mail.bytes, ordering: .relaxed)
        if self.mail.post(mail) { wake(0) }
    }

    /// From a loop, which calls `run` next.
    func post(_ gathered: inout [Mail], bytes: Int) {
        guard !gathered.isEmpty else { return }
        mailBytes.add(bytes, ordering: .relaxed)
        _ = mail.post(all: &gathered)
    }

    /// Gives buffers back whose bytes are out. Nobody is woken for them: the next turn finds them.
    func recycle(_ buffers: inout [ByteBuffer]) {
        guard !buffers.isEmpty else { return }
        _ = spent.post(all: &buffers)
    }

    /// Runs the shard, unless somebody does.
    ///
    /// - Parameter loop: the one that calls.
    /// - Returns: whether there is mail again.
    func run(on loop: Int) -> Bool {
        guard !mail.isEmpty else { return false }
        let woken: LoopSet
        if mailBytes.load(ordering: .relaxed) > Self.mailBytesMax {
            woken = runner.withLock { turn(&$0, loop) }
        } else if let turned = runner.withLockIfAvailable({ turn(&$0, loop) }) {
            woken = turned
        } else {
            // Whoever runs it looks into the mail behind this.
            return false
        }
        for loop in woken { wake(loop) }
        return !mail.isEmpty
    }

    private func turn(_ runner: inout ShardRunner, _ loop: Int) -> LoopSet {
        mail.take(into: &runner.mail)
        spent.take(into: &runner.spent)
        mailBytes.subtract(runner.mail.reduce(0) { $0 + $1.bytes }, ordering: .relaxed)
        return runner.turn(on: loop)
    }

    private func wake(_ loop: Int) {
        let entry = standing.withLock { $0.loops.indices.contains(loop) ? $0.loops[loop] : nil }
        entry?.wake()
    }
}

/// Loops by number, of up to 64.
struct LoopSet: Sequence, IteratorProtocol {
    static let max = 64
    private var bits: UInt64 = 0

    mutating func insert(_ loop: Int) { bits |= 1 << UInt64(loop) }

    mutating func next() -> Int? {
        guard bits != 0 else { return nil }
        defer { bits &= bits - 1 }
        return bits.trailingZeroBitCount
    }
}
