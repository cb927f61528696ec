import MQTTCodec
import NIOCore

/// One connection of somebody in the fight: bytes to packets and back.
final class FightConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Role: Equatable {
        /// Makes the session, once for each id.
        case founder
        case fighter(Habit)
        /// Publishes to all of them.
        case herald
        /// Comes when the fight is over, for what still waits.
        case heir
    }

    enum Habit: CaseIterable {
        /// Stays until it is thrown out.
        case stays
        /// Hears everything and answers nothing.
        case staysSilent
        /// Is gone before it is answered.
        case vanishes
        /// Is gone as soon as it is there, with DISCONNECT or without.
        case leaves, breaks
    }

    let role: Role
    /// Whom it plays; of the herald nothing.
    let id: Int
    /// Which of the fighters it is.
    let fighter: Int
    let connect: Connect
    var reign = FightRecord.Reign(claimedAt: 0)
    private let fight: TakeoverFight
    private var decoder: PacketDecoder
    private var pending = ByteBuffer()
    private var context: ChannelHandlerContext?

    init(_ role: Role, id: Int, fighter: Int = -1, _ connect: Connect, fight: TakeoverFight) {
        self.role = role
        self.id = id
        self.fighter = fighter
        self.connect = connect
        self.fight = fight
        decoder = PacketDecoder(role: .client, version: connect.version)
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        fight.connected(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        pending.writeBuffer(&bytes)
        do throws(DecodeError) {
            while self.context != nil, let packet = try decoder.next(from: &pending) {
                fight.received(packet, on: self)
            }
        } catch {
            fight.complain("the broker sends what is no MQTT: \(error)")
            close()
        }
        pending.discardReadBytes()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
        fight.proceed()
    }

    func channelInactive(context: ChannelHandlerContext) { self.context = nil }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Whoever is thrown out while he writes is told by the system, too.
        context.close(promise: nil)
    }

    func send(_ packet: Packet, isLast: Bool = true) {
        guard let context else { return }
        var bytes = ByteBuffer()
        PacketEncoder.write(packet, version: connect.version, into: &bytes)
        context.write(Self.wrapOutboundOut(bytes), promise: nil)
        if isLast { context.flush() }
    }

    func close() {
        context?.close(promise: nil)
        context = nil
    }
}
