import BrokerCore
import Dispatch
import Foundation
import Logging
import MQTTCodec
import NIOCore
import Spool

/// Runs the shard: tells it what came in the mail and turns its outbox into records for the spool and orders for the
/// loops. The only place where an outbox is performed.
///
/// A turn takes all mail that waits, and performs the outbox once behind all of it. All of this class, and the shard with
/// everything in it, is touched by whoever holds the lock of `SharedShard` only.
final class ShardRunner {
    let shard: Shard
    let logger: Logger
    /// `[log] denials`
    var denialLevel: Logger.Level
    let spool: Spool
    var linkConnector: LinkConnector
    /// Nil when nobody is asked who it is.
    private let authenticator: Authenticator?
    /// What takes its time answers by mail.
    var post: @Sendable (Mail) -> Void = { _ in }

    /// What this turn is about; its buffer changes places with that of the mail.
    var mail: [Mail] = []
    /// Buffers whose bytes are out; the same.
    var spent: [ByteBuffer] = []
    /// Where orders go, and those of this turn, by the number of the loop.
    var loops: [Postbox<LoopOrder>] = [] {
        didSet { orders = Array(repeating: [], count: loops.count) }
    }
    private var orders: [[LoopOrder]] = []
    /// The loop that this turn runs on.
    private var own = 0

    /// The outbox that is being performed; it and the shard's change places from turn to turn.
    private var outbox = Outbox()
    private var readers: [ObjectIdentifier: ConnectionReader] = [:]
    /// Those whose peers send nothing more.
    private var ending: [ConnectionReader] = []
    private var wakeAt: Instant?
    var nextToken: UInt64 = 0
    private var receipts: [UInt64: CheckedContinuation<GatewayReceipt, any Error>] = [:]
    /// What operators want done with queues, until it is on disk.
    var errands: [UInt64: LinkQueueDone] = [:]
    private(set) var isDraining = false
    /// Succeeds when a shutdown has nothing left to wait for.
    private var drained: EventLoopPromise<Void>?
    /// When the oldest message of each link came, as of the last look.
    var arrivals: [ReceiverID: Timestamp] = [:]
    /// When `$SYS` is told next, and how often.
    var reportAt: Instant?
    var reportInterval = Duration.zero
    /// Web ports tell metrics.
    var tellsMetrics: Bool

    init(
        shard: Shard,
        spool: Spool,
        linkConnector: LinkConnector,
        authenticator: Authenticator?,
        logger: Logger,
        denialLevel: Logger.Level,
        tellsMetrics: Bool
    ) {
        self.tellsMetrics = tellsMetrics
        self.shard = shard
        self.spool = spool
        self.linkConnector = linkConnector
        self.authenticator = authenticator
        self.logger = logger
        self.denialLevel = denialLevel
    }

    /// The time of this turn on both clocks.
    var now: Now { Now(instant: Self.monotonic, wall: Self.wall) }

    /// A double holds microseconds since 1970 to the unit until the year 2255.
    static var wall: Timestamp {
        Timestamp(microseconds: UInt64(max(0, Date().timeIntervalSince1970 * 1_000_000)))
    }

    static var monotonic: Instant { Instant(nanoseconds: DispatchTime.now().uptimeNanoseconds) }

    /// Takes the mail and performs what the shard wants done.
    ///
    /// - Parameter loop: the one that runs this.
    /// - Returns: the others that have orders to perform and sleep.
    func turn(on loop: Int) -> LoopSet {
        own = loop
        let now = now
        // One after the other out of the array: a buffer that something else refers to could not be used again.
        while let buffer = spent.popLast() { shard.recycle(buffer) }
        for mail in mail { take(mail, now) }
        mail.removeAll(keepingCapacity: true)
        repeat { perform(now) } while shard.hasWork
        endInputs()
        setTimer(now)
        finishDrain()
        var woken = LoopSet()
        for loop in loops.indices where !orders[loop].isEmpty {
            if loops[loop].post(all: &orders[loop]), loop != own { woken.insert(loop) }
        }
        return woken
    }

    func order(_ order: LoopOrder, on loop: Int) { orders[loop].append(order) }

    // MARK: - Mail

    private func take(_ mail: Mail, _ now: Now) {
        switch mail {
        case .bytes(let reader, let bytes, let owesMore): reader.received(bytes, owesMore: owesMore, self, now)
        case .writable(let reader, let isWritable):
            guard let connection = reader.connection else { break }
            shard.writabilityChanged(connection, isWritable: isWritable, now: now)
        case .unthrottled(let reader): reader.unthrottle(self, now)
        case .opened(let reader, let opening): open(reader, opening, now)
        case .inputEnded(let reader, let isOrderly):
            reader.ended(isOrderly: isOrderly)
            ending.append(reader)
        case .closed(let reader, let reason):
            readers[ObjectIdentifier(reader)] = nil
            reader.closed(reason: reason, shard, now)
        case .timer: timerFired(now)
        case .dialFailed(let attempt, let reason):
            shard.dialFailed(attempt.link, epoch: attempt.epoch, reason: reason, now: now)
        case .spool(let events): shard.spoolReported(events, now: now)
        case .authenticated(let token, let verdict): shard.authenticated(token, verdict, now: now)
        case .revoked(let usernames): shard.revoke(usernames, now: now)
        case .publish(let request, let continuation): publish(request, continuation, now)
        case .health(let continuation): continuation.resume(returning: health)
        case .account(let continuation): continuation.resume(returning: account)
        case .metrics(let onWebPort, let continuation):
            continuation.resume(returning: onWebPort && !tellsMetrics ? nil : reading(now))
        case .links(let continuation): continuation.resume(returning: linkAccounts(now))
        case .linkAction(let action, let name, let continuation):
            continuation.resume(returning: shard.act(action, onLink: name, now: now))
        case .linkQueue(let errand, let continuation): run(errand, continuation, now)
        case .arrivals(let arrivals): tellLinks(arrivals, now)
        case .linkSettings(let continuation): continuation.resume(returning: shard.links.map(\.settings))
        case .reconfigure(let new): reconfigure(new, now)
        case .drain(let promise): drain(promise, now)
        case .giveUpDraining: giveUpDraining()
        }
    }

    private func open(_ reader: ConnectionReader, _ opening: ConnectionReader.Opening, _ now: Now) {
        guard !isDraining, reader.open(opening, shard, now) else { return close(reader) }
        readers[ObjectIdentifier(reader)] = reader
    }

    private func close(_ reader: ConnectionReader, lingering: Bool = false) {
        guard let handler = reader.handler else { return }
        order(.close(handler, lingering: lingering, isGoingAway: isDraining), on: reader.loop)
    }

    private func publish(
        _ request: GatewayPublish,
        _ continuation: CheckedContinuation<GatewayReceipt, any Error>,
        _ now: Now
    ) {
        if isDraining { return continuation.resume(throwing: GatewayRefusal.draining) }
        if let refusal = shard.refusal(of: request, now: now) {
            return continuation.resume(throwing: GatewayRefusal(refusal))
        }
        nextToken &+= 1
        receipts[nextToken] = continuation
        shard.publish(request, token: nextToken, now: now)
    }

    // MARK: - The outbox

    private func perform(_ now: Now) {
        appendRecords(now)
        // What is told from here on fills the other one.
        swap(&outbox, &shard.outbox)

        for connection in outbox.touched { send(shard.takeBytes(of: connection), to: connection, now) }
        for connection in outbox.closes {
            if let reader = connection.owner as? ConnectionReader {
                close(reader, lingering: connection.hasFarewell || reader.inputEnd == .orderly)
            }
        }
        for connection in outbox.resumed {
            if let reader = connection.owner as? ConnectionReader { reader.decode(self, now) }
        }
        for receipt in outbox.receipts {
            receipts.removeValue(forKey: receipt.token)?.resume(returning: receipt.receipt)
        }
        for token in outbox.errands { finish(errand: token) }
        for dial in outbox.dials { order(.dial(dial, linkConnector), on: 0) }
        for question in outbox.questions { authenticate(question, now) }
        for link in outbox.changedLinks { tellDetail(of: link, now) }
        for notice in outbox.notices { order(.log(notice, level(of: notice)), on: own) }
        outbox.removeAll()
    }

    /// Records go to the spool first; what is delivered because of them may store again.
    private func appendRecords(_ now: Now) {
        while !shard.outbox.records.isEmpty || !shard.outbox.loads.isEmpty {
            let records = shard.outbox.records
            let loads = shard.outbox.loads
            shard.outbox.records.removeAll(keepingCapacity: true)
            shard.outbox.loads.removeAll(keepingCapacity: true)
            // Loads alone take no ticket: one that is not filled yet must not be announced.
            let ticket = records.isEmpty ? Ticket(shard.ticket.number &- 1) : shard.ticket
            let first = spool.append(records, loads: loads, ticket: ticket, wall: now.wall)
            if !records.isEmpty { shard.appended(first: first, now: now) }
        }
    }

    private func send(_ bytes: OutBytes, to connection: Connection, _ now: Now) {
        guard let reader = connection.owner as? ConnectionReader, let handler = reader.handler else { return }
        if !handler.announce(bytes: bytes.readableBytes), connection.isWritable {
            shard.writabilityChanged(connection, isWritable: false, now: now)
        }
        for part in bytes.parts {
            switch part {
            case .packets(let packets): order(.send(handler, packets), on: reader.loop)
            case .large(let head, let payload):
                order(.sendLarge(handler, head: head, payload: payload), on: reader.loop)
            }
        }
        if bytes.parts.isEmpty || bytes.rest.readableBytes > 0 { order(.send(handler, bytes.rest), on: reader.loop) }
    }

    /// Whoever sends nothing more is closed when it is owed nothing more.
    private func endInputs() {
        guard !ending.isEmpty else { return }
        ending.removeAll { reader in
            guard reader.connection != nil else { return true }
            guard !reader.isOwedAnswers else { return false }
            close(reader, lingering: reader.inputEnd == .orderly)
            return true
        }
    }

    private func authenticate(_ question: AuthenticationRequest, _ now: Now) {
        guard let authenticator else {
            // Nobody can say: nobody comes in.
            return shard.authenticated(question.token, .refused(.notAuthorized), now: now)
        }
        let (token, post) = (question.token, post)
        let verdict = authenticator.decide(question.login) { post(.authenticated(token, $0)) }
        if let verdict { shard.authenticated(token, verdict, now: now) }
    }

    private func level(of notice: Notice) -> Logger.Level {
        switch notice.level {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .denial: denialLevel
        }
    }

    // MARK: - Time

    private func timerFired(_ now: Now) {
        wakeAt = nil
        shard.timeReached(now)
        if let reportAt, reportAt <= now.instant { report(now) }
    }

    private func setTimer(_ now: Now) {
        // No array of the two: this is asked in every turn.
        guard let next = Self.earlier(shard.nextTimer, reportAt) else { return }
        if let wakeAt, wakeAt <= next { return }
        wakeAt = next
        order(.wake(max(.zero, next.since(now.instant))), on: 0)
    }

    private static func earlier(_ first: Instant?, _ second: Instant?) -> Instant? {
        guard let first, let second else { return first ?? second }
        return min(first, second)
    }

    // MARK: - What the node says of itself

    private var health: NodeHealth {
        NodeHealth(
            connections: shard.connectionCount,
            links: shard.links.map { link in
                NodeHealth.Link(
                    name: link.settings.name,
                    state: link.state.rawValue,
                    since: link.since,
                    queued: spool.depth(of: link.receiver),
                    queuedBytes: spool.tally(of: link.receiver).bytes,
                    lastError: link.lastError
                )
            },
            spoolTrouble: spoolTrouble
        )
    }

    private var spoolTrouble: String? {
        if case .failing(_, let reason) = spool.state { return reason }
        return shard.spoolRefusal?.rawValue
    }

    private var account: ShardAccount {
        ShardAccount(
            presences: presences,
            refusals: shard.refusals,
            counters: shard.counters,
            drops: shard.dropsOfReceivers
        )
    }

    /// Who of the durable receivers is there.
    private var presences: [ReceiverPresence] {
        shard.connectedReceivers.map { ReceiverPresence(receiver: $0, isConnected: true) }
            + shard.links.map { link in
                ReceiverPresence(
                    receiver: link.receiver,
                    isConnected: link.state == .live || link.state == .catchingUp,
                    state: link.state.rawValue
                )
            }
    }

    // MARK: - Shutdown

    /// Tells every client and upstream, and answers when their connections are closed and their last records appended.
    private func drain(_ promise: EventLoopPromise<Void>, _ now: Now) {
        isDraining = true
        drained = promise
        reportAt = nil
        shard.drain(now: now)
        repeat { perform(now) } while shard.hasWork
        // Those that never said CONNECT have no farewell to wait for.
        for reader in readers.values { close(reader) }
    }

    private func finishDrain() {
        guard isDraining, readers.isEmpty, receipts.isEmpty, errands.isEmpty, let promise = drained else { return }
        drained = nil
        promise.succeed()
    }

    /// Whoever has not read its farewell by now is closed with the node, and a publish over HTTP whose message is not on
    /// disk by now hears that.
    private func giveUpDraining() {
        for receipt in receipts.values { receipt.resume(throwing: GatewayRefusal.draining) }
        receipts = [:]
        giveUpErrands()
        drained?.succeed()
        drained = nil
    }
}
