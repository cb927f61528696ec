import BrokerCore
import BrokerServer
import Logging
import MQTTCodec
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// A web port on a free port of loopback with a broker that only takes notes, and an echo behind the upgrade.
struct WebRig {
    let listener: any Channel
    let port: Int
    let broker: NotingBroker

    static let pages = [
        StaticPage(path: "/", contentType: "text/html; charset=utf-8", body: Array("<p>chat".utf8), etag: "\"1a\""),
        StaticPage(path: "/mqtt.js", contentType: "text/javascript", body: Array("export {}".utf8), etag: "\"2b\""),
    ]

    /// Opens the port, runs the story, and closes the port whatever happens.
    static func run(
        _ change: (inout WebListenerOptions) -> Void = { _ in },
        broker: NotingBroker = NotingBroker(),
        onOpen: @escaping @Sendable (Arrival) -> Void = { _ in },
        _ story: (WebRig) async throws -> Void
    ) async throws {
        var options = WebListenerOptions(host: "127.0.0.1", port: 0)
        change(&options)
        let logger = Logger(label: "test")
        let router = WebListener.router(options: options, pages: pages, systemName: HostName.current())
        let gateway = broker.gateway
        let listener = try await ListenerSocket.bind(
            BindAddress(host: options.host, port: options.port),
            group: MultiThreadedEventLoopGroup.singleton,
            entrance: Entrance(timeout: options.firstRequestTimeout, logger: logger),
            hasStages: true
        ) { [options] channel, arrival in
            try WebListener.configure(
                channel, arrival: arrival, options: options, router: router, gateway: gateway, logger: logger
            ) { channel, arrival in
                channel.eventLoop.makeCompletedFuture {
                    onOpen(arrival)
                    try channel.pipeline.syncOperations.addHandler(EchoHandler())
                }
            }
        }.get()
        let rig = WebRig(listener: listener, port: try #require(listener.localAddress?.port), broker: broker)
        do {
            try await story(rig)
        } catch {
            try await listener.close()
            throw error
        }
        if listener.isActive { try await listener.close() }
    }

    func expect(
        _ status: Int,
        _ location: SourceLocation = #_sourceLocation,
        _ answer: () async throws -> WireClient.Answer
    ) async throws {
        let answer = try await answer()
        #expect(answer.status == status, "\(answer.body)", sourceLocation: location)
    }

    func connect() async throws -> WireClient { try await WireClient.connect(port: port) }

    /// Sends one request on a connection of its own and reads the answer.
    func answer(to request: String, isHead: Bool = false) async throws -> WireClient.Answer {
        let client = try await connect()
        try await client.send(request)
        let answer = try await client.answer(isHead: isHead)
        try await client.close()
        return answer
    }

    func publish(_ target: String, method: String = "POST", fields: String = "", body: String = "hi") async throws
        -> WireClient.Answer
    {
        try await answer(
            to: "\(method) /v1/publish/\(target) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n\(fields)"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }
}

/// Takes every message and remembers it; or refuses all; or waits until it is told to answer.
final class NotingBroker: Sendable {
    private let notes = Mutex<[GatewayPublish]>([])
    private let refusal: GatewayRefusal?
    private let permits: AsyncStream<Void>?
    private let login: Door?

    typealias Door = @Sendable (Login, @escaping Authenticator.Answer) -> AuthenticationVerdict?

    /// - Parameter login: who is let in; everybody when nil.
    init(refusal: GatewayRefusal? = nil, permits: AsyncStream<Void>? = nil, login: Door? = nil) {
        self.refusal = refusal
        self.permits = permits
        self.login = login
    }

    var published: [GatewayPublish] { notes.withLock { $0 } }
    var topics: [String] { published.map(\.topic.string) }

    var gateway: Gateway {
        Gateway(
            publish: { message in
                if let permits = self.permits {
                    for await _ in permits { break }
                }
                if let refusal = self.refusal { throw refusal }
                let number = self.notes.withLock { notes in
                    notes.append(message)
                    return notes.count
                }
                return GatewayReceipt(
                    id: MessageID(high: 1, low: UInt64(number)),
                    isDurable: true,
                    matched: 2,
                    links: ["hub"]
                )
            },
            health: {
                NodeHealth(connections: 3, links: [NodeHealth.Link(name: "hub", state: "live", queued: 7)])
            },
            login: login ?? { _, _ in .accepted(username: nil) }
        )
    }
}

extension WebSocketFraming {
    /// Writes a close frame with a code of RFC 6455 §7.4.1 and no reason.
    static func writeClose(code: UInt16, into buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(UInt8(0x88), UInt8(2), code)
    }
}

/// What stands in for the MQTT handler: it sends every payload byte back, in one frame per read.
final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var framing = WebSocketFraming()
    private var plain = ByteBuffer()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var input = Self.unwrapInboundIn(data)
        var replies = ByteBuffer()
        plain.clear()
        do {
            try framing.receive(&input, into: &plain, replies: &replies)
        } catch {
            WebSocketFraming.writeClose(code: error.closeCode, into: &replies)
        }
        var output = ByteBuffer()
        if plain.readableBytes > 0 {
            WebSocketFraming.writeHeader(payloadBytes: plain.readableBytes, into: &output)
            output.writeImmutableBuffer(plain)
        }
        output.writeImmutableBuffer(replies)
        context.writeAndFlush(Self.wrapOutboundOut(output), promise: nil)
        if framing.isClosed { context.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            var output = ByteBuffer()
            WebSocketFraming.writeClose(code: 1001, into: &output)
            context.writeAndFlush(Self.wrapOutboundOut(output), promise: nil)
            context.close(promise: nil)
        }
    }
}

/// A client that speaks bytes. Every wait has a deadline, and what came instead is in the failure.
final class WireClient: Sendable {
    struct Answer {
        var status: Int
        /// Names in lower case.
        var fields: [String: String]
        var body: String
    }

    struct Disappointment: Error, CustomStringConvertible {
        var description: String
    }

    /// On a busy machine, and under a sanitizer, everything takes ten times as long.
    private static let patience = TimeAmount.seconds(60)

    private let channel: any Channel
    private let inbox: NIOLoopBound<Inbox>

    private init(channel: any Channel, inbox: NIOLoopBound<Inbox>) {
        self.channel = channel
        self.inbox = inbox
    }

    static func connect(port: Int) async throws -> WireClient {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.allowRemoteHalfClosure, value: true)
            // Before the connection stands: a server that speaks first may have spoken by the time that somebody here
            // hears of it, and what nobody reads is thrown away.
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Inbox()) }
            }
            .connect(host: "127.0.0.1", port: port)
            .flatMapThrowing { channel in
                let inbox = try channel.pipeline.syncOperations.handler(type: Inbox.self)
                return WireClient(channel: channel, inbox: NIOLoopBound(inbox, eventLoop: channel.eventLoop))
            }
            .get()
    }

    func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) async throws {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// One segment for each byte.
    func sendBytewise(_ text: String) async throws {
        for byte in text.utf8 { try await send([byte]) }
    }

    func closeSendingSide() async throws { try await channel.close(mode: .output) }

    func close() async throws {
        do {
            try await channel.close()
        } catch ChannelError.alreadyClosed {
            // The server was faster.
        }
    }

    /// Waits for the head of a response and for as many bytes of body as it announces.
    func answer(isHead: Bool = false) async throws -> Answer {
        let head = try await take("the head of an answer") { bytes, _ in
            bytes.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound
        }
        var lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")[...]
        let status = lines.popFirst()?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        var fields: [String: String] = [:]
        for line in lines {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
        }
        let count = isHead ? 0 : fields["content-length"].flatMap { Int($0) } ?? 0
        let body = try await take("\(count) bytes of body") { bytes, _ in bytes.count >= count ? count : nil }
        return Answer(status: status, fields: fields, body: String(decoding: body, as: UTF8.self))
    }

    /// Waits for exactly these bytes.
    func expect(_ expected: [UInt8]) async throws {
        let bytes = try await take("\(expected.count) bytes") { bytes, _ in
            bytes.count >= expected.count ? expected.count : nil
        }
        #expect(bytes == expected)
    }

    /// Waits for one unmasked binary frame and returns its payload.
    func frame() async throws -> [UInt8] {
        let header = try await take("a frame") { bytes, _ in
            guard bytes.count >= 2 else { return nil }
            let count = bytes[1] == 127 ? 10 : bytes[1] == 126 ? 4 : 2
            return bytes.count >= count ? count : nil
        }
        #expect(header[0] == 0x82)
        let count = header.count == 2 ? Int(header[1]) : header.dropFirst(2).reduce(0) { $0 << 8 | Int($1) }
        return try await take("\(count) bytes of a frame") { bytes, _ in bytes.count >= count ? count : nil }
    }

    /// Waits for the end of what the server sends and returns what came before it.
    func end() async throws -> [UInt8] {
        try await take("the end") { bytes, isEnded in isEnded ? bytes.count : nil }
    }

    private func take(
        _ what: String,
        _ count: @escaping @Sendable ([UInt8], Bool) -> Int?
    ) async throws -> [UInt8] {
        try await channel.eventLoop.flatSubmit {
            let promise = self.channel.eventLoop.makePromise(of: [UInt8].self)
            let inbox = self.inbox.value
            inbox.waiter = Inbox.Waiter(count: count, promise: promise)
            let timeout = self.channel.eventLoop.scheduleTask(in: Self.patience) {
                let text = String(decoding: self.inbox.value.bytes, as: UTF8.self)
                promise.fail(Disappointment(description: "waited for \(what), have: \(text)"))
            }
            promise.futureResult.whenComplete { _ in timeout.cancel() }
            inbox.look()
            return promise.futureResult
        }.get()
    }

    private final class Inbox: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        struct Waiter {
            var count: @Sendable ([UInt8], Bool) -> Int?
            var promise: EventLoopPromise<[UInt8]>
        }

        var bytes: [UInt8] = []
        var isEnded = false
        var waiter: Waiter?

        func look() {
            guard let waiter else { return }
            if let count = waiter.count(bytes, isEnded) {
                self.waiter = nil
                let taken = Array(bytes.prefix(count))
                bytes.removeFirst(count)
                waiter.promise.succeed(taken)
            } else if isEnded {
                self.waiter = nil
                let text = String(decoding: bytes, as: UTF8.self)
                waiter.promise.fail(Disappointment(description: "the server ended after: \(text)"))
            }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            bytes += Self.unwrapInboundIn(data).readableBytesView
            look()
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed = event {
                isEnded = true
                look()
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            isEnded = true
            look()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}

/// Frames as a browser sends them.
enum ClientFrame {
    static func make(
        _ payload: [UInt8],
        opcode: UInt8 = 0x2,
        isFinal: Bool = true,
        mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
    ) -> [UInt8] {
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case ..<126:
            bytes.append(0x80 | UInt8(payload.count))
        case ..<65_536:
            bytes += [0xFE, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
        default:
            bytes.append(0xFF)
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: UInt64(payload.count) >> UInt64(56 - 8 * $0)) }
        }
        bytes += mask
        bytes += payload.enumerated().map { $1 ^ mask[$0 & 3] }
        return bytes
    }
}
