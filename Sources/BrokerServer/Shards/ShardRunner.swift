import BrokerCore
import Dispatch
import Foundation
import Logging
import MQTTCodec
import NIOCore
import Spool

/// Runs one shard on its event loop: the only place where an outbox becomes I/O.
///
/// A turn gathers everything that happened in one round of the loop: handlers pass packets to the shard as they read
/// them, and the outbox is performed once behind all of them, so that a connection gets one write and one flush however
/// many publishers sent to it. All of this class is touched on its loop only.
final class ShardRunner {
    let loop: any EventLoop
    let shard: Shard
    let logger: Logger
    /// `[log] denials`
    var denialLevel: Logger.Level
    let spool: Spool
    private let index: Int
    var linkConnector: LinkConnector
    /// Nil when nobody is asked who it is.
    private let authenticator: Authenticator?

    /// The outbox that is being performed; it and the shard's change places from turn to turn.
    private var outbox = Outbox()
    private var isScheduled = false
    /// By their windows: seven at most.
    private var deflaters: [Int: Deflater] = [:]
    /// What clients of a listener may, by its name.
    var doors: [String: ClientDoor]
    private var timer: Scheduled<Void>?
    private var timerAt: Instant?
    private var nextToken: UInt64 = 0
    private var receipts: [UInt64: CheckedContinuation<GatewayReceipt, any Error>] = [:]
    private(set) var isDraining = false
    /// The task that tells `$SYS`.
    var reporting: Scheduled<Void>?
    private var handlers: [ObjectIdentifier: ConnectionHandler] = [:]
    /// Answered when a shutdown has nothing left to wait for.
    private var drained: EventLoopPromise<Void>?

    init(
        loop: any EventLoop,
        index: Int,
        shard: Shard,
        spool: Spool,
        linkConnector: LinkConnector,
        authenticator: Authenticator?,
        doors: [String: ClientDoor],
        logger: Logger,
        denialLevel: Logger.Level
    ) {
        loop.preconditionInEventLoop()
        self.denialLevel = denialLevel
        self.loop = loop
        self.index = index
        self.shard = shard
        self.spool = spool
        self.linkConnector = linkConnector
        self.authenticator = authenticator
        self.doors = doors
        self.logger = logger
    }

    /// Connects the shard with other threads. What it left behind when it was made (links that dial) is performed by
    /// the first turn.
    ///
    /// - Returns: where other threads post.
    func connect() -> Inbox {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let inbox = Inbox { [loop] in loop.execute { bound.value.drainInbox() } }
        boundInbox = inbox
        spool.attach(shard: index) { events in inbox.post(.spool(events)) }
        return inbox
    }

    private var boundInbox: Inbox?

    /// The time of this turn on both clocks.
    var now: Now { Now(instant: Self.monotonic, wall: Self.wall) }

    /// A double holds microseconds since 1970 to the unit until the year 2255.
    static var wall: Timestamp {
        Timestamp(microseconds: UInt64(max(0, Date().timeIntervalSince1970 * 1_000_000)))
    }

    static var monotonic: Instant { Instant(nanoseconds: DispatchTime.now().uptimeNanoseconds) }

    /// Something happened: the outbox is performed at the end of this round of the loop.
    func turn() {
        guard !isScheduled else { return }
        isScheduled = true
        loop.assumeIsolated().execute { self.perform() }
    }

    // MARK: - Connections

    /// Adds the handler of a client to its channel.
    ///
    /// - Parameters:
    ///   - arrival: since when it is here, and what its certificate calls it.
    ///   - listener: the name of the one that it came in by.
    /// - Throws: when the node is full or shuts down; the channel is closed then.
    func admit(
        _ channel: any Channel,
        speaksWebSocket: Bool,
        arrival: Arrival,
        listener: String
    ) throws {
        guard let door = doors[listener], !isDraining, handlers.count < door.connectionsMax else {
            logger.warning("connection refused", metadata: ["detail": "\(handlers.count) connections are open"])
            throw ChannelError.ioOnClosedChannel
        }
        try channel.syncOptions?.setOption(.writeBufferWaterMark, value: .mqtt(door.writeBufferBytesMax))
        if !arrival.isEncrypted {
            // What was sent before the end is heard; TLS has an end of its own.
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        }
        let decoder = PacketDecoder(role: .server, limits: door.codecLimits)
        let framing =
            speaksWebSocket
            ? WebSocketFraming(
                limits: WebSocketLimits(frameBytesMax: door.frameBytesMax),
                inflatedBytesMax: arrival.deflate == nil ? nil : door.inflatedBytesMax
            ) : nil
        try channel.pipeline.syncOperations.addHandler(
            ConnectionHandler(runner: self, decoder: decoder, framing: framing, arrival: arrival, door: door)
        )
    }

    /// The compressor of all connections with such a window.
    func deflater(_ agreement: DeflateAgreement) -> Deflater? {
        if let known = deflaters[agreement.windowBits] { return known }
        let new = Deflater(windowBits: agreement.windowBits)
        deflaters[agreement.windowBits] = new
        return new
    }

    func opened(_ handler: ConnectionHandler) { handlers[ObjectIdentifier(handler)] = handler }

    func closed(_ handler: ConnectionHandler) {
        handlers[ObjectIdentifier(handler)] = nil
        finishDrain()
    }

    // MARK: - The outbox

    private func perform() {
        isScheduled = false
        let now = now
        appendRecords(now)
        // What handlers do from here on fills the other one.
        swap(&outbox, &shard.outbox)

        for connection in outbox.touched {
            let bytes = shard.takeBytes(of: connection)
            if let handler = connection.owner as? ConnectionHandler { handler.send(bytes) }
            shard.recycle(bytes)
        }
        for connection in outbox.closes {
            if let handler = connection.owner as? ConnectionHandler {
                handler.close(lingering: connection.hasFarewell)
            }
        }
        for connection in outbox.resumed {
            if let handler = connection.owner as? ConnectionHandler { handler.resume() }
        }
        for receipt in outbox.receipts {
            receipts.removeValue(forKey: receipt.token)?.resume(returning: receipt.receipt)
        }
        for dial in outbox.dials { linkConnector.dial(dial, runner: self) }
        for question in outbox.questions { authenticate(question) }
        for notice in outbox.notices { log(notice) }
        outbox.removeAll()
        setTimer()
        finishDrain()
        if !shard.outbox.isEmpty { turn() }
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
            let first = spool.append(records, loads: loads, shard: index, ticket: ticket, wall: now.wall)
            if !records.isEmpty { shard.appended(first: first, now: now) }
        }
    }

    private func setTimer() {
        guard let next = shard.nextTimer else { return }
        if let timerAt, timerAt <= next { return }
        timer?.cancel()
        timerAt = next
        let wait = next.since(now.instant)
        let (seconds, attoseconds) = wait.components
        // One more millisecond, so that a timer never fires a moment before it is due and turns in circles.
        let delay = TimeAmount.milliseconds(seconds &* 1_000 &+ attoseconds / 1_000_000_000_000_000 &+ 1)
        timer = loop.assumeIsolated().scheduleTask(in: delay) {
            self.timerAt = nil
            self.shard.timeReached(self.now)
            self.turn()
        }
    }

    // MARK: - Mail

    private func drainInbox() {
        guard let inbox = boundInbox else { return }
        for mail in inbox.drain() {
            switch mail {
            case .spool(let events): shard.spoolReported(events, now: now)
            case .authenticated(let token, let verdict): shard.authenticated(token, verdict, now: now)
            case .revoked(let usernames): shard.revoke(usernames, now: now)
            case .publish(let request, let continuation): publish(request, continuation)
            case .health(let continuation): continuation.resume(returning: health)
            case .account(let continuation): continuation.resume(returning: account)
            }
        }
        turn()
    }

    private func authenticate(_ question: AuthenticationRequest) {
        guard let authenticator, let inbox = boundInbox else {
            // Nobody can say: nobody comes in.
            return shard.authenticated(question.token, .refused(.notAuthorized), now: now)
        }
        let token = question.token
        let verdict = authenticator.decide(question.login) { inbox.post(.authenticated(token, $0)) }
        if let verdict { shard.authenticated(token, verdict, now: now) }
    }

    private func publish(_ request: GatewayPublish, _ continuation: CheckedContinuation<GatewayReceipt, any Error>) {
        if isDraining { return continuation.resume(throwing: GatewayRefusal.draining) }
        switch shard.refusal(of: request, now: now) {
        case .some(.quotaExceeded): return continuation.resume(throwing: GatewayRefusal.full)
        case .some: return continuation.resume(throwing: GatewayRefusal.notAllowed)
        case .none: break
        }
        nextToken &+= 1
        receipts[nextToken] = continuation
        shard.publish(request, token: nextToken, now: now)
    }

    private var health: NodeHealth {
        NodeHealth(
            connections: shard.connectionCount,
            links: shard.links.map { link in
                NodeHealth.Link(
                    name: link.settings.name,
                    state: link.state.rawValue,
                    queued: spool.depth(of: link.receiver),
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
    func drain(_ promise: EventLoopPromise<Void>) {
        isDraining = true
        drained = promise
        shard.drain(now: now)
        perform()
        // Those that never said CONNECT have no farewell to wait for.
        for handler in handlers.values { handler.close(lingering: false) }
        turn()
    }

    private func finishDrain() {
        guard isDraining, handlers.isEmpty, receipts.isEmpty, shard.outbox.isEmpty, let promise = drained else {
            return
        }
        drained = nil
        timer?.cancel()
        reporting?.cancel()
        promise.succeed()
    }

    /// Whoever has not read its farewell by now is closed with the node, and a publish over HTTP whose message is not on
    /// disk by now hears that.
    func giveUpDraining() {
        for receipt in receipts.values { receipt.resume(throwing: GatewayRefusal.draining) }
        receipts = [:]
        drained?.succeed()
        drained = nil
    }

    // MARK: - Log

    private func log(_ notice: Notice) {
        let level: Logger.Level =
            switch notice.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .denial: denialLevel
            }
        guard logger.logLevel <= level else { return }
        var metadata: Logger.Metadata = [:]
        if let clientID = notice.clientID { metadata["client"] = .string(LogText.escaped(clientID.string)) }
        if let link = notice.link { metadata["link"] = .string(LogText.escaped(link.string)) }
        if let detail = notice.detail { metadata["detail"] = .string(LogText.escaped(detail)) }
        logger.log(level: level, "\(notice.text)", metadata: metadata)
    }
}
