import BrokerCore
import MQTTCodec
import NIOCore

/// Bytes to packets to the shard, for one connection: the half of it that belongs to whoever runs the shard.
/// `ConnectionHandler` is the other, that belongs to the connection's loop.
final class ConnectionReader {
    /// What a connection begins with.
    indirect enum Opening {
        case client(peer: String, address: NetworkAddress?, certificateName: String?, age: Duration, ClientDoor)
        /// - Parameters:
        ///   - epoch: of the dial that this connection answers.
        ///   - login: for CONNECT.
        case upstream(Link, epoch: UInt64, peer: String, LinkLogin)
    }

    /// What is to be done with the other half; nil when that is gone.
    private(set) var handler: ConnectionHandler?
    /// The number of its loop.
    let loop: Int
    /// Nil until the shard knows it, and when it has been told of its end.
    private(set) var connection: Connection?
    private var decoder = PacketDecoder(role: .server)
    /// Bytes that are not decoded yet: the start of a packet, or what arrived while the connection was held.
    private var pending = ByteBuffer()
    /// Set when the listener limits how fast a client may send.
    private var throttle: Throttle?
    private var isThrottled = false
    /// What the handler was told.
    private var isReading = true
    /// The handler waits with the rest of what it has until this is taken.
    private var owesMore = false
    private(set) var inputEnd: InputEnd?

    enum InputEnd {
        /// The peer closed its half of the connection and may listen still.
        case halfClosed
        /// It closed the WebSocket.
        case orderly
    }

    init(_ handler: ConnectionHandler, loop: Int) {
        self.handler = handler
        self.loop = loop
    }

    /// - Returns: false when the shard wants nothing of it.
    func open(_ opening: Opening, _ shard: Shard, _ now: Now) -> Bool {
        switch opening {
        case .client(let peer, let address, let certificateName, let age, let door):
            decoder = PacketDecoder(role: .server, limits: door.codecLimits)
            throttle = Throttle(door.rate, now: now.instant)
            connection = shard.opened(
                peer: peer,
                address: address,
                certificateName: certificateName,
                door: door.door,
                age: age,
                now: now
            )
        case .upstream(let link, let epoch, let peer, let login):
            guard let dialed = shard.dialed(link, epoch: epoch, peer: peer, login: login, now: now) else {
                return false
            }
            var limits = CodecLimits.of(shard.settings)
            // An upstream that is less strict would send the same again after each closing.
            limits.refusesControlCharacters = false
            decoder = PacketDecoder(role: .client, version: dialed.version, limits: limits)
            connection = dialed
        }
        connection?.owner = self
        return true
    }

    func closed(reason: String?, _ shard: Shard, _ now: Now) {
        handler = nil
        pending = ByteBuffer()
        guard let connection else { return }
        self.connection = nil
        connection.owner = nil
        shard.closed(connection, reason: reason, now: now)
    }

    // MARK: - Inbound

    func received(_ bytes: ByteBuffer, owesMore: Bool, _ runner: ShardRunner, _ now: Now) {
        guard let connection, connection.state != .closing, inputEnd == nil else { return }
        if throttle != nil { throttle?.received(bytes: bytes.readableBytes, now: now.instant) }
        self.owesMore = owesMore
        var bytes = bytes
        if let missing = pending.readableBytes > 0 ? decoder.missingBytes(of: pending) : nil,
            missing < bytes.readableBytes, let start = bytes.readSlice(length: missing)
        {
            // Only the packet that was cut is put together; copying all that came behind it would cost far more.
            pending.writeImmutableBuffer(start)
            decode(runner, now)
            if connection.state == .closing { return }
        }
        if pending.readableBytes == 0 {
            pending = bytes
        } else {
            pending.writeImmutableBuffer(bytes)
        }
        decode(runner, now)
    }

    /// The peer sends nothing more: its connection ends as soon as it is owed nothing.
    func ended(isOrderly: Bool) { inputEnd = isOrderly ? .orderly : .halfClosed }

    var isOwedAnswers: Bool { isThrottled || connection?.isOwedAnswers == true }

    /// Passes whole packets to the shard, as long as it takes them.
    func decode(_ runner: ShardRunner, _ now: Now) {
        guard let connection, let handler else { return }
        let shard = runner.shard
        let unread = pending.readableBytes
        do throws(DecodeError) {
            while !connection.isHeld, !isThrottled, connection.state != .closing,
                let packet = try decoder.next(from: &pending)
            {
                let isMeasured = throttle != nil && packet.asksForSomething
                shard.received(packet, on: connection, now: now)
                if isMeasured { measureMessage(connection, runner, now.instant) }
            }
        } catch {
            shard.decodeFailed(error, version: decoder.version, on: connection, now: now)
        }
        if throttle != nil { slowDown(connection, runner, now.instant) }
        shard.bytesArrived(unread - pending.readableBytes)
        if pending.readableBytes == 0 || connection.state == .closing {
            pending = ByteBuffer()
        } else if pending.readableBytes < pending.storageCapacity / 4 {
            // A small rest would hold the whole read buffer.
            pending = ByteBuffer(bytes: pending.readableBytesView)
        }
        let takes = !connection.isHeld && !isThrottled
        if takes != isReading {
            isReading = takes
            runner.order(.read(handler, takes), on: loop)
        }
        if takes, owesMore {
            owesMore = false
            runner.order(.continue(handler), on: loop)
        }
    }

    // MARK: - Rate

    private func measureMessage(_ connection: Connection, _ runner: ShardRunner, _ now: Instant) {
        throttle?.receivedMessage(now: now)
        slowDown(connection, runner, now)
    }

    /// Leaves the connection unread until its bucket has leaked. What was read is kept, and TCP slows the sender down.
    private func slowDown(_ connection: Connection, _ runner: ShardRunner, _ now: Instant) {
        guard !isThrottled, connection.state != .closing, let handler, let pause = throttle?.pause(now: now),
            pause > .zero
        else { return }
        isThrottled = true
        connection.isThrottled = true
        runner.order(.pause(handler, pause), on: loop)
    }

    /// The pause is over.
    func unthrottle(_ runner: ShardRunner, _ now: Now) {
        isThrottled = false
        connection?.isThrottled = false
        decode(runner, now)
    }
}

extension Packet {
    /// What counts for a rate. Answers to our own messages are as many as we send.
    fileprivate var asksForSomething: Bool {
        switch self {
        case .connect, .publish, .subscribe, .unsubscribe, .pingReq, .auth: true
        default: false
        }
    }
}
