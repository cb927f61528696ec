package import MQTTCodec

/// What a client remembers of its session with a broker: which messages wait for their acknowledgement, and which of
/// QoS 2 it has taken. Packets in, orders out; it knows neither sockets nor clocks.
///
/// ```
///  opened -> [connecting] --CONNACK 0--> [connected] --leave--> [leaving]
///                 |                           |
///                 +--CONNACK, other---> refused   lost: back to [connecting], messages are kept
///
///  published, QoS 1:  waiting for PUBACK -> settled
///  published, QoS 2:  waiting for PUBREC --PUBREL--> waiting for PUBCOMP -> settled
/// ```
package struct ClientSession: Sendable {
    package enum Output: Sendable, Equatable {
        case send(Packet)
        /// The broker takes us.
        case accepted(ConnAck)
        /// It does not, and will close.
        case refused(ReasonCode)
        /// A message to hand on. What acknowledges it follows, so that it is not lost if it cannot be handed on.
        case deliver(Publish)
        /// The answer to a SUBSCRIBE, a reason for each filter.
        case subscribed(packetID: UInt16, [ReasonCode])
        /// The message of that number is with the broker, or was refused.
        case settled(number: Int, ReasonCode)
        /// PINGRESP.
        case alive
        /// A version 5 broker ends the connection.
        case dismissed(ReasonCode)
        /// The broker breaks the protocol.
        case broken(String)
    }

    /// What becomes of a message that shall be published.
    package enum Publishing: Sendable, Equatable {
        case send(Packet)
        /// QoS 0: nobody will answer.
        case sendAndForget(Packet)
        /// The window is full, or there is no connection: again when something is settled.
        case wait
        /// The broker said at CONNECT that it takes no such message.
        case refused(ReasonCode)
    }

    private struct Flight: Sendable {
        var publish: Publish
        var number: Int
        /// PUBREC came, PUBREL went.
        var isReleased = false
    }

    private enum Phase: Sendable { case connecting, connected, leaving }

    package let version: ProtocolVersion
    private let connect: Connect
    private let windowMax: Int
    private var window: Int
    private var limits = Properties.Values()
    private var phase = Phase.connecting
    private var lastID: UInt16 = 0
    /// In the order of their first sending, which is the order of a repetition [311:MQTT-4.6.0-1] [5:MQTT-4.6.0-1].
    private var flights: [Flight] = []
    /// QoS 2 messages that were delivered and not released yet.
    private var taken: Set<UInt16> = []

    /// - Parameter window: messages of QoS 1 and 2 on their way at once, 1 or more; the broker may allow fewer.
    package init(connect: Connect, window: Int) {
        self.connect = connect
        self.version = connect.version
        self.windowMax = max(1, min(window, 65_535))
        self.window = windowMax
    }

    /// Messages that were sent and not acknowledged.
    package var waitingCount: Int { flights.count }
    package var isConnected: Bool { phase == .connected }

    /// A connection stands; the packet to begin with.
    package mutating func opened() -> Packet {
        phase = .connecting
        return .connect(connect)
    }

    /// The connection is gone; what was not acknowledged is repeated on the next one.
    package mutating func lost() { if phase == .connected { phase = .connecting } }

    /// - Returns: the packet to end with; nil when no CONNECT was answered.
    package mutating func leave() -> Packet? {
        defer { phase = .leaving }
        return phase == .connected ? .disconnect(Disconnect()) : nil
    }

    /// - Parameter number: chosen by the caller, to know the message again when it is settled.
    package mutating func publish(_ publish: Publish, number: Int) -> Publishing {
        guard phase == .connected else { return .wait }
        // [5:MQTT-3.2.2-11] [5:MQTT-3.2.2-14] what the broker does not support is not sent.
        if let maximum = limits.maximumQoS, publish.qos > maximum { return .refused(.qosNotSupported) }
        if publish.isRetained, limits.retainAvailable == false { return .refused(.retainNotSupported) }
        guard fits(publish) else { return .refused(.packetTooLarge) }
        guard publish.qos != .atMostOnce else { return .sendAndForget(.publish(publish)) }
        // [5:MQTT-3.3.4-7] never more than the broker's Receive Maximum.
        guard flights.count < window else { return .wait }
        var publish = publish
        publish.packetID = freeID()
        flights.append(Flight(publish: publish, number: number))
        return .send(.publish(publish))
    }

    /// [5:MQTT-3.2.2-15] neither above the broker's Maximum Packet Size nor above what the wire can say.
    private func fits(_ publish: Publish) -> Bool {
        var publish = publish
        if publish.qos != .atMostOnce { publish.packetID = 1 }
        let size = PacketEncoder.size(of: .publish(publish), version: version)
        return size > 0 && size <= limits.maximumPacketSize.map(Int.init) ?? .max
    }

    package mutating func subscribe(_ entries: [Subscribe.Entry]) -> Packet {
        .subscribe(Subscribe(packetID: freeID(), subscriptions: entries))
    }

    package mutating func unsubscribe(_ filters: [TopicFilter]) -> Packet {
        .unsubscribe(Unsubscribe(packetID: freeID(), filters: filters))
    }

    /// [5:MQTT-2.2.1-3] [311:MQTT-2.3.1-2] an identifier that no message on its way has. There are 65,535 of them, and
    /// one of 65,535 messages never waits for one.
    private mutating func freeID() -> UInt16 {
        repeat { lastID = lastID == .max ? 1 : lastID + 1 } while flights.contains { $0.publish.packetID == lastID }
        return lastID
    }

    // MARK: - Received

    package mutating func received(_ packet: Packet) -> [Output] {
        switch phase {
        case .leaving: return []
        case .connecting:
            guard case .connAck(let ack) = packet else { return [.broken("the first packet is no CONNACK")] }
            return accepted(ack)
        case .connected: break
        }
        switch packet {
        case .publish(let publish): return published(publish)
        case .pubAck(let ack): return acknowledged(ack, .atLeastOnce)
        case .pubRec(let ack): return recorded(ack)
        case .pubRel(let ack):
            taken.remove(ack.packetID)
            return [.send(.pubComp(PublishAck(packetID: ack.packetID)))]
        case .pubComp(let ack): return acknowledged(ack, .exactlyOnce)
        case .subAck(let ack): return [.subscribed(packetID: ack.packetID, ack.reasons)]
        case .unsubAck: return []
        case .pingResp: return [.alive]
        case .disconnect(let disconnect): return [.dismissed(disconnect.reason)]
        case .connAck, .auth, .connect, .subscribe, .unsubscribe, .pingReq:
            return [.broken("a packet that is not expected")]
        }
    }

    private mutating func accepted(_ ack: ConnAck) -> [Output] {
        guard ack.reason == .success else { return [.refused(ack.reason)] }
        phase = .connected
        limits = ack.properties.values
        window = min(windowMax, limits.receiveMaximum.map(Int.init) ?? windowMax)
        var outputs: [Output] = [.accepted(ack)]
        guard ack.isSessionPresent else {
            // The broker knows nothing of us: what it had taken is done, the rest is new to it.
            taken.removeAll()
            for flight in flights where flight.isReleased {
                outputs.append(.settled(number: flight.number, .success))
            }
            flights.removeAll(where: \.isReleased)
            return outputs + flights.map { .send(.publish($0.publish)) }
        }
        // [5:MQTT-4.4.0-1] [311:MQTT-4.4.0-1] with the same identifiers.
        for flight in flights {
            if flight.isReleased {
                outputs.append(.send(.pubRel(PublishAck(packetID: flight.publish.packetID))))
            } else {
                var again = flight.publish
                again.isDuplicate = true
                outputs.append(.send(.publish(again)))
            }
        }
        return outputs
    }

    private mutating func published(_ publish: Publish) -> [Output] {
        let ack = PublishAck(packetID: publish.packetID)
        switch publish.qos {
        case .atMostOnce: return [.deliver(publish)]
        case .atLeastOnce: return [.deliver(publish), .send(.pubAck(ack))]
        case .exactlyOnce:
            // [5:MQTT-4.3.3-10] [311:MQTT-4.3.3-2] once, however often it comes before its PUBREL.
            let isNew = taken.insert(publish.packetID).inserted
            return (isNew ? [.deliver(publish)] : []) + [.send(.pubRec(ack))]
        }
    }

    private mutating func acknowledged(_ ack: PublishAck, _ qos: QoS) -> [Output] {
        guard let index = index(of: ack, qos) else { return [] }
        return [.settled(number: flights.remove(at: index).number, ack.reason)]
    }

    private mutating func recorded(_ ack: PublishAck) -> [Output] {
        guard let index = index(of: ack, .exactlyOnce) else {
            // [5:MQTT-4.3.3-4] an answer all the same, or the broker asks for ever.
            return [.send(.pubRel(PublishAck(packetID: ack.packetID, reason: .packetIdentifierNotFound)))]
        }
        // A refusal is the end of it; no PUBREL follows (§4.3.3).
        guard !ack.reason.isFailure else { return acknowledged(ack, .exactlyOnce) }
        flights[index].isReleased = true
        return [.send(.pubRel(PublishAck(packetID: ack.packetID)))]
    }

    private func index(of ack: PublishAck, _ qos: QoS) -> Int? {
        flights.firstIndex { $0.publish.packetID == ack.packetID && $0.publish.qos == qos }
    }
}
