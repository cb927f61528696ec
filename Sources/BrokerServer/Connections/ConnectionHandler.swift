import BrokerCore
import Logging
import MQTTCodec
import NIOCore
import Synchronization

/// The socket's side of one connection, a client over TCP or WebSocket or a link's upstream: bytes in, bytes out, and
/// when they stop. It lives on its loop; what the bytes mean is `ConnectionReader`'s business, on whichever loop runs the
/// shard. One handler does all of it, so that nothing is boxed between stages and an idle connection is small.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let runner: LoopRunner
    /// Named in mail, and touched by nobody here.
    private var reader: ConnectionReader?
    /// Until the shard has heard of this connection.
    private var opening: ConnectionReader.Opening?
    /// Set for MQTT over WebSocket.
    private var framing: WebSocketFraming?
    private let deflate: DeflateAgreement?
    /// Frames that wait until what came before them is dealt with; only where messages are compressed.
    private var wire = ByteBuffer()
    private var awaitsContinue = false
    private var context: ChannelHandlerContext?
    /// What the channel last said. Asking it again for each write costs more than the answer is worth.
    private var isWritable = true
    /// What the shard wants, and what the channel was told.
    private var mayRead = true
    private var isReading = true
    /// Bytes of answers written while the peer took none. Messages wait for a slow reader, but its own pings and
    /// publishes are answered: whoever sends without reading is not read from either, or its answers fill the memory.
    private var untakenAnswerBytes = 0
    private let writeBufferBytesMax: Int
    /// Bytes that are on their way here from the shard. Above the limit of the write buffer the shard takes the peer for
    /// a slow reader, so that a loop that is busy elsewhere is not buried in what others send.
    private let underWay = Atomic(0)
    private var isClosing = false
    /// The peer sends nothing more, and may listen still.
    private var isInputClosed = false
    private var lastCall: Scheduled<Void>?
    /// What an upstream's TLS said at the end: a server of TLS 1.3 refuses our certificate after the handshake.
    private var failure: String?

    /// How long a peer that was told why has time to read it.
    private static let lingerTime = TimeAmount.seconds(1)
    /// How long what a peer sent before it stopped sending may wait to be taken and answered.
    private static let lastAnswersTime = TimeAmount.seconds(30)
    /// WebSocket's words for an orderly end (RFC 6455 §7.4.1): this connection's, and the node's.
    private static let normalClosure: UInt16 = 1000
    private static let goingAway: UInt16 = 1001

    /// - Parameters:
    ///   - opening: what the shard has to know of it.
    ///   - framing: for MQTT over WebSocket.
    ///   - deflate: how its messages may be compressed.
    init(
        runner: LoopRunner,
        _ opening: ConnectionReader.Opening,
        framing: WebSocketFraming? = nil,
        deflate: DeflateAgreement? = nil,
        writeBufferBytesMax: Int
    ) {
        self.runner = runner
        self.opening = opening
        self.framing = framing
        self.deflate = deflate
        self.writeBufferBytesMax = writeBufferBytesMax
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        isWritable = context.channel.isWritable
        guard let opening else { return }
        self.opening = nil
        let reader = ConnectionReader(self, loop: runner.index)
        self.reader = reader
        runner.tell(.opened(reader, opening))
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ended()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    /// A client may send CONNECT, PUBLISH and DISCONNECT and leave without waiting for anything (§3.1.4). What it sent is
    /// here then, and is read although CONNACK waits for the disk or for somebody who knows the password.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { inputClosed(isOrderly: false, context) }
        context.fireUserInboundEventTriggered(event)
    }

    /// Nothing more comes: the shard ends the connection as soon as it is owed nothing.
    private func inputClosed(isOrderly: Bool, _ context: ChannelHandlerContext) {
        guard !isInputClosed, !isClosing, let reader else { return }
        isInputClosed = true
        lastCall = context.eventLoop.assumeIsolated().scheduleTask(in: Self.lastAnswersTime) {
            self.isClosing = true
            context.close(promise: nil)
        }
        // What waits here came before it.
        if !awaitsContinue { runner.tell(.inputEnded(reader, isOrderly: isOrderly)) }
    }

    private func ended() {
        guard let reader else { return }
        self.reader = nil
        isClosing = true
        lastCall?.cancel()
        runner.tell(.closed(reader, reason: failure))
    }

    // MARK: - Inbound

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing, !isInputClosed, let reader else { return }
        var bytes = Self.unwrapInboundIn(data)
        guard framing != nil else { return runner.tell(bytes, of: reader) }
        if wire.readableBytes > 0 {
            wire.writeBuffer(&bytes)
            bytes = wire
            wire = ByteBuffer()
        }
        if awaitsContinue { wire = bytes } else { unframe(bytes, reader, context) }
    }

    /// What was handed over is taken.
    func continueReading() {
        awaitsContinue = false
        guard !isClosing, let reader, let context else { return }
        let isLast = isInputClosed
        if wire.readableBytes > 0 {
            let bytes = wire
            wire = ByteBuffer()
            unframe(bytes, reader, context)
        }
        if isLast, !awaitsContinue { runner.tell(.inputEnded(reader, isOrderly: framing?.isClosed == true)) }
    }

    /// Takes frames, and compressed ones as far as they become not too much at once.
    private func unframe(_ bytes: ByteBuffer, _ reader: ConnectionReader, _ context: ChannelHandlerContext) {
        var bytes = bytes
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        var closeCode: UInt16?
        do throws(WebSocketError) {
            try framing?.receive(&bytes, into: &plain, replies: &replies)
        } catch {
            // [5:MQTT-6.0.0-1] [311:MQTT-6.0.0-1] text frames and whatever else RFC 6455 forbids.
            framing?.writeFarewell(code: error.closeCode, into: &replies)
            closeCode = error.closeCode
        }
        if closeCode == nil, framing?.isClosed == false, bytes.readableBytes > 0 {
            wire = bytes
            awaitsContinue = true
        }
        if plain.readableBytes > 0 || awaitsContinue {
            runner.tell(.bytes(reader, plain, owesMore: awaitsContinue))
        }
        if replies.readableBytes > 0 {
            willWrite(replies.readableBytes)
            context.writeAndFlush(Self.wrapOutboundOut(replies), promise: nil)
        }
        if closeCode != nil {
            close(lingering: true)
        } else if framing?.isClosed == true {
            inputClosed(isOrderly: true, context)
        }
    }

    /// The shard takes bytes of it, or takes none.
    func read(_ wanted: Bool) {
        mayRead = wanted
        setReading()
    }

    private func setReading() {
        let wanted = mayRead && untakenAnswerBytes <= writeBufferBytesMax
        guard wanted != isReading, !isClosing, let context else { return }
        isReading = wanted
        context.channel.setOption(.autoRead, value: wanted).assumeIsolated().whenFailure { error in
            context.fireErrorCaught(error)
        }
    }

    /// Sends too fast.
    func pause(_ pause: Duration) {
        runner.loop.assumeIsolated().scheduleTask(in: TimeAmount(pause)) {
            guard let reader = self.reader else { return }
            self.runner.tell(.unthrottled(reader))
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable { untakenAnswerBytes = 0 }
        if let reader {
            runner.tell(.writable(reader, isWritable))
            setReading()
        }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The socket is broken; the shard hears of it when the channel is inactive.
        runner.logger.debug("connection error", metadata: ["detail": "\(error)"])
        if failure == nil { failure = TLSFailure.alert(error) }
        context.close(promise: nil)
    }

    // MARK: - Outbound

    /// From whoever runs the shard: so much is on its way here.
    ///
    /// - Returns: false when that is too much.
    func announce(bytes count: Int) -> Bool {
        underWay.add(count, ordering: .relaxed).newValue <= writeBufferBytesMax
    }

    /// Writes what a turn has for this peer: one write, one flush.
    func send(_ bytes: ByteBuffer) {
        arrived(bytes.readableBytes) { context in write(bytes, context) }
    }

    /// Writes one packet whose payload other peers get as well: it is not copied, unless each gets it in its own form.
    func send(_ head: ByteBuffer, sharing payload: ByteBuffer) {
        let count = head.readableBytes + payload.readableBytes
        arrived(count) { context in
            if let framing, framing.masks || deflate != nil {
                var packet = head
                packet.writeImmutableBuffer(payload)
                return write(packet, context)
            }
            willWrite(count)
            if framing != nil {
                var header = ByteBuffer()
                WebSocketFraming.writeHeader(payloadBytes: count, into: &header)
                context.write(Self.wrapOutboundOut(header), promise: nil)
            }
            context.write(Self.wrapOutboundOut(head), promise: nil)
            context.writeAndFlush(Self.wrapOutboundOut(payload), promise: nil)
        }
    }

    /// What the shard announced is here.
    private func arrived(_ count: Int, _ write: (ChannelHandlerContext) -> Void) {
        let before = underWay.subtract(count, ordering: .relaxed).oldValue
        guard let context, !isClosing, count > 0 else { return }
        // Nothing follows a close frame.
        if framing?.isClosed != true { write(context) }
        // The shard took it for a slow reader.
        if before > writeBufferBytesMax, let reader { runner.tell(.writable(reader, isWritable)) }
    }

    private func write(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        willWrite(bytes.readableBytes)
        guard let framing else { return context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil) }
        if framing.masks {
            return context.writeAndFlush(Self.wrapOutboundOut(WebSocketFraming.maskedFrame(bytes)), promise: nil)
        }
        if let deflate, let packed = runner.deflater(deflate)?.deflate(bytes) {
            var header = ByteBuffer()
            WebSocketFraming.writeCompressedHeader(payloadBytes: packed.readableBytes, into: &header)
            context.write(Self.wrapOutboundOut(header), promise: nil)
            return context.writeAndFlush(Self.wrapOutboundOut(packed), promise: nil)
        }
        context.writeAndFlush(Self.wrapOutboundOut(WebSocketFraming.frames(ofPackets: bytes)), promise: nil)
    }

    /// What is written while the channel is not writable are answers: deliveries wait until it is. A small write costs
    /// more than its bytes.
    private func willWrite(_ count: Int) {
        guard !isWritable else { return }
        untakenAnswerBytes += count + 128
        if untakenAnswerBytes > writeBufferBytesMax { setReading() }
    }

    /// - Parameters:
    ///   - lingering: the peer was told why and gets the time to read it: what it still sends is read and dropped, since
    ///     closing with unread bytes would take the farewell back.
    ///   - isGoingAway: all of the node ends.
    func close(lingering: Bool, isGoingAway: Bool = false) {
        guard let context, !isClosing else { return }
        isClosing = true
        wire = ByteBuffer()
        if framing?.isClosed == false {
            var farewell = ByteBuffer()
            framing?.writeFarewell(code: isGoingAway ? Self.goingAway : Self.normalClosure, into: &farewell)
            context.writeAndFlush(Self.wrapOutboundOut(farewell), promise: nil)
        }
        if isInputClosed {
            // It may listen still: closing would throw away what the system has not taken yet.
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
            return context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: written)
        }
        guard lingering else { return context.close(promise: nil) }
        context.channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        context.close(mode: .output, promise: nil)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerTime) { context.close(promise: nil) }
    }
}
