import BrokerCore
import Logging
import MQTTCodec
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// One connection of the web port while it speaks HTTP: requests in, answers out, one at a time, until the client goes
/// or the connection becomes a WebSocket.
///
/// What a request means is `HTTPGateway`'s business; here are order, limits and time. Pipelined requests wait in
/// `waiting`; while anything waits or is being answered nothing is read, so at most one read's worth is held. Nor is
/// anything answered while the client does not take the answers: a read full of small requests for a large page would
/// else fill the memory with it a thousand times.
///
/// ```
///        +------------------- keep-alive ------------------+
///        v                                                 |
///      idle --head--> receiving --end--> answering --answer+--close--> closing --(peer closed, or 2 s)--> closed
///      idle --head of a publish--> authenticating --accepted--> receiving
///        |               |                                                ^
///        |               +-- body too large, too slow, malformed ---------+
///        +--head and end of an upgrade--> upgrading --(next handler is there)--> bytes pass through, this one leaves
/// ```
///
/// The answer to a request that is not read to its end closes the connection, first the sending side only: a full
/// close with unread bytes makes the kernel send a reset, which can overtake the answer.
final class WebConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    struct Limits: Sendable {
        var bodyBytesMax: Int
        var firstRequestTimeout: TimeAmount
        var bodyTimeout: TimeAmount
        var answerTimeout: TimeAmount
        var idleTimeout: TimeAmount
        var rate = RateLimit()
        var deflates = false
    }

    /// What is left of a request's head once it was judged.
    struct Request {
        var verdict: HTTPGateway.Verdict
        var head: HTTPRequestHead
        /// False also after an Upgrade that was left aside: the parser stops after such a request.
        var keepsAlive: Bool
    }

    enum State {
        case idle
        /// Nothing of the body is read before it is known who sends it.
        case authenticating(Request)
        case receiving(Request)
        case answering(Request)
        case closing
        case upgrading
        case closed
    }

    /// What came while a request was being answered.
    private enum Event {
        case part(HTTPServerRequestPart)
        case malformed(any Error)
        case inputClosed
    }

    private static let lingering = TimeAmount.seconds(2)

    private let gateway: HTTPGateway
    private let broker: Gateway
    let limits: Limits
    private let proxies: TrustedProxies
    private let allowed: [AddressRange]?
    private let door: Door?
    let decoder: ByteToMessageHandler<HTTPRequestDecoder>
    let encoder: HTTPResponseEncoder
    let openConnection: @Sendable (any Channel, Arrival) -> EventLoopFuture<Void>
    let logger: Logger
    /// When the time to a whole CONNECT began, should a WebSocket be asked for: at accept, and with each later request.
    var arrival: Arrival

    var state = State.idle
    /// The body of the request in `receiving`; kept outside of the state so that appending never copies.
    var body = ByteBuffer()
    private var waiting = CircularBuffer<Event>(initialCapacity: 2)
    private var isWorkingThroughWaiting = false
    var isReadWithheld = false
    var isQuiescing = false
    /// Input that belongs to the handler after us, and the events behind it.
    var heldBytes: [NIOAny] = []
    var isInputClosedHeld = false
    var isDecoderGone = false
    /// Answer bytes that the peer had not taken when the deadline was last looked at.
    var untaken = Int.max
    /// When the peer must have done what it has to do; nil while it waits for us.
    var deadline: NIODeadline?
    var timer: (at: NIODeadline, task: Scheduled<Void>)?
    /// Set when the listener limits how fast a client may ask.
    var throttle: Throttle?
    var isThrottled = false

    init(
        gateway: HTTPGateway,
        broker: Gateway,
        limits: Limits,
        proxies: TrustedProxies = .none,
        allowed: [AddressRange]? = nil,
        door: Door? = nil,
        decoder: ByteToMessageHandler<HTTPRequestDecoder>,
        encoder: HTTPResponseEncoder,
        arrival: Arrival,
        logger: Logger,
        openConnection: @escaping @Sendable (any Channel, Arrival) -> EventLoopFuture<Void>
    ) {
        self.gateway = gateway
        self.broker = broker
        self.limits = limits
        self.proxies = proxies
        self.allowed = allowed
        self.door = door
        self.decoder = decoder
        self.encoder = encoder
        self.arrival = arrival
        self.logger = logger
        self.openConnection = openConnection
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        throttle = Throttle(limits.rate, now: context.instant)
        expect(within: limits.firstRequestTimeout - (context.eventLoop.now - arrival.at), context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDecoderGone else {
            heldBytes.append(data)
            return
        }
        received(.part(Self.unwrapInboundIn(data)), context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case ByteToMessageDecoderError.leftoverDataWhenDone(let bytes):
            // What the client sent right behind its upgrade request. It comes as an error, so that bytes and parts of
            // requests can never be taken for each other.
            if case .upgrading = state {
                heldBytes.append(NIOAny(bytes))
            }
        case is HTTPParserError:
            received(.malformed(error), context)
        default:
            logger.debug("web connection failed", metadata: ["error": "\(error)"])
            context.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent:
            isQuiescing = true
            if case .idle = state, waiting.isEmpty {
                context.close(promise: nil)
            }
        case ChannelEvent.inputClosed:
            if case .upgrading = state {
                isInputClosedHeld = true
            } else {
                received(.inputClosed, context)
            }
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        workThroughWaiting(context)
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        if mayRead(context) {
            context.read()
        } else {
            isReadWithheld = true
        }
    }

    // MARK: Requests

    private func mayRead(_ context: ChannelHandlerContext) -> Bool {
        switch state {
        case _ where isThrottled: false
        case .idle: waiting.isEmpty && context.channel.isWritable
        case .receiving: waiting.isEmpty
        case .authenticating, .answering, .upgrading: false
        case .closing, .closed: true
        }
    }

    /// Takes events in order, one at a time. A loop and not a recursion: a single read may hold thousands of requests.
    private func received(_ event: Event, _ context: ChannelHandlerContext) {
        waiting.append(event)
        workThroughWaiting(context)
    }

    func workThroughWaiting(_ context: ChannelHandlerContext) {
        guard !isWorkingThroughWaiting else { return }
        isWorkingThroughWaiting = true
        loop: while !waiting.isEmpty {
            switch state {
            case .authenticating, .answering:
                break loop
            case .idle where isThrottled || !context.channel.isWritable:
                break loop
            case .idle, .receiving, .closing, .upgrading, .closed:
                handle(waiting.removeFirst(), context)
            }
        }
        isWorkingThroughWaiting = false
        if isReadWithheld, mayRead(context) {
            isReadWithheld = false
            context.read()
        }
    }

    private func handle(_ event: Event, _ context: ChannelHandlerContext) {
        switch (state, event) {
        case (.idle, .part(.head(let head))):
            headReceived(head, context)
        case (.receiving(let request), .part(.body(let bytes))):
            bodyReceived(bytes, of: request, context)
        case (.receiving(let request), .part(.end)):
            requestEnded(request, context)
        case (.idle, .malformed(let error)), (.receiving, .malformed(let error)):
            malformed(error, context)
        case (.upgrading, .part), (.upgrading, .malformed):
            // The parser stops at an upgrade; should it ever see one differently than we do, nobody gets confused.
            context.close(promise: nil)
        case (.receiving, .inputClosed), (.upgrading, .inputClosed):
            context.close(promise: nil)
        case (.idle, .inputClosed), (.closing, .inputClosed):
            // It may listen still: closing would throw away what the system has not taken yet.
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
            context.writeAndFlush(Self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer()))), promise: written)
        case (.idle, .part), (.receiving, .part(.head)), (.closing, .part), (.closing, .malformed), (.closed, _),
            (.authenticating, _), (.answering, _):
            break
        }
    }

    private func headReceived(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let verdict = gateway.judge(head, localAddress: context.channel.localAddress?.networkAddress)
        let request = Request(
            verdict: verdict,
            head: head,
            keepsAlive: head.isKeepAlive && !head.headers.contains(name: "Upgrade")
        )
        measure(head, context)
        let origin = origin(of: head, context.channel)
        // The proxy was let in; whom it speaks for may not be.
        guard origin.client == arrival.client || Entrance.isAllowed(origin.address(of: context.channel), by: allowed)
        else {
            send(.problem(.forbidden, "This address may not use this port."), to: request, closes: true, context)
            return
        }
        switch verdict {
        case .refuse(let answer):
            send(answer, to: request, closes: true, context)
            return
        case .answer(let answer) where head.announcesBody:
            // Refused before the body: it is not worth reading.
            send(answer, to: request, closes: true, context)
            return
        case .publish(let message):
            authenticate(message, request, origin.address(of: context.channel), context)
            return
        case .answer, .health, .metrics, .openWebSocket:
            break
        }
        receive(request, context)
    }

    /// Who sends this request: whom a trusted proxy names, else whom the connection comes from.
    func origin(of head: HTTPRequestHead, _ channel: any Channel) -> Arrival {
        guard !proxies.isEmpty else { return arrival }
        var arrival = arrival
        arrival.client =
            proxies.client(
                forwardedFor: head.headers["X-Forwarded-For"],
                peer: arrival.peer(of: channel),
                address: arrival.address(of: channel)
            ) ?? arrival.client
        return arrival
    }

    /// Who is it, before anything of the body is read? What is known at once costs no hop.
    private func authenticate(
        _ message: GatewayPublish,
        _ request: Request,
        _ address: NetworkAddress?,
        _ context: ChannelHandlerContext
    ) {
        var login = Login(certificateName: arrival.certificateName, address: address)
        switch BasicCredentials.of(request.head.headers) {
        case .nothing: break
        case .login(let username, let password):
            login.username = username
            login.password = password
        case .unreadable:
            // Somebody who tries to show something does not become anonymous by failing at it.
            login.username = ""
        }
        state = .authenticating(request)
        // It waits for us now.
        deadline = nil
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let verdict = broker.login(login) { verdict in
            loop.execute {
                let (handler, context) = bound.value
                handler.authenticated(verdict, message, address, context)
                handler.workThroughWaiting(context)
            }
        }
        if let verdict { authenticated(verdict, message, address, context) }
    }

    private func authenticated(
        _ verdict: AuthenticationVerdict,
        _ message: GatewayPublish,
        _ address: NetworkAddress?,
        _ context: ChannelHandlerContext
    ) {
        // The client may be gone by now.
        guard case .authenticating(var request) = state else { return }
        switch verdict {
        case .refused(let refusal):
            send(.refusal(refusal), to: request, closes: request.head.announcesBody, context)
        case .challenge, .proven:
            // HTTP has no exchange of AUTH packets, and nobody asked for one.
            send(.refusal(.notAuthorized), to: request, closes: request.head.announcesBody, context)
        case .accepted(let username):
            var message = message
            message.principal = Principal(username: username, clientID: "", address: address)
            message.door = door
            request.verdict = .publish(message)
            receive(request, context)
        }
    }

    private func receive(_ request: Request, _ context: ChannelHandlerContext) {
        let head = request.head
        if head.headers.contains(name: "Expect"), head.version.minor >= 1, head.announcesBody {
            let head = HTTPResponseHead(version: .http1_1, status: .continue)
            context.writeAndFlush(Self.wrapOutboundOut(.head(head)), promise: nil)
        }
        state = .receiving(request)
        expect(within: limits.bodyTimeout, context)
    }

    private func bodyReceived(_ bytes: ByteBuffer, of request: Request, _ context: ChannelHandlerContext) {
        guard bytes.readableBytes <= limits.bodyBytesMax - body.readableBytes else {
            send(gateway.bodyTooLarge, to: request, closes: true, context)
            return
        }
        body.writeImmutableBuffer(bytes)
        if throttle != nil {
            throttle?.received(bytes: bytes.readableBytes, now: context.instant)
            slowDown(context)
        }
    }

    private func requestEnded(_ request: Request, _ context: ChannelHandlerContext) {
        deadline = nil
        switch request.verdict {
        case .answer(let answer), .refuse(let answer):
            send(answer, to: request, closes: false, context)
        case .publish(var message):
            message.payload = body
            body = ByteBuffer()
            state = .answering(request)
            expect(within: limits.answerTimeout, context)
            let publish = broker.publish
            ask(context) { [message] in
                do {
                    return PublishRoute.answer(try await publish(message))
                } catch {
                    return PublishRoute.answer(error)
                }
            }
        case .health:
            state = .answering(request)
            let health = broker.health
            let certificates = broker.certificates
            ask(context) { HealthRoute.answer(await health(), certificates: certificates()) }
        case .metrics:
            state = .answering(request)
            ask(context, broker.metrics)
        case .openWebSocket(let subprotocol):
            upgrade(request.head, subprotocol, context)
        }
    }

    /// Asks the broker, and answers when it has answered.
    func ask(_ context: ChannelHandlerContext, _ question: @escaping @Sendable () async -> HTTPAnswer) {
        context.eventLoop.makeFutureWithTask(question).assumeIsolated().whenSuccess { answer in
            // The client may be gone by now.
            guard case .answering(let request) = self.state else { return }
            self.send(answer, to: request, closes: false, context)
            self.workThroughWaiting(context)
        }
    }

    private func malformed(_ error: any Error, _ context: ChannelHandlerContext) {
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
        if case .receiving(let request) = state {
            head = request.head
        }
        var answer = HTTPAnswer.problem(.badRequest, "This is not HTTP/1.1.")
        switch error as? HTTPParserError {
        case .headerOverflow:
            answer = .problem(.requestHeaderFieldsTooLarge, "The head of the request is too large.")
        case .invalidURL:
            answer = .problem(.badRequest, "The target of a request is ASCII; other characters are percent-encoded.")
        case .invalidEOFState:
            context.close(promise: nil)
            return
        default:
            break
        }
        send(answer, to: Request(verdict: .answer(answer), head: head, keepsAlive: false), closes: true, context)
    }

    // MARK: Rate
    // MARK: Answers

    func send(_ answer: HTTPAnswer, to request: Request, closes: Bool, _ context: ChannelHandlerContext) {
        let keepsAlive = request.keepsAlive && !closes && !isQuiescing
        untaken = .max
        var head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: answer.headers)
        if answer.status != .notModified {
            head.headers.replaceOrAdd(name: "Content-Length", value: String(answer.body.readableBytes))
        }
        if !keepsAlive {
            head.headers.replaceOrAdd(name: "Connection", value: "close")
        } else if request.head.version.minor == 0 {
            head.headers.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        body = ByteBuffer()
        context.write(Self.wrapOutboundOut(.head(head)), promise: nil)
        if answer.body.readableBytes > 0, request.head.method != .HEAD {
            context.write(Self.wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil)
        }
        guard !keepsAlive else {
            state = .idle
            arrival.at = context.eventLoop.now
            expect(within: limits.idleTimeout, context)
            context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
            return
        }
        state = .closing
        expect(within: limits.idleTimeout, context)
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { _ in
            guard case .closing = self.state else { return }
            self.expect(within: Self.lingering, context)
            context.close(mode: .output, promise: nil)
        }
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: sent)
    }

    // MARK: WebSocket
    // MARK: Time
    func end() {
        state = .closed
        deadline = nil
        timer?.task.cancel()
        timer = nil
        waiting.removeAll()
        heldBytes = []
        body = ByteBuffer()
    }
}

extension ChannelHandlerContext {
    /// The time of the channel's loop, which tests move by hand.
    var instant: Instant { Instant(nanoseconds: eventLoop.now.uptimeNanoseconds) }
}
