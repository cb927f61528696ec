import BrokerCore
import MQTTCodec
import NIOCore

/// What a peer sends reaches the shard and the reference broker alike, and what they make of it is compared.
extension SimulatedNode {
    func feed(_ port: Port) {
        guard let shard, isKnown(port) else { return }
        while !port.connection.isHeld, port.connection.state != .closing {
            do throws(DecodeError) {
                guard let packet = try port.decoder.next(from: &port.buffer) else { return }
                if simulation.options.sabotage == .hastyEars, case .publish = packet,
                    let second = try port.decoder.next(from: &port.buffer)
                {
                    receive(second, on: port, shard)
                }
                receive(packet, on: port, shard)
            } catch {
                let version = port.decoder.version
                simulation.fail("node \(index) cannot read what a correct peer sent: \(error)")
                shard.decodeFailed(error, version: version, on: port.connection, now: simulation.now)
                return
            }
        }
    }

    /// Both brokers hear the packet; whoever the one routes it to, the other has to name.
    func receive(_ packet: Packet, on port: Port, _ shard: Shard) {
        var packet = packet
        if simulation.options.sabotage == .deafToNoLocal { packet.forgetNoLocal() }
        if simulation.options.sabotage == .deafToShare { packet.forgetShares() }
        if case .connect(let connect) = packet {
            port.client = connect.clientID
            reference.connect(connect, line: port.line.id)
            simulation.wills.connected(
                connect, node: index, line: port.line.id, at: simulation.clock, &simulation.ledger)
            if simulation.options.sabotage == .lostWill { packet.forgetWill() }
        }
        if let client = name(of: port), !packet.isProbe {
            switch packet {
            case .publish(let publish): return receive(publish, of: client, on: port, shard)
            case .pubRel(let ack): reference.release(client, ack.packetID)
            case .subscribe(let subscribe): reference.subscribe(client, subscribe)
            case .unsubscribe where simulation.options.sabotage == .deafReference: break
            case .unsubscribe(let unsubscribe): reference.unsubscribe(client, unsubscribe.filters)
            case .connAck(let ack) where !ack.isSessionPresent: reference.upstreamForgot()
            case .disconnect where port.side == .listener:
                simulation.wills.deleted(client, line: port.line.id, &simulation.ledger)
                if simulation.options.sabotage == .deafToDisconnect { return }
            default: break
            }
        }
        shard.received(packet, on: port.connection, now: simulation.now)
        // The next packet of the same turn may be another client's: it meets this session no more.
        if port.connection.state == .closing { forgetConnection(port) }
    }

    func name(of port: Port) -> MQTTString? { port.side == .dialer ? reference.link : port.client }

    /// A message for which there is no room is refused in version 5; version 3, and an upstream, have to wait.
    func receive(_ packet: Publish, of client: MQTTString, on port: Port, _ shard: Shard) {
        if !port.connection.stalled.isEmpty {
            port.stalled.append(packet)
            return shard.received(.publish(packet), on: port.connection, now: simulation.now)
        }
        var isRefused = reference.refuses(client, packet, hasRefused: port.hasRefused)
        let isKnown = isKnown(packet, of: client, shard)
        var expected = isRefused ? [:] : reference.publish(client, packet)
        let before = shard.outbox.ledger.count
        shard.received(.publish(packet), on: port.connection, now: simulation.now)
        let waits = !port.connection.stalled.isEmpty
        var lines = Self.routed(shard.outbox.ledger[before...])
        let hasToWait = port.side == .dialer || port.connection.version != .v5
        if isRefused, hasToWait, !waits, mayBeOutdated(packet, of: client) {
            // What takes no place among what is retained may need no room.
            isRefused = false
            expected = reference.publish(client, packet)
        }
        // What is retained here already goes to nobody.
        if isKnown, lines.isEmpty { expected = [:] }
        forgive(&expected, packet, of: client, lines)
        compare(&lines, expected, packet)
        if !(isKnown && lines.isEmpty), waits != (isRefused && hasToWait) {
            simulation.fail("node \(index): \(packet.text) \(waits ? "waits" : "does not wait") for room")
        }
        guard waits else {
            if isRefused {
                simulation.noteRefusal(packet)
                if packet.mark?.stream != nil { port.hasRefused = true }
            }
            return
        }
        simulation.trace("node \(index): \(packet.text) of \(client) waits for room")
        port.stalled = [packet]
        stalledPorts.append(port)
    }

    private func mayBeOutdated(_ packet: Publish, of client: MQTTString) -> Bool {
        packet.isRetained && (packet.mark != nil || client == reference.link)
    }

    /// Whether a link brings what is retained here, or what was deleted: every message has a payload of its own.
    private func isKnown(_ packet: Publish, of client: MQTTString, _ shard: Shard) -> Bool {
        guard mayBeOutdated(packet, of: client) else { return false }
        return (shard.retained[topic: packet.topic]?.payload ?? ByteBuffer()) == packet.payload
    }

    /// The payloads of those that wait for room, and are retained here already.
    func knownStalled(_ shard: Shard) -> Set<ByteBuffer> {
        var known: Set<ByteBuffer> = []
        for port in stalledPorts {
            guard let client = name(of: port) else { continue }
            for packet in port.stalled where isKnown(packet, of: client, shard) { known.insert(packet.payload) }
        }
        return known
    }

    /// Whether a message was routed to anybody.
    static func hold(_ lines: [[LedgerLine]], _ packet: Publish) -> Bool {
        lines.joined().contains { $0.message?.payload == packet.payload }
    }

    /// A node may take what a link brings for older than what it retains, and the flag from it. Which is the newer one the
    /// reference does not know: that all nodes decide alike is seen in the end, see `RetainedAgree`.
    func forgive(
        _ expected: inout [MQTTString: ReferenceBroker.Copy],
        _ packet: Publish,
        of client: MQTTString,
        _ lines: [[LedgerLine]]
    ) {
        guard mayBeOutdated(packet, of: client),
            !lines.joined().contains(where: { $0.isRetained && $0.message?.payload == packet.payload })
        else { return }
        for name in expected.keys { expected[name]?.isRetained = false }
    }

    /// The lines of each message that was routed, in the order in which they were.
    static func routed(_ ledger: ArraySlice<LedgerLine>) -> [[LedgerLine]] {
        var routed: [[LedgerLine]] = []
        for line in ledger where line.entry == .routed {
            if let last = routed.last?.last, last.message?.id == line.message?.id {
                routed[routed.count - 1].append(line)
            } else {
                routed.append([line])
            }
        }
        return routed
    }

    /// Takes the lines of this message out and looks at them: one event may let several messages go that waited, and
    /// wills with them.
    func compare(
        _ lines: inout [[LedgerLine]],
        _ expected: [MQTTString: ReferenceBroker.Copy],
        _ packet: Publish,
        isAlone: Bool = true
    ) {
        var routed: [MQTTString: ReferenceBroker.Copy] = [:]
        // A repeated one that waited behind others goes to nobody: the lines are those of another one like it.
        if expected.isEmpty, !isAlone { return }
        let place = lines.firstIndex {
            $0.first?.message?.topic == packet.topic && $0.first?.message?.payload == packet.payload
        }
        for line in place.map({ lines.remove(at: $0) }) ?? [] {
            // Those of a group say whose message it is; its members have identifiers of their own.
            let identifiers = ReferenceBroker.isGroup(line.receiver) ? [] : line.subscriptionIdentifiers.sorted()
            let copy = ReferenceBroker.Copy(qos: line.qos, isRetained: line.isRetained, identifiers: identifiers)
            if routed.updateValue(copy, forKey: line.receiver) != nil {
                simulation.fail("node \(index): \(packet.text) is routed twice to \(line.receiver)")
            }
        }
        if routed == expected { return }
        for name in Set(routed.keys).union(expected.keys).sorted() where routed[name] != expected[name] {
            simulation.fail(
                "node \(index): \(packet.text) goes to \(name) with \(routed[name].map { "\($0)" } ?? "nothing"), "
                    + "the reference says \(expected[name].map { "\($0)" } ?? "nothing")"
            )
        }
    }
}

extension Publish {
    /// The number that it carries; a deletion carries none.
    var text: String {
        payload.readableBytes > 0 ? "m\(String(buffer: payload))" : "the deletion of \(topic)"
    }
}

extension Packet {
    /// What a link asks its upstream about itself is nobody's message: the reference does not hear of it.
    fileprivate var isProbe: Bool {
        switch self {
        case .publish(let publish): ProbeTopic.isOne(publish.topic)
        case .subscribe(let subscribe): subscribe.subscriptions.contains { ProbeTopic.isOne($0.filter.text) }
        default: false
        }
    }

    fileprivate mutating func forgetWill() {
        guard case .connect(var connect) = self else { return }
        connect.will = nil
        self = .connect(connect)
    }

    fileprivate mutating func forgetShares() {
        func plain(_ filter: TopicFilter) -> TopicFilter { TopicFilter(filter.pattern.string) ?? filter }
        if case .subscribe(var subscribe) = self {
            for index in subscribe.subscriptions.indices {
                subscribe.subscriptions[index].filter = plain(subscribe.subscriptions[index].filter)
            }
            self = .subscribe(subscribe)
        } else if case .unsubscribe(var unsubscribe) = self {
            unsubscribe.filters = unsubscribe.filters.map(plain)
            self = .unsubscribe(unsubscribe)
        }
    }

    fileprivate mutating func forgetNoLocal() {
        guard case .subscribe(var subscribe) = self else { return }
        for index in subscribe.subscriptions.indices { subscribe.subscriptions[index].options.noLocal = false }
        self = .subscribe(subscribe)
    }
}
