import MQTTCodec
import NIOCore

/// Bytes to packets and back, for one connection of a client.
final class ClientLine: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Whatever the wire can say: a command line prints what it is sent.
    static let packetBytesMax = CodecLimits.variableByteIntegerMax + 5
    private static let normalClosure: UInt16 = 1000

    private let client: MQTTClient
    private let say: ((String) -> Void)?
    private let version: ProtocolVersion
    private var decoder: PacketDecoder
    private var framing: WebSocketFraming?
    private var pending = ByteBuffer()
    private var context: ChannelHandlerContext?
    /// Packets of a read are being handed on.
    private(set) var isReceiving = false
    private var isClosing = false
    private var hasSaidFarewell = false
    /// Why the connection ends, as far as is known.
    var reason: String?

    init(client: MQTTClient, version: ProtocolVersion, framing: WebSocketFraming?, say: ((String) -> Void)?) {
        self.client = client
        self.say = say
        self.version = version
        self.framing = framing
        let limits = CodecLimits(maximumPacketSize: Self.packetBytesMax)
        self.decoder = PacketDecoder(role: .client, version: version, limits: limits)
    }

    var isWritable: Bool { context?.channel.isWritable == true }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelInactive(context: ChannelHandlerContext) {
        isClosing = true
        self.context = nil
        client.closed(self)
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        guard !client.hasDeparted else { return departing(Self.unwrapInboundIn(data)) }
        var bytes = Self.unwrapInboundIn(data)
        if framing == nil {
            pending.writeBuffer(&bytes)
        } else {
            unframe(&bytes, context)
        }
        decode()
        if framing?.isClosed == true { close() }
    }

    /// What still comes is not ours any more, but a WebSocket is over when the other side says so too.
    private func departing(_ bytes: ByteBuffer) {
        guard framing != nil else { return }
        var bytes = bytes
        var plain = ByteBuffer()
        var replies = ByteBuffer()
        do throws(WebSocketError) {
            try framing?.receive(&bytes, into: &plain, replies: &replies)
        } catch {
            return close()
        }
        if framing?.isClosed == true { close() }
    }

    private func unframe(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) {
        var replies = ByteBuffer()
        do throws(WebSocketError) {
            try framing?.receive(&bytes, into: &pending, replies: &replies)
        } catch {
            reason = reason ?? "the broker breaks the framing of its WebSocket"
            framing?.writeFarewell(code: error.closeCode, into: &replies)
        }
        if replies.readableBytes > 0 { context.writeAndFlush(Self.wrapOutboundOut(replies), promise: nil) }
    }

    private func decode() {
        isReceiving = true
        do throws(DecodeError) {
            while let packet = try decoder.next(from: &pending) {
                say?("received \(ClientTalk.text(packet))")
                guard client.received(packet, on: self), !isClosing else { break }
            }
        } catch {
            reason = reason ?? "the broker sends what is no MQTT: \(error.explanation)"
            isReceiving = false
            return close()
        }
        isReceiving = false
        pending.discardReadBytes()
        if !isClosing { client.receivedAll(on: self) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { client.becameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A server of TLS 1.3 refuses our certificate after the handshake.
        reason = reason ?? TLSFailure.alert(error)
        context.close(promise: nil)
    }

    /// - Parameter sent: told whether the system took it.
    func send(_ packet: Packet, sent: ((Bool) -> Void)? = nil) {
        guard let context, !isClosing else {
            sent?(false)
            return
        }
        var bytes = ByteBuffer()
        PacketEncoder.write(packet, version: version, into: &bytes)
        say?("sending \(ClientTalk.text(packet))")
        if framing != nil { bytes = WebSocketFraming.maskedFrame(bytes) }
        guard let sent else { return context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil) }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { result in
            if case .success = result { sent(true) } else { sent(false) }
        }
        context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: promise)
    }

    /// The close frame of a WebSocket, which some servers wait for; nothing may be sent behind it.
    func sayFarewell() {
        guard let context, let framing, !framing.isClosed, !hasSaidFarewell else { return }
        hasSaidFarewell = true
        var farewell = ByteBuffer()
        framing.writeFarewell(code: Self.normalClosure, into: &farewell)
        context.writeAndFlush(Self.wrapOutboundOut(farewell), promise: nil)
    }

    func close() {
        guard let context, !isClosing else { return }
        isClosing = true
        sayFarewell()
        context.close(promise: nil)
    }
}
