import BrokerCore
import DequeModule
import MQTTCodec
import NIOCore

/// A correct MQTT client: it loses its connection, never its memory. Keeps the state of QoS 1 and 2 on both sides as
/// the standard asks, sends again in order, and writes down what it saw.
final class SimulatedClient: LineEnd {
    /// One of our own messages that is not settled.
    struct Outgoing {
        let message: Int
        let packetID: UInt16
        var isReleased = false
    }

    let index: Int
    let name: String
    let home: Int
    let habits: Habits
    private let simulation: Simulation
    private var line: Line?
    private var decoder = PacketDecoder(role: .client)
    private var buffer = ByteBuffer()
    private(set) var isConnected = false
    /// Counts connections: what was planned over one does not happen over the next.
    private var epoch = 0
    private var hasSession = false
    /// Who forgot its state asks for a clean start until one is confirmed.
    private var wantsCleanStart = false
    private var nextPacketID: UInt16 = 1

    private(set) var waiting: Deque<Int> = []
    private(set) var outgoing: [Outgoing] = []
    /// Of the peer's QoS 2 messages that wait for PUBREL.
    private(set) var incoming: Set<UInt16> = []
    /// Arrived over this connection and not settled: what Receive Maximum bounds.
    private var unsettled: Set<UInt16> = []
    /// What was sent over this connection and has no answer yet, by QoS, oldest first.
    private var unanswered: [QoS: Deque<UInt16>] = [:]
    private var subscribing: [UInt16: [Habits.Subscription]] = [:]
    private var unsubscribing: [UInt16: TopicFilter] = [:]
    private var acknowledged: Set<TopicFilter> = []
    private var acks: Deque<Packet> = []
    private var isAcknowledging = false
    private var lastHeard: UInt64 = 0
    private var sendMaximum = 65_535

    init(index: Int, home: Int, habits: Habits, _ simulation: Simulation) {
        self.index = index
        self.name = "client-\(index)"
        self.home = home
        self.habits = habits
        self.simulation = simulation
    }

    var isSettled: Bool {
        isConnected && waiting.isEmpty && outgoing.isEmpty && incoming.isEmpty && unsettled.isEmpty && acks.isEmpty
            && subscribing.isEmpty && acknowledged.count == habits.subscriptions.count
    }
    var state: String {
        "\(name) connected \(isConnected), waiting \(waiting.count), outgoing "
            + "\(outgoing.map { "m\($0.message)#\($0.packetID)\($0.isReleased ? "r" : "p")" }), incoming "
            + "\(incoming.sorted()), unsettled \(unsettled.sorted()), subscribed \(acknowledged.count), acks \(acks.count), "
            + "line \(line.map { "\($0.id)" } ?? "none")"
    }
    var currentLine: Line? { line }

    // MARK: - Connecting

    func connect() {
        guard line == nil else { return }
        let node = simulation.nodes[home]
        let line = simulation.newLine()
        line.attach(self, as: .dialer)
        epoch += 1
        let epoch = epoch
        guard node.accept(line) else { return reconnectLater() }
        self.line = line
        decoder = PacketDecoder(role: .client, version: habits.version)
        buffer = ByteBuffer()
        unsettled.removeAll()
        unanswered.removeAll()
        acks.removeAll()
        isAcknowledging = false
        subscribing.removeAll()
        unsubscribing.removeAll()
        lastHeard = simulation.clock
        var connect = Connect(
            version: habits.version,
            clientID: MQTTString(name),
            cleanStart: !habits.isDurable,
            keepAlive: 6
        )
        if habits.isDurable, simulation.phase == .chaos, simulation.random.once(in: 25) { wantsCleanStart = true }
        if wantsCleanStart { connect.cleanStart = true }
        if habits.version == .v5 {
            if habits.isDurable { connect.properties.sessionExpiryInterval = 86_400 * 5 }
            if let maximum = habits.receiveMaximum { connect.properties.receiveMaximum = maximum }
        } else if habits.isDurable, connect.cleanStart {
            // In version 3 this would make a session that ends with its connection.
            connect.cleanStart = false
        }
        if let will = habits.will {
            let topic = MQTTString("w/\(index)")
            let number = simulation.ledger.publish(by: self, topic: topic, qos: will.qos, isRetained: false)
            simulation.ledger.published[number].isWill = true
            connect.will = Connect.Will(topic: topic, payload: ByteBuffer(string: "\(number)"), qos: will.qos)
            if will.delay > 0 { connect.will?.properties.willDelayInterval = will.delay }
        }
        wantsCleanStart = connect.cleanStart
        if connect.cleanStart { forgetSession() }
        simulation.trace("\(name) connects on line \(line.id)\(connect.cleanStart ? ", clean" : "")")
        send(.connect(connect))
        simulation.schedule(after: .seconds(8)) {
            guard self.epoch == epoch, !self.isConnected else { return }
            self.disconnected(closing: true)
        }
    }

    /// What the broker may have forgotten, or was told to.
    private func forgetSession() {
        simulation.ledger.endSession(index)
        acknowledged.removeAll()
        outgoing.removeAll()
        incoming.removeAll()
        hasSession = false
    }

    private func reconnectLater() {
        simulation.schedule(after: simulation.random.duration(milliseconds: 50...2_000)) {
            self.connect()
        }
    }

    func lineClosed(_ line: Line) {
        guard line === self.line else { return }
        disconnected(closing: false)
    }

    func lineDrained(_ line: Line) {}

    /// Leaves, politely or not, and comes back.
    func leave(politely: Bool) {
        guard line != nil else { return }
        if politely, isConnected { send(.disconnect(Disconnect())) }
        disconnected(closing: true)
    }

    /// Comes back over a new line while the broker still believes in the old one.
    func abandon() {
        guard line != nil else { return }
        disconnected(closing: false)
    }

    private func disconnected(closing: Bool) {
        simulation.trace("\(name) is disconnected")
        simulation.lineWasLost(name)
        if closing { line?.close(from: .dialer) }
        simulation.ledger.departures[index] = simulation.clock
        line = nil
        isConnected = false
        epoch += 1
        if !habits.isDurable { forgetSession() }
        reconnectLater()
    }

    private func connAckReceived(_ ack: ConnAck) {
        guard ack.reason == .success else {
            simulation.fail("\(name) was refused: \(ack.reason)")
            return disconnected(closing: true)
        }
        // Version 3.1 does not say; its clients believe in what they know.
        let isPresent = habits.version == .v3_1 ? hasSession : ack.isSessionPresent
        if !isPresent {
            if hasSession { simulation.fail("\(name): the session that was acknowledged is gone") }
            // [5:MQTT-3.2.2-5] what we knew of it is gone too.
            forgetSession()
        } else if !habits.isDurable {
            simulation.fail("\(name): a session for a clean start")
        }
        simulation.trace("\(name) is connected, session present \(ack.isSessionPresent)")
        isConnected = true
        wantsCleanStart = false
        hasSession = habits.isDurable
        sendMaximum = Int(ack.properties.receiveMaximum ?? .max)
        planPing()
        for item in outgoing { write(item, isDuplicate: true) }
        let missing = habits.subscriptions.filter { !acknowledged.contains($0.filter) }
        if !missing.isEmpty { subscribe(missing) }
        flush()
    }

    private func planPing() {
        let epoch = epoch
        simulation.schedule(after: .seconds(3)) {
            guard self.epoch == epoch, self.isConnected else { return }
            if self.simulation.clock - self.lastHeard > 9_000_000_000 { return self.disconnected(closing: true) }
            self.send(.pingReq)
            self.planPing()
        }
    }

    // MARK: - Habits

    func publish() {
        guard waiting.count < 20 else { return }
        let isRetained = simulation.random.once(in: 8)
        let topic: MQTTString
        let qos: QoS
        if isRetained {
            // One publisher and one QoS per topic, so that there is one answer to what the last message is.
            topic = MQTTString("r/\(index)")
            qos = min(index % 2 == 0 ? .atLeastOnce : .exactlyOnce, simulation.options.maximumQoS)
        } else {
            let isForGroup = simulation.options.hasShares && simulation.random.once(in: 2)
            topic = MQTTString("\(isForGroup ? "s" : "a")/\(Int.random(in: 0..<3, using: &simulation.random))")
            let highest = simulation.options.maximumQoS.rawValue
            let raw = simulation.random.once(in: 6) ? 0 : UInt8.random(in: 1...highest, using: &simulation.random)
            qos = QoS(rawValue: raw) ?? .atLeastOnce
        }
        let number = simulation.ledger.publish(by: self, topic: topic, qos: qos, isRetained: isRetained)
        if isRetained, simulation.options.deletesRetained {
            simulation.ledger.published[number].isDeletion = simulation.random.once(in: 3)
        } else if !isRetained, habits.expiry != nil {
            simulation.ledger.published[number].expires = simulation.random.once(in: 4)
        }
        waiting.append(number)
        flush()
    }

    /// Gives up one subscription and asks for it again some time later.
    func churn() {
        guard isConnected, subscribing.isEmpty, unsubscribing.isEmpty, habits.subscriptions.count > 1,
            let subscription = habits.subscriptions.randomElement(using: &simulation.random),
            acknowledged.contains(subscription.filter)
        else { return }
        simulation.ledger.endSubscription(index, subscription.filter, at: simulation.clock)
        acknowledged.remove(subscription.filter)
        let id = takePacketID()
        unsubscribing[id] = subscription.filter
        simulation.trace("\(name) unsubscribes \(subscription.filter.text)")
        send(.unsubscribe(Unsubscribe(packetID: id, filters: [subscription.filter])))
        let epoch = epoch
        simulation.schedule(after: simulation.random.duration(milliseconds: 10...3_000)) {
            guard self.epoch == epoch, self.isConnected else { return }
            self.subscribe([subscription])
        }
    }

    private func subscribe(_ subscriptions: [Habits.Subscription]) {
        if subscriptions.count > 1, subscriptions.contains(where: { $0.identifier != nil }) {
            // One identifier stands for all filters of its packet.
            for subscription in subscriptions { subscribe([subscription]) }
            return
        }
        simulation.trace("\(name) subscribes \(subscriptions.map { "\($0.filter.text):\($0.qos)" })")
        let entries = subscriptions.map {
            Subscribe.Entry(
                filter: $0.filter, options: SubscriptionOptions(maximumQoS: $0.qos, noLocal: $0.noLocal))
        }
        let id = takePacketID()
        subscribing[id] = subscriptions
        var subscribe = Subscribe(packetID: id, subscriptions: entries)
        if let identifier = subscriptions.first?.identifier {
            subscribe.properties.subscriptionIdentifiers = [identifier]
        }
        send(.subscribe(subscribe))
    }

    private func subAckReceived(_ ack: SubAck) {
        guard let subscriptions = subscribing.removeValue(forKey: ack.packetID) else {
            return simulation.fail("\(name): SUBACK \(ack.packetID) that was not asked for")
        }
        for (subscription, reason) in zip(subscriptions, ack.reasons) {
            guard reason.rawValue == subscription.qos.rawValue else {
                simulation.fail("\(name): \(subscription.filter.text) granted \(reason)")
                continue
            }
            acknowledged.insert(subscription.filter)
            simulation.ledger.subscribe(index, subscription.filter, subscription.qos, at: simulation.clock)
        }
    }

    // MARK: - Publishing

    private func flush() {
        guard isConnected else { return }
        while let message = waiting.first, outgoing.count < min(habits.window, sendMaximum) {
            waiting.removeFirst()
            simulation.ledger.published[message].sentAt = simulation.clock
            let qos = simulation.ledger.published[message].qos
            let item = Outgoing(message: message, packetID: qos > .atMostOnce ? takePacketID() : 0)
            if qos > .atMostOnce { outgoing.append(item) }
            write(item, isDuplicate: false)
        }
    }

    private func write(_ item: Outgoing, isDuplicate: Bool) {
        guard !item.isReleased else { return send(.pubRel(PublishAck(packetID: item.packetID))) }
        let published = simulation.ledger.published[item.message]
        simulation.trace(
            "\(name) publishes m\(item.message) \(published.topic.string) \(published.qos.rawValue) #\(item.packetID)")
        var publish = Publish(
            topic: published.topic,
            payload: ByteBuffer(string: published.isDeletion ? "" : "\(item.message)"),
            qos: published.qos,
            packetID: item.packetID,
            isRetained: published.isRetained,
            isDuplicate: isDuplicate && published.qos > .atMostOnce
        )
        if published.expires { publish.properties.messageExpiryInterval = habits.expiry }
        if published.qos > .atMostOnce { unanswered[published.qos, default: []].append(item.packetID) }
        send(.publish(publish))
    }

    /// §4.6: messages of one QoS are answered in the order in which they were sent, whatever became of them.
    private func answerReceived(_ packetID: UInt16, _ qos: QoS) {
        guard let place = unanswered[qos]?.firstIndex(of: packetID) else {
            return simulation.fail("\(name): \(qos) #\(packetID) answered, which was not sent over this line")
        }
        if place > 0, let oldest = unanswered[qos]?.first {
            simulation.fail("\(name): \(qos) #\(packetID) answered before #\(oldest)")
        }
        unanswered[qos]?.remove(at: place)
    }

    private func takePacketID() -> UInt16 {
        repeat {
            nextPacketID = nextPacketID == .max ? 1 : nextPacketID + 1
        } while outgoing.contains { $0.packetID == nextPacketID } || subscribing[nextPacketID] != nil
            || unsubscribing[nextPacketID] != nil
        return nextPacketID
    }

    private func pubAckReceived(_ ack: PublishAck) {
        guard let place = outgoing.firstIndex(where: { $0.packetID == ack.packetID }) else {
            return simulation.fail("\(name): PUBACK \(ack.packetID) for nothing")
        }
        answerReceived(ack.packetID, .atLeastOnce)
        let item = outgoing.remove(at: place)
        if ack.reason == .quotaExceeded {
            simulation.trace("\(name): m\(item.message) refused")
            return flush()
        }
        if ack.reason.isFailure { simulation.fail("\(name): PUBACK \(ack.reason)") }
        simulation.trace("\(name): m\(item.message) acknowledged")
        simulation.ledger.published[item.message].takenAt = simulation.clock
        flush()
    }

    private func pubRecReceived(_ ack: PublishAck) {
        guard let place = outgoing.firstIndex(where: { $0.packetID == ack.packetID }) else {
            return simulation.fail("\(name): PUBREC \(ack.packetID) for nothing")
        }
        answerReceived(ack.packetID, .exactlyOnce)
        if ack.reason == .quotaExceeded {
            // [5:MQTT-4.3.3-4] a failure ends the exchange.
            simulation.trace("\(name): m\(outgoing.remove(at: place).message) refused")
            return flush()
        }
        if ack.reason.isFailure { simulation.fail("\(name): PUBREC \(ack.reason)") }
        let message = outgoing[place].message
        outgoing[place].isReleased = true
        simulation.trace("\(name): m\(message) received")
        if simulation.ledger.published[message].takenAt == nil {
            simulation.ledger.published[message].takenAt = simulation.clock
        }
        send(.pubRel(PublishAck(packetID: ack.packetID)))
    }

    private func pubCompReceived(_ ack: PublishAck) {
        guard let place = outgoing.firstIndex(where: { $0.packetID == ack.packetID && $0.isReleased }) else {
            return simulation.fail("\(name): PUBCOMP \(ack.packetID) for nothing")
        }
        let item = outgoing.remove(at: place)
        simulation.trace("\(name): m\(item.message) complete")
        flush()
    }

    // MARK: - Receiving

    func received(_ bytes: ByteBuffer, on line: Line) {
        guard line === self.line else { return }
        var bytes = bytes
        buffer.writeBuffer(&bytes)
        lastHeard = simulation.clock
        while line === self.line {
            do throws(DecodeError) {
                guard let packet = try decoder.next(from: &buffer) else { return }
                receive(packet)
            } catch {
                simulation.fail("\(name) cannot read what the broker sent: \(error)")
                return disconnected(closing: true)
            }
        }
    }

    private func receive(_ packet: Packet) {
        if !isConnected {
            guard case .connAck(let ack) = packet else {
                return simulation.fail("\(name): \(packet) before CONNACK")
            }
            return connAckReceived(ack)
        }
        switch packet {
        case .publish(let publish): publishReceived(publish)
        case .pubAck(let ack): pubAckReceived(ack)
        case .pubRec(let ack): pubRecReceived(ack)
        case .pubRel(let ack):
            incoming.remove(ack.packetID)
            acknowledge(.pubComp(PublishAck(packetID: ack.packetID)))
        case .pubComp(let ack): pubCompReceived(ack)
        case .subAck(let ack): subAckReceived(ack)
        case .unsubAck(let ack): unsubscribing[ack.packetID] = nil
        case .pingResp: break
        case .disconnect(let disconnect):
            simulation.trace("\(name) hears DISCONNECT \(disconnect.reason)")
            if disconnect.reason != .sessionTakenOver, disconnect.reason != .keepAliveTimeout,
                disconnect.reason != .quotaExceeded || simulation.phase == .drain
            {
                simulation.fail("\(name) was disconnected: \(disconnect.reason)")
            }
        case .connect, .connAck, .subscribe, .unsubscribe, .pingReq, .auth:
            simulation.fail("\(name): unexpected \(packet)")
        }
    }

    private func publishReceived(_ publish: Publish) {
        var message: Int?
        if publish.payload.readableBytes > 0 {
            message = Int(String(buffer: publish.payload))
            guard let message, message < simulation.ledger.published.count,
                simulation.ledger.published[message].topic == publish.topic
            else { return simulation.fail("\(name): a message that nobody published, to \(publish.topic)") }
        } else if !simulation.options.deletesRetained || publish.isRetained {
            return simulation.fail("\(name): a message without content, to \(publish.topic)")
        }
        simulation.trace(
            "\(name) gets m\(message.map { "\($0)" } ?? "-") \(publish.qos.rawValue) #\(publish.packetID)\(publish.isDuplicate ? " again" : "")"
                + (publish.isRetained ? " retained" : "")
        )
        if publish.qos > .atMostOnce {
            if !unsettled.insert(publish.packetID).inserted {
                simulation.fail("\(name): identifier \(publish.packetID) twice over one connection")
            }
            let bound = min(simulation.options.settings.inflightMax, Int(habits.receiveMaximum ?? .max))
            if unsettled.count > bound { simulation.fail("\(name): \(unsettled.count) unsettled, allowed \(bound)") }
        }
        switch publish.qos {
        case .atMostOnce: note(publish, message)
        case .atLeastOnce:
            note(publish, message)
            acknowledge(.pubAck(PublishAck(packetID: publish.packetID)))
        case .exactlyOnce:
            if incoming.insert(publish.packetID).inserted {
                note(publish, message)
            } else if !publish.isDuplicate {
                simulation.fail("\(name): identifier \(publish.packetID) given again before its release")
            }
            acknowledge(.pubRec(PublishAck(packetID: publish.packetID)))
        }
    }

    private func note(_ publish: Publish, _ message: Int?) {
        // A deletion carries no number: that it came is all that can be said.
        guard let message else { return }
        simulation.ledger.arrivals.append(
            Ledger.Arrival(
                message: message,
                client: index,
                qos: publish.qos,
                isRetained: publish.isRetained,
                identifiers: publish.properties.subscriptionIdentifiers,
                at: simulation.clock
            )
        )
    }

    /// Acknowledgements leave in order, some of them late.
    private func acknowledge(_ packet: Packet) {
        acks.append(packet)
        guard !isAcknowledging else { return }
        isAcknowledging = true
        acknowledgeNext()
    }

    private func acknowledgeNext() {
        let epoch = epoch
        let isLate = simulation.phase != .drain && simulation.random.once(in: habits.lateness)
        let delay = simulation.random.duration(milliseconds: isLate ? 10...500 : 0...2)
        simulation.schedule(after: delay) {
            guard self.epoch == epoch, let packet = self.acks.popFirst() else { return }
            switch packet {
            case .pubAck(let ack), .pubComp(let ack): self.unsettled.remove(ack.packetID)
            default: break
            }
            self.send(packet)
            if self.acks.isEmpty { self.isAcknowledging = false } else { self.acknowledgeNext() }
        }
    }

    private func send(_ packet: Packet) {
        var bytes = ByteBuffer()
        PacketEncoder.write(packet, version: habits.version, into: &bytes)
        line?.send(bytes, from: .dialer)
    }

    func tearDown() { line = nil }
}
