import BrokerCore
import Logging
import MQTTCodec
import NIOCore

/// One event loop's share of the node: its connections read and write here.
///
/// What they read in one round of the loop is gathered and given to the shard behind all of them, so that a connection
/// gets one write and one flush however many publishers sent to it. All of this class is touched on its loop only.
final class LoopRunner {
    let loop: any EventLoop
    let index: Int
    let logger: Logger
    private let shared: SharedShard
    private let orders = Postbox<LoopOrder>()
    /// What this loop tells the shard next; its buffer changes places with those of the mail.
    private var gathered: [Mail] = []
    private var gatheredBytes = 0
    private static let gatheredBytesMax = 256 << 10
    /// The orders that are being performed.
    private var taken: [LoopOrder] = []
    private var spent: [ByteBuffer] = []
    private static let spentMax = 256
    private var isScheduled = false
    private var isRunning = false
    private var timer: Scheduled<Void>?
    /// By their windows: seven at most.
    private var deflaters: [Int: Deflater] = [:]

    init(_ loop: any EventLoop, index: Int, _ shared: SharedShard, _ logger: Logger) {
        loop.preconditionInEventLoop()
        self.loop = loop
        self.index = index
        self.shared = shared
        self.logger = logger
    }

    /// How others reach this loop.
    var entry: SharedShard.LoopEntry {
        let bound = NIOLoopBound(self, eventLoop: loop)
        // Made once, and not whenever somebody wakes the loop.
        let run: @Sendable () -> Void = { bound.value.run() }
        return SharedShard.LoopEntry(orders: orders) { [loop] in loop.execute(run) }
    }

    // MARK: - Turns

    /// Something happened: the shard hears of it at the end of this round of the loop.
    func tell(_ mail: Mail) {
        gathered.append(mail)
        gatheredBytes += mail.bytes
        schedule()
    }

    /// A connection read so much. Before the bytes of one round are more than what the caches hold, the shard takes them.
    func tell(_ bytes: ByteBuffer, of reader: ConnectionReader) {
        gathered.append(.bytes(reader, bytes, owesMore: false))
        gatheredBytes += bytes.readableBytes
        if gatheredBytes < Self.gatheredBytesMax { schedule() } else { run() }
    }

    private func schedule() {
        guard !isScheduled else { return }
        isScheduled = true
        loop.assumeIsolated().execute {
            self.isScheduled = false
            self.run()
        }
    }

    private func run() {
        // A write that fails makes NIO read all that the peer sent before it went, in the middle of the orders: what comes
        // then is told behind them. Run here again, it would put back orders that are being performed, and a peer would
        // get the same bytes twice.
        guard !isRunning else { return schedule() }
        isRunning = true
        defer { isRunning = false }
        shared.post(&gathered, bytes: gatheredBytes)
        gatheredBytes = 0
        if shared.run(on: index) { schedule() }
        orders.take(into: &taken)
        for order in taken { perform(order) }
        taken.removeAll(keepingCapacity: true)
        shared.recycle(&spent)
    }

    private func perform(_ order: LoopOrder) {
        switch order {
        case .send(let handler, let bytes):
            handler.send(bytes)
            if spent.count < Self.spentMax { spent.append(bytes) }
        case .sendLarge(let handler, let head, let payload): handler.send(head, sharing: payload)
        case .read(let handler, let wanted): handler.read(wanted)
        case .continue(let handler): handler.continueReading()
        case .pause(let handler, let pause): handler.pause(pause)
        case .close(let handler, let lingering, let isGoingAway):
            handler.close(lingering: lingering, isGoingAway: isGoingAway)
        case .dial(let dial, let connector): connector.dial(dial, runner: self)
        case .wake(let wait): wake(after: wait)
        case .log(let notice, let level): log(notice, level)
        }
    }

    private func wake(after wait: Duration) {
        timer?.cancel()
        let (seconds, attoseconds) = wait.components
        // One more millisecond, so that a timer never fires a moment before it is due and turns in circles.
        let delay = TimeAmount.milliseconds(seconds &* 1_000 &+ attoseconds / 1_000_000_000_000_000 &+ 1)
        timer = loop.assumeIsolated().scheduleTask(in: delay) { self.tell(.timer) }
    }

    // MARK: - Connections

    /// Adds the handler of a client to its channel.
    ///
    /// - Parameters:
    ///   - arrival: since when it is here, and what its certificate calls it.
    ///   - listener: the name of the one that it came in by.
    /// - Throws: when the node shuts down; the channel is closed then.
    func admit(_ channel: any Channel, speaksWebSocket: Bool, arrival: Arrival, listener: String) throws {
        guard let door = shared.door(listener) else { throw ChannelError.ioOnClosedChannel }
        try channel.syncOptions?.setOption(.writeBufferWaterMark, value: .mqtt(door.writeBufferBytesMax))
        if !arrival.isEncrypted {
            // What was sent before the end is heard; TLS has an end of its own.
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        }
        let framing =
            speaksWebSocket
            ? WebSocketFraming(
                limits: WebSocketLimits(frameBytesMax: door.frameBytesMax),
                inflatedBytesMax: arrival.deflate == nil ? nil : door.inflatedBytesMax
            ) : nil
        let opening = ConnectionReader.Opening.client(
            peer: arrival.peer(of: channel),
            address: arrival.address(of: channel),
            certificateName: arrival.certificateName,
            age: arrival.age(now: loop.now),
            door
        )
        try channel.pipeline.syncOperations.addHandler(
            ConnectionHandler(
                runner: self,
                opening,
                framing: framing,
                deflate: arrival.deflate,
                writeBufferBytesMax: door.writeBufferBytesMax
            )
        )
    }

    /// The compressor of all connections with such a window.
    func deflater(_ agreement: DeflateAgreement) -> Deflater? {
        if let known = deflaters[agreement.windowBits] { return known }
        let new = Deflater(windowBits: agreement.windowBits)
        deflaters[agreement.windowBits] = new
        return new
    }

    // MARK: - Log

    private func log(_ notice: Notice, _ level: Logger.Level) {
        guard logger.logLevel <= level else { return }
        var metadata: Logger.Metadata = [:]
        if let clientID = notice.clientID { metadata["client"] = .string(LogText.escaped(clientID.string)) }
        if let link = notice.link { metadata["link"] = .string(LogText.escaped(link.string)) }
        if let detail = notice.detail { metadata["detail"] = .string(LogText.escaped(detail)) }
        logger.log(level: level, "\(notice.text)", metadata: metadata)
    }
}

/// The loops of a node, for whoever has a channel of one of them.
struct LoopRunners: Sendable {
    private let all: [NIOLoopBound<LoopRunner>]
    private let shared: SharedShard

    init(_ all: [NIOLoopBound<LoopRunner>], _ shared: SharedShard) {
        self.all = all
        self.shared = shared
    }

    /// The one that a channel lives on; called there.
    func runner(of channel: any Channel) throws -> LoopRunner {
        for bound in all where bound.eventLoop === channel.eventLoop { return bound.value }
        throw ChannelError.ioOnClosedChannel
    }

    /// What clients of a listener may who come now; nil when nobody is let in any more.
    func door(_ listener: String) -> Door? { shared.door(listener)?.door }
}
