import Foundation
package import MQTTCodec
package import NIOCore
import NIOPosix

/// A client of a broker over TCP, TLS or WebSocket: the session on one connection after the other. For the command
/// line; all of it is called on its loop, and calls back there.
package final class MQTTClient {
    package enum Event {
        case accepted
        /// The broker does not take us; the connection ends.
        case refused(ReasonCode)
        /// A reason for each filter.
        case subscribed([ReasonCode])
        /// The message of that number is with the broker (QoS 0: with the network), or was refused.
        case settled(number: Int, ReasonCode)
        /// A message of QoS 0 went down with its connection.
        case unsent(number: Int)
        /// There is room for messages again.
        case mayPublish
        /// There is no connection, or none any more; `connect` tries again.
        case failed(ClientFailure)
        /// After `leave`: all is said.
        case left
    }

    private static let dialTimeout = TimeAmount.seconds(10)
    private static let answerTimeout = TimeAmount.seconds(30)
    /// Brokers close after DISCONNECT; for those that do not.
    private static let leaveTimeout = TimeAmount.seconds(2)

    private let settings: ClientSettings
    private let tls: WatchedTLS?
    private let loop: any EventLoop
    private let say: ((String) -> Void)?
    private let hear: (Event) -> Void
    private let take: (Publish) -> Bool
    private var session: ClientSession
    private var line: ClientLine?
    private var isLeaving = false
    /// DISCONNECT is on its way; whatever still comes is not ours any more.
    private(set) var hasDeparted = false
    private var timer: Scheduled<Void>?
    /// A PINGREQ without answer.
    private var isPinging = false

    /// - Parameters:
    ///   - say: hears of each packet.
    ///   - hear: hears of everything else than messages.
    ///   - take: whether a message was handed on; if not, the connection ends without its acknowledgement.
    /// - Throws: what is wrong with the files of TLS.
    package init(
        _ settings: ClientSettings,
        on loop: any EventLoop,
        say: ((String) -> Void)? = nil,
        hear: @escaping (Event) -> Void,
        take: @escaping (Publish) -> Bool = { _ in true }
    ) throws(TLSProblem) {
        self.settings = settings
        self.loop = loop
        self.say = say
        self.hear = hear
        self.take = take
        self.session = ClientSession(connect: settings.connect, window: settings.window)
        self.tls = try settings.watchedTLS()
    }

    package func connect(after delay: TimeAmount = .zero) {
        timer?.cancel()
        timer = loop.assumeIsolated().scheduleTask(in: delay) { self.dial() }
    }

    /// - Returns: what became of it; `.wait` when the window or the network is full, or nobody is connected.
    package func publish(_ publish: Publish, number: Int) -> ClientSession.Publishing {
        guard let line, line.isWritable, !isLeaving else { return .wait }
        let result = session.publish(publish, number: number)
        switch result {
        case .send(let packet): line.send(packet)
        case .sendAndForget(let packet):
            line.send(packet) { [hear] isSent in
                hear(isSent ? .settled(number: number, .success) : .unsent(number: number))
            }
        case .wait, .refused: break
        }
        return result
    }

    package func subscribe(_ entries: [Subscribe.Entry]) { line?.send(session.subscribe(entries)) }
    package func unsubscribe(_ filters: [TopicFilter]) { line?.send(session.unsubscribe(filters)) }

    /// Ends in good order; `.left` follows, and nothing else.
    package func leave() {
        guard !isLeaving else { return }
        isLeaving = true
        timer?.cancel()
        guard let line, !line.isReceiving else {
            // While it receives, the answers to what was received go first; `received` calls `depart`.
            if line == nil { hear(.left) }
            return
        }
        depart(line)
    }

    private func depart(_ line: ClientLine) {
        hasDeparted = true
        guard let packet = session.leave() else { return line.close() }
        line.send(packet)
        line.sayFarewell()
        timer = loop.assumeIsolated().scheduleTask(in: Self.leaveTimeout) { line.close() }
    }

    // MARK: - Connection

    private func dial() {
        let dialer = Dialer(
            address: settings.address,
            tls: tls,
            serverName: settings.tls.serverName,
            checksName: settings.tls.verification == .full,
            deadline: loop.now + Self.dialTimeout,
            frameBytesMax: ClientLine.packetBytesMax,
            connected: { self.dialed($0, framing: $1) },
            failed: { self.fail(ClientFailure($0)) }
        )
        dialer.dial(ClientBootstrap(group: loop).connectTimeout(Self.dialTimeout))
    }

    private func dialed(_ channel: any Channel, framing: WebSocketFraming?) {
        guard !isLeaving else { return channel.close(promise: nil) }
        let line = ClientLine(client: self, version: session.version, framing: framing, say: say)
        do {
            try channel.pipeline.syncOperations.addHandler(line)
        } catch {
            return fail(.lost("\(error)"))
        }
        self.line = line
        line.send(session.opened())
        timer = loop.assumeIsolated().scheduleTask(in: Self.answerTimeout) {
            self.end(line, because: "the broker does not answer CONNECT")
        }
        channel.setOption(.autoRead, value: true).assumeIsolated().whenComplete { _ in }
    }

    private func fail(_ failure: ClientFailure) {
        guard !isLeaving else { return }
        timer?.cancel()
        hear(.failed(failure))
    }

    private func end(_ line: ClientLine, because reason: String) {
        line.reason = line.reason ?? reason
        line.close()
    }

    /// The keep-alive (§3.1.2.10): a PINGREQ a period, and the end when a whole one passes without a byte.
    private func keepAlive(_ line: ClientLine, every period: TimeAmount) {
        guard period > .zero else { return }
        timer = loop.assumeIsolated().scheduleTask(in: period) {
            guard !self.isPinging else { return self.end(line, because: "the broker does not answer any more") }
            self.isPinging = true
            line.send(.pingReq)
            self.keepAlive(line, every: period)
        }
    }

    // MARK: - What the line reports

    /// - Returns: whether more packets are wanted.
    func received(_ packet: Packet, on line: ClientLine) -> Bool {
        isPinging = false
        for output in session.received(packet) {
            switch output {
            case .send(let packet): line.send(packet)
            case .accepted(let ack):
                timer?.cancel()
                // [5:MQTT-3.2.2-21] the broker's word on keep-alive counts.
                let seconds = ack.properties.serverKeepAlive ?? settings.connect.keepAlive
                keepAlive(line, every: .seconds(Int64(seconds)))
                hear(.accepted)
            case .refused(let reason):
                isLeaving = true
                timer?.cancel()
                hear(.refused(reason))
                line.close()
                return false
            case .deliver(let publish):
                guard take(publish) else {
                    isLeaving = true
                    line.close()
                    return false
                }
            case .subscribed(_, let reasons): hear(.subscribed(reasons))
            case .settled(let number, let reason): hear(.settled(number: number, reason))
            case .alive: break
            case .dismissed(let reason): end(line, because: "the broker ends the connection: \(reason.name)")
            case .broken(let reason): end(line, because: "the broker breaks the protocol: \(reason)")
            }
        }
        return !isLeaving
    }

    /// All packets of a read were received.
    func receivedAll(on line: ClientLine) { if isLeaving, !hasDeparted { depart(line) } }

    func becameWritable() { if !isLeaving { hear(.mayPublish) } }

    func closed(_ line: ClientLine) {
        guard self.line === line else { return }
        self.line = nil
        timer?.cancel()
        isPinging = false
        session.lost()
        if isLeaving { hear(.left) } else { fail(.lost(line.reason)) }
    }
}
