import MQTTCodec
import NIOCore
import NIOPosix

/// A broker in a few lines that delivers what it is told to deliver: to the matching subscribers of QoS 0 or 1, with
/// faults if wanted. It keeps no sessions.
final class FaultyBroker: Sendable {
    enum Fault: Sendable, CaseIterable {
        case none
        case loses
        case doubles
        case swaps
        case damages
        /// Ends a subscriber's connection.
        case drops
        /// Acknowledges identifiers that nobody used.
        case misplacesIDs
        case refusesSubscriptions
        case refusesConnections
        /// Lets three clients in at a time.
        case refusesLatecomers
        /// Says so in its CONNACK.
        case takesQoS0Only
        /// The same, of packets of more than 90 bytes.
        case takesSmallPackets
        /// Grants QoS 0, whatever is asked for.
        case grantsLess
    }

    let port: Int
    private let channel: any Channel

    /// - Parameter loop: all of the broker lives there.
    init(_ fault: Fault, on loop: any EventLoop) async throws {
        let room = NIOLoopBoundBox.makeBoxSendingValue([ObjectIdentifier: Line](), eventLoop: loop)
        channel = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Line(fault, room))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    func close() async throws { try await channel.close() }

    /// One connection.
    private final class Line: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let fault: Fault
        private let room: NIOLoopBoundBox<[ObjectIdentifier: Line]>
        private var decoder = PacketDecoder(role: .server)
        private var pending = ByteBuffer()
        private var context: ChannelHandlerContext?
        private var filter: TopicFilter?
        private var count = 0
        private var held: Publish?
        private var hasConnected = false

        init(_ fault: Fault, _ room: NIOLoopBoundBox<[ObjectIdentifier: Line]>) {
            self.fault = fault
            self.room = room
        }

        func handlerAdded(context: ChannelHandlerContext) {
            self.context = context
            room.value[ObjectIdentifier(self)] = self
        }

        func channelInactive(context: ChannelHandlerContext) {
            room.value[ObjectIdentifier(self)] = nil
            self.context = nil
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = Self.unwrapInboundIn(data)
            pending.writeBuffer(&bytes)
            do {
                while let packet = try decoder.next(from: &pending) { received(packet, context) }
            } catch {
                context.close(promise: nil)
            }
        }

        private func received(_ packet: Packet, _ context: ChannelHandlerContext) {
            switch packet {
            case .connect:
                hasConnected = true
                let isLate = fault == .refusesLatecomers && room.value.values.count { $0.hasConnected } > 3
                let isRefused = isLate || fault == .refusesConnections
                var ack = ConnAck(reason: isRefused ? .notAuthorized : .success)
                if fault == .takesQoS0Only { ack.properties.maximumQoS = .atMostOnce }
                if fault == .takesSmallPackets { ack.properties.maximumPacketSize = 90 }
                send(.connAck(ack))
            case .subscribe(let subscribe):
                filter = subscribe.subscriptions.first?.filter
                let wanted = subscribe.subscriptions.first?.options.maximumQoS ?? .atMostOnce
                let granted: ReasonCode? = fault == .grantsLess ? .success : ReasonCode(rawValue: wanted.rawValue)
                let reason: ReasonCode? = fault == .refusesSubscriptions ? .notAuthorized : granted
                send(.subAck(SubAck(packetID: subscribe.packetID, reasons: [reason ?? .success])))
            case .publish(let publish):
                if publish.qos != .atMostOnce {
                    send(.pubAck(PublishAck(packetID: publish.packetID)))
                    if fault == .misplacesIDs { send(.pubAck(PublishAck(packetID: 60_000))) }
                }
                for line in room.value.values where line.filter?.matches(publish.topic) == true {
                    line.deliver(publish)
                }
            case .disconnect: context.close(promise: nil)
            default: break
            }
        }

        /// The tenth message of a connection is the one that something happens to.
        private func deliver(_ publish: Publish) {
            count += 1
            var publish = publish
            publish.qos = .atMostOnce
            switch fault {
            case .loses where count == 10: return
            case .doubles where count == 10: send(.publish(publish))
            case .swaps where count == 10:
                held = publish
                return
            case .damages where count == 10: publish.payload.setInteger(UInt64.max, at: publish.payload.readerIndex + 8)
            case .drops where count == 10: context?.close(promise: nil)
            default: break
            }
            send(.publish(publish))
            if let held { send(.publish(held)) }
            held = nil
        }

        private func send(_ packet: Packet) {
            guard let context, let version = decoder.version else { return }
            var bytes = ByteBuffer()
            PacketEncoder.write(packet, version: version, into: &bytes)
            context.writeAndFlush(Self.wrapOutboundOut(bytes), promise: nil)
        }
    }
}
