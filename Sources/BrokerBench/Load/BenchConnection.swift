import BrokerServer
import MQTTCodec
import NIOCore

/// One client of the load generator, from dialling to its end: bytes to packets, packets to its publisher and its
/// subscriber, and one write for all that a turn has for the broker.
///
///     waiting -> dialling -> connecting -> subscribing -> ready -> leaving -> over
///                    |            |             |           |                  ^
///                    +------------+-------------+-----------+---(failure)------+
final class BenchConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum State {
        case waiting
        case dialling
        case connecting
        case subscribing
        case ready
        /// DISCONNECT was sent.
        case leaving
        case over
    }

    /// Written in one go; more is only gathered while the socket takes none.
    static let turnBytesMax = 64 << 10
    private static let subscribeID: UInt16 = 1
    private static let acceptedPacketBytes = CodecLimits.variableByteIntegerMax + 5

    /// Its place in its loop.
    let index: Int
    let role: BenchPlan.Role
    let publisher: Publisher?
    let hearing: Hearing?
    @exclusivity(unchecked) private(set) var state = State.waiting
    /// When it should have begun to connect.
    var intendedStart: UInt64 = 0
    /// What it has for the broker is in the loop's list.
    // What is touched for every message is touched on one loop, and never while it is touched already.
    @exclusivity(unchecked) var isDirty = false
    private(set) var isWritable = true
    /// Seconds; 0: none. The broker may have another one in mind (Server Keep Alive of MQTT 5), which counts.
    private(set) var keepAlive: UInt16
    /// When something was last sent, for the keep-alive.
    private(set) var lastSent: UInt64 = 0

    private let bench: BenchLoop
    private var decoder: PacketDecoder
    private let scanner: PacketScanner
    private var framing: WebSocketFraming?
    private var context: ChannelHandlerContext?
    private var pending = ByteBuffer()
    @exclusivity(unchecked) private var out = ByteBuffer()
    /// Identifiers of QoS 2 messages between PUBLISH and PUBREL, a bit each; made when the first comes.
    @exclusivity(unchecked) private var unreleased: [UInt64] = []
    /// Clean Start; the sessions of `backlog` begin without.
    var isClean: Bool
    /// A session was there, or none was wanted: nothing is subscribed to again.
    var subscribesAlways = true

    init(
        _ index: Int,
        _ role: BenchPlan.Role,
        publisher: Publisher?,
        hearing: Hearing?,
        isClean: Bool,
        bench: BenchLoop
    ) {
        self.index = index
        self.role = role
        self.publisher = publisher
        self.hearing = hearing
        self.isClean = isClean
        self.bench = bench
        keepAlive = bench.settings.client.connect.keepAlive
        decoder = Self.decoder(bench)
        scanner = PacketScanner(version: bench.version)
    }

    private static func decoder(_ bench: BenchLoop) -> PacketDecoder {
        let limits = CodecLimits(maximumPacketSize: acceptedPacketBytes)
        return PacketDecoder(role: .client, version: bench.version, limits: limits)
    }

    // MARK: - Life

    /// The same client, for another connection: late news of this one must not reach it.
    func again() -> BenchConnection {
        let next = BenchConnection(index, role, publisher: publisher, hearing: hearing, isClean: isClean, bench: bench)
        next.subscribesAlways = subscribesAlways
        return next
    }

    func dialling() { state = .dialling }

    /// The network and, where wanted, TLS and WebSocket stand.
    func dialled(_ channel: any Channel, framing: WebSocketFraming?) {
        self.framing = framing
        do {
            try channel.pipeline.syncOperations.addHandler(self)
        } catch {
            return ended("\(error)")
        }
        state = .connecting
        send(.connect(bench.connect(role.clientID, isClean: isClean)))
        flush()
        channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
    }

    /// It never stood, or stands and does not answer.
    func failed(_ reason: String) { broken(reason) }

    /// Ends in good order: the broker closes.
    func leave() {
        guard state == .ready else { return }
        state = .leaving
        send(.disconnect(Disconnect()))
        flush()
        if framing != nil {
            var farewell = ByteBuffer()
            framing?.writeFarewell(code: 1000, into: &farewell)
            context?.writeAndFlush(Self.wrapOutboundOut(farewell), promise: nil)
        }
    }

    /// At once, whatever the broker thinks.
    func abort() { context?.close(promise: nil) }

    private func becameReady() {
        state = .ready
        bench.becameReady(self)
    }

    private func ended(_ reason: String) {
        guard state != .over, state != .waiting else { return }
        let former = state
        state = .over
        context = nil
        pending = ByteBuffer()
        out = ByteBuffer()
        bench.ended(self, from: former, because: reason)
    }

    private func broken(_ reason: String) {
        let context = context
        ended(reason)
        context?.close(promise: nil)
    }

    // MARK: - Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelInactive(context: ChannelHandlerContext) {
        ended("the connection was lost")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        ended(BenchProblem.words(ClientFailure(.network(error))))
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable, state == .ready { bench.becameWritable(self) }
        context.fireChannelWritabilityChanged()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .over else { return }
        var bytes = Self.unwrapInboundIn(data)
        bench.read(bytes.readableBytes)
        if framing != nil {
            guard unframe(&bytes) else { return }
        } else if pending.readableBytes == 0 {
            pending = bytes
        } else {
            pending.writeBuffer(&bytes)
        }
        bytes = ByteBuffer()
        decode()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        bench.endTurn()
        context.fireChannelReadComplete()
    }

    /// - Returns: false when the connection ends.
    private func unframe(_ bytes: inout ByteBuffer) -> Bool {
        var replies = ByteBuffer()
        do throws(WebSocketError) {
            try framing?.receive(&bytes, into: &pending, replies: &replies)
        } catch {
            broken("the broker breaks the framing of its WebSocket")
            return false
        }
        if replies.readableBytes > 0 { context?.writeAndFlush(Self.wrapOutboundOut(replies), promise: nil) }
        if framing?.isClosed == true {
            decode()
            broken("the broker closed the WebSocket")
            return false
        }
        return true
    }

    private func decode() {
        do throws(DecodeError) {
            repeat {
                takeMessages()
                guard state != .over, let packet = try decoder.next(from: &pending) else { break }
                received(packet)
            } while state != .over
        } catch {
            return broken("the broker breaks the protocol: \(error.explanation)")
        }
        if state == .over || pending.readableBytes == 0 {
            pending = ByteBuffer()
        } else if pending.readableBytes < pending.storageCapacity / 4 {
            // A small rest would hold the whole read buffer, which can be read into again.
            pending = ByteBuffer(bytes: pending.readableBytesView)
        }
    }

    // MARK: - Packets

    /// Messages and acknowledgements, up to the first packet that is anything else: nearly all of what comes.
    private func takeMessages() {
        guard state == .ready || state == .subscribing else { return }
        // What comes may end the connection and take `pending` away.
        let bytes = pending
        let taken = bytes.withUnsafeReadableBytes { bytes in
            var offset = 0
            while state != .over {
                switch scanner.next(bytes, at: &offset) {
                case .publish(let qos, let id, let payload):
                    received(UnsafeRawBufferPointer(rebasing: bytes[payload]), qos, id)
                case .ack(let type, let id): received(type, id)
                case .unknown: return offset
                }
            }
            return offset
        }
        if state != .over { pending.moveReaderIndex(forwardBy: taken) }
    }

    private func received(_ type: PacketEncoder.AckType, _ id: UInt16) {
        switch type {
        case .pubAck, .pubComp: settled(id, isRefusal: false)
        case .pubRec:
            guard publisher?.released(id) == true else {
                bench.counters.misplacedIDs += 1
                return
            }
            acknowledge(.pubRel, id)
        case .pubRel:
            setUnreleased(id, false)
            acknowledge(.pubComp, id)
        }
    }

    private func received(_ packet: Packet) {
        switch packet {
        case .publish(let publish):
            publish.payload.withUnsafeReadableBytes { received($0, publish.qos, publish.packetID) }
        case .pubAck(let ack), .pubComp(let ack): settled(ack.packetID, isRefusal: ack.reason.isFailure)
        case .pubRec(let ack):
            if ack.reason.isFailure { settled(ack.packetID, isRefusal: true) } else { received(.pubRec, ack.packetID) }
        case .pubRel(let ack): received(.pubRel, ack.packetID)
        case .connAck(let ack): received(ack)
        case .subAck(let ack):
            guard state == .subscribing else { return broken("SUBACK of nothing") }
            if let reason = ack.reasons.first(where: \.isFailure) {
                return broken("subscription refused: \(reason.name)")
            }
            if let granted = ack.reasons.first?.rawValue, granted < bench.qos.rawValue {
                return doesNotFit(
                    "The broker grants subscriptions QoS \(granted), less than asked for: say -q \(granted).")
            }
            becameReady()
        case .pingResp: break
        case .disconnect(let disconnect):
            broken("the broker ends the connection: \(disconnect.reason.name)")
        case .connect, .subscribe, .unsubscribe, .unsubAck, .pingReq, .auth: broken("a packet that nobody asked for")
        }
    }

    private func received(_ ack: ConnAck) {
        guard state == .connecting else { return broken("a second CONNACK") }
        guard ack.reason == .success else {
            return broken("refused: \(ClientRefusal.text(ack.reason, version: bench.version))")
        }
        if let maximum = ack.properties.receiveMaximum { publisher?.limitInflight(Int(maximum)) }
        if let seconds = ack.properties.serverKeepAlive { keepAlive = seconds }
        if let problem = misfit(ack.properties) { return doesNotFit(problem) }
        if ack.isSessionPresent { bench.counters.sessionsPresent += 1 }
        guard let filter = role.filter, subscribesAlways || !ack.isSessionPresent else { return becameReady() }
        state = .subscribing
        let entry = Subscribe.Entry(filter: filter, options: SubscriptionOptions(maximumQoS: bench.qos))
        send(.subscribe(Subscribe(packetID: Self.subscribeID, subscriptions: [entry])))
    }

    /// What we would publish and the broker does not take.
    private func misfit(_ allowed: Properties) -> String? {
        guard let publisher else { return nil }
        if let maximum = allowed.maximumQoS, maximum.rawValue < bench.qos.rawValue {
            let most = maximum.rawValue
            return "The broker takes messages of QoS \(most) at most (Maximum QoS): say -q \(most)."
        }
        if let maximum = allowed.maximumPacketSize.map({ Int($0) }), publisher.packetBytes > maximum {
            let size = bench.settings.size - (publisher.packetBytes - maximum)
            let advice = size < MessageStamp.bytes ? "no -s is small enough" : "say -s \(size) or less"
            return """
                The broker takes packets of \(maximum) bytes at most (Maximum Packet Size), and each message is one of \
                \(publisher.packetBytes): \(advice).
                """
        }
        return nil
    }

    private func doesNotFit(_ problem: String) {
        bench.doesNotFit(problem)
        broken(problem)
    }

    private func received(_ payload: UnsafeRawBufferPointer, _ qos: QoS, _ id: UInt16) {
        switch qos {
        case .atMostOnce: break
        case .atLeastOnce: acknowledge(.pubAck, id)
        case .exactlyOnce:
            acknowledge(.pubRec, id)
            guard !isUnreleased(id) else {
                // Exactly once: the same message again, and no new one.
                bench.counters.misplacedIDs += 1
                return
            }
            setUnreleased(id, true)
        }
        bench.heard(hearing?.hear(payload) ?? .foreign)
    }

    private func settled(_ id: UInt16, isRefusal: Bool) {
        guard let publisher, let intended = publisher.settled(id, isRefusal: isRefusal) else {
            bench.counters.misplacedIDs += 1
            return
        }
        bench.acknowledged(publisher, intended: intended, isRefusal: isRefusal)
    }

    private func isUnreleased(_ id: UInt16) -> Bool {
        !unreleased.isEmpty && unreleased[Int(id >> 6)] & (1 << UInt64(id & 63)) != 0
    }

    private func setUnreleased(_ id: UInt16, _ isUnreleased: Bool) {
        if unreleased.isEmpty {
            guard isUnreleased else { return }
            unreleased = Array(repeating: 0, count: 1024)
        }
        let bit = UInt64(1) << UInt64(id & 63)
        if isUnreleased { unreleased[Int(id >> 6)] |= bit } else { unreleased[Int(id >> 6)] &= ~bit }
    }

    // MARK: - Sending

    func ping() {
        send(.pingReq)
        flush()
    }

    private func send(_ packet: Packet) {
        PacketEncoder.write(packet, version: bench.version, into: &out)
        bench.isDirty(self)
    }

    private func acknowledge(_ type: PacketEncoder.AckType, _ id: UInt16) {
        PacketEncoder.writeAck(type, packetID: id, version: bench.version, into: &out)
        bench.isDirty(self)
    }

    /// Sends messages, as many as are asked for and the socket takes.
    ///
    /// - Parameter intended: when a message should have been sent, by its number in the order of its publisher.
    func publish(_ count: UInt64, intended: (UInt64) -> UInt64) {
        guard let publisher, state == .ready else { return }
        let turnMax = max(1, Self.turnBytesMax / publisher.packetBytes)
        var rest = count
        while rest > 0, isWritable, state == .ready {
            let wanted = Int(clamping: min(rest, UInt64(turnMax)))
            let appended = publisher.publish(wanted, into: &out, intended: intended)
            bench.counters.sent += UInt64(appended)
            rest -= UInt64(appended)
            if appended < wanted { break }
            if out.readableBytes >= Self.turnBytesMax { flush() }
        }
        if out.readableBytes > 0 { bench.isDirty(self) }
    }

    /// Writes what a turn has for the broker: one write. The buffer is used again when the socket took all of it.
    func flush() {
        guard let context, out.readableBytes > 0 else { return }
        lastSent = bench.now
        bench.wrote(out.readableBytes)
        if framing == nil {
            context.writeAndFlush(Self.wrapOutboundOut(out), promise: nil)
        } else {
            let frames = WebSocketFraming.maskedFrames(ofPackets: &out, keys: &bench.keys)
            context.writeAndFlush(Self.wrapOutboundOut(frames), promise: nil)
        }
        if bench.isLean { out = ByteBuffer() } else { out.clear() }
    }
}
