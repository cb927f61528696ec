import BrokerCore
import Logging
import MQTTCodec
import NIOCore

/// Bytes to packets to the shard, for one connection: a client over TCP or WebSocket, or a link's upstream. One handler
/// does all of it, so that nothing is boxed between stages and an idle connection is small.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let runner: ShardRunner
    private var decoder: PacketDecoder
    /// Set for MQTT over WebSocket.
    private var framing: WebSocketFraming?
    /// Frames that wait until what came before them is dealt with; only where messages are compressed.
    private var wire = ByteBuffer()
    private let arrival: Arrival?
    /// The door of a client; nil for an upstream.
    private let door: Door?
    /// Set when the listener limits how fast a client may send.
    private var throttle: Throttle?
    private var isThrottled = false
    /// The upstream's connection that this handler was made for; a client's is made when its channel is there.
    private var connection: Connection?
    /// Bytes that are not decoded yet: the start of a packet, or what arrived while the connection was held.
    private var pending = ByteBuffer()
    private var context: ChannelHandlerContext?
    private var isReading = true
    /// Bytes of answers written while the peer took none. Messages wait for a slow reader, but its own pings and
    /// publishes are answered: whoever sends without reading is not read from either, or its answers fill the memory.
    private var untakenAnswerBytes = 0
    private let untakenAnswerBytesMax: Int
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
    ///   - connection: of a link; nil for a client.
    ///   - framing: for MQTT over WebSocket.
    ///   - arrival: what is known of a client's connection so far.
    ///   - door: by which a client came in.
    init(
        runner: ShardRunner,
        decoder: PacketDecoder,
        connection: Connection? = nil,
        framing: WebSocketFraming? = nil,
        arrival: Arrival? = nil,
        door: ClientDoor? = nil
    ) {
        self.runner = runner
        self.arrival = arrival
        self.door = door?.door
        self.throttle = door.flatMap { Throttle($0.rate, now: ShardRunner.monotonic) }
        self.decoder = decoder
        self.connection = connection
        self.framing = framing
        self.untakenAnswerBytesMax = runner.shard.settings.writeBufferBytesMax
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        runner.opened(self)
        if connection == nil {
            connection = runner.shard.opened(
                peer: arrival?.peer(of: context.channel) ?? "local",
                address: arrival?.address(of: context.channel),
                certificateName: arrival?.certificateName,
                door: door,
                age: arrival?.age(now: context.eventLoop.now) ?? .zero,
                now: runner.now
            )
        }
        connection?.owner = self
        runner.turn()
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
        if let event = event as? ChannelEvent, event == .inputClosed, !isInputClosed, !isClosing {
            isInputClosed = true
            closeIfAnswered()
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Nothing more comes: the connection ends as soon as it is owed nothing.
    private func closeIfAnswered() {
        guard isInputClosed, !isClosing, let loop = context?.eventLoop.assumeIsolated() else { return }
        if lastCall == nil {
            lastCall = loop.scheduleTask(in: Self.lastAnswersTime) { self.close(lingering: false) }
        }
        guard !isOwedAnswers else { return }
        // What this turn lets in is taken, and answered by the next one.
        loop.execute {
            self.decode()
            self.runner.turn()
            loop.execute {
                guard !self.isClosing, !self.isOwedAnswers else { return }
                self.close(lingering: self.framing?.isClosed == true)
            }
        }
    }

    private var isOwedAnswers: Bool { isThrottled || connection?.isOwedAnswers == true }

    private func ended() {
        guard let connection else { return }
        self.connection = nil
        isClosing = true
        lastCall?.cancel()
        runner.shard.closed(connection, reason: failure, now: runner.now)
        runner.closed(self)
        runner.turn()
    }

    // MARK: - Inbound

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing, !isInputClosed else { return }
        var bytes = Self.unwrapInboundIn(data)
        if throttle != nil { throttle?.received(bytes: bytes.readableBytes, now: ShardRunner.monotonic) }
        if framing != nil {
            if wire.readableBytes > 0 {
                wire.writeBuffer(&bytes)
                swap(&bytes, &wire)
                wire = ByteBuffer()
            }
            guard unframe(&bytes, context) else { return }
            if bytes.readableBytes > 0 { wire = bytes }
        } else if pending.readableBytes == 0 {
            pending = bytes
        } else {
            pending.writeBuffer(&bytes)
        }
        decode()
        if wire.readableBytes > 0 { unframeRest() }
        runner.turn()
    }

    /// Takes frames that had to wait, as long as what they hold is taken.
    private func unframeRest() {
        while wire.readableBytes > 0, !isClosing, !isThrottled, let context, let connection, !connection.isHeld {
            var bytes = wire
            wire = ByteBuffer()
            guard unframe(&bytes, context) else { return }
            wire = bytes
            decode()
        }
    }

    /// Passes whole packets to the shard, as long as it takes them.
    private func decode() {
        guard let connection else { return }
        let now = runner.now
        let unread = pending.readableBytes
        do throws(DecodeError) {
            while !connection.isHeld, !isThrottled, connection.state != .closing,
                let packet = try decoder.next(from: &pending)
            {
                runner.shard.received(packet, on: connection, now: now)
                if throttle != nil { measure(packet, connection, now.instant) }
            }
        } catch {
            runner.shard.decodeFailed(error, version: decoder.version, on: connection, now: now)
        }
        if throttle != nil { slowDown(connection, now.instant) }
        runner.shard.bytesArrived(unread - pending.readableBytes)
        if pending.readableBytes == 0 || connection.state == .closing {
            pending = ByteBuffer()
        } else if pending.readableBytes < pending.storageCapacity / 4 {
            // A small rest would hold the whole read buffer.
            pending = ByteBuffer(bytes: pending.readableBytesView)
        }
        setReading(wantsToRead(connection))
    }

    private func wantsToRead(_ connection: Connection) -> Bool {
        !connection.isHeld && !isThrottled && untakenAnswerBytes <= untakenAnswerBytesMax
    }

    // MARK: - Rate

    /// Counts what asks for something. Answers to our own messages are as many as we send.
    private func measure(_ packet: Packet, _ connection: Connection, _ now: Instant) {
        switch packet {
        case .connect, .publish, .subscribe, .unsubscribe, .pingReq, .auth:
            throttle?.receivedMessage(now: now)
            slowDown(connection, now)
        default: break
        }
    }

    /// Leaves the connection unread until its bucket has leaked. What was read is kept, and TCP slows the sender down.
    private func slowDown(_ connection: Connection, _ now: Instant) {
        guard !isThrottled, !isClosing, let context, let pause = throttle?.pause(now: now), pause > .zero else {
            return
        }
        isThrottled = true
        connection.isThrottled = true
        context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(pause)) {
            self.isThrottled = false
            connection.isThrottled = false
            self.resume()
        }
    }

    /// - Returns: false when the peer broke the framing and is being closed.
    private func unframe(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) -> Bool {
        var replies = ByteBuffer()
        do throws(WebSocketError) {
            try framing?.receive(&bytes, into: &pending, replies: &replies)
        } catch {
            // [5:MQTT-6.0.0-1] [311:MQTT-6.0.0-1] text frames and whatever else RFC 6455 forbids.
            framing?.writeFarewell(code: error.closeCode, into: &replies)
            context.writeAndFlush(Self.wrapOutboundOut(replies), promise: nil)
            close(lingering: true)
            return false
        }
        if replies.readableBytes > 0 {
            willWrite(replies, context)
            context.writeAndFlush(Self.wrapOutboundOut(replies), promise: nil)
        }
        if framing?.isClosed == true {
            decode()
            runner.turn()
            isInputClosed = true
            if isOwedAnswers { closeIfAnswered() } else { close(lingering: true) }
            return false
        }
        return true
    }

    /// The shard takes packets again.
    func resume() {
        guard !isClosing else { return }
        decode()
        if wire.readableBytes > 0 { unframeRest() }
        runner.turn()
        if isInputClosed { closeIfAnswered() }
    }

    private func setReading(_ wanted: Bool) {
        guard wanted != isReading, !isClosing, let context else { return }
        isReading = wanted
        context.channel.setOption(.autoRead, value: wanted).assumeIsolated().whenFailure { error in
            context.fireErrorCaught(error)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { untakenAnswerBytes = 0 }
        if let connection {
            runner.shard.writabilityChanged(connection, isWritable: context.channel.isWritable, now: runner.now)
            setReading(wantsToRead(connection))
            runner.turn()
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

    /// Writes what a turn has for this peer: one write, one flush.
    func send(_ bytes: ByteBuffer) {
        guard let context, !isClosing, bytes.readableBytes > 0 else { return }
        if isInputClosed { closeIfAnswered() }
        // Nothing follows a close frame.
        guard framing?.isClosed != true else { return }
        willWrite(bytes, context)
        if framing?.masks == true {
            return context.writeAndFlush(Self.wrapOutboundOut(WebSocketFraming.maskedFrame(bytes)), promise: nil)
        }
        if let agreement = arrival?.deflate, let packed = runner.deflater(agreement)?.deflate(bytes) {
            var header = ByteBuffer()
            WebSocketFraming.writeCompressedHeader(payloadBytes: packed.readableBytes, into: &header)
            context.write(Self.wrapOutboundOut(header), promise: nil)
            return context.writeAndFlush(Self.wrapOutboundOut(packed), promise: nil)
        }
        if framing != nil {
            guard WebSocketFraming.firstPacketBytes(bytes) == bytes.readableBytes else {
                return context.writeAndFlush(
                    Self.wrapOutboundOut(WebSocketFraming.frames(ofPackets: bytes)),
                    promise: nil
                )
            }
            var header = ByteBuffer()
            WebSocketFraming.writeHeader(payloadBytes: bytes.readableBytes, into: &header)
            context.write(Self.wrapOutboundOut(header), promise: nil)
        }
        context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil)
    }

    /// What is written while the channel is not writable are answers: deliveries wait until it is. A small write costs
    /// more than its bytes.
    private func willWrite(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        guard !context.channel.isWritable else { return }
        untakenAnswerBytes += bytes.readableBytes + 128
        if untakenAnswerBytes > untakenAnswerBytesMax { setReading(false) }
    }

    /// - Parameter lingering: the peer was told why and gets the time to read it: what it still sends is read and
    ///   dropped, since closing with unread bytes would take the farewell back.
    func close(lingering: Bool) {
        guard let context, !isClosing else { return }
        isClosing = true
        pending = ByteBuffer()
        wire = ByteBuffer()
        if framing?.isClosed == false {
            var farewell = ByteBuffer()
            framing?.writeFarewell(code: runner.isDraining ? Self.goingAway : Self.normalClosure, into: &farewell)
            context.writeAndFlush(Self.wrapOutboundOut(farewell), promise: nil)
        }
        guard lingering else { return context.close(promise: nil) }
        context.channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
        context.close(mode: .output, promise: nil)
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.lingerTime) { context.close(promise: nil) }
    }
}
