import BrokerCore
import MQTTCodec
import NIOCore

/// One running Drawbridge: a shard, its spool, and what a runner does with the outbox. It dies and comes back.
final class SimulatedNode {
    /// The node's side of one line.
    final class Port: LineEnd {
        let node: SimulatedNode
        let line: Line
        let side: Line.Side
        let connection: Connection
        var decoder: PacketDecoder
        var buffer = ByteBuffer()
        var isClosed = false
        var isWritable = true
        /// Known from CONNECT on.
        var client: MQTTString?
        /// A message that waits for room, and what was published behind it.
        var stalled: [Publish] = []

        init(_ node: SimulatedNode, _ line: Line, _ side: Line.Side, _ connection: Connection, _ decoder: PacketDecoder)
        {
            self.node = node
            self.line = line
            self.side = side
            self.connection = connection
            self.decoder = decoder
        }

        func received(_ bytes: ByteBuffer, on line: Line) {
            guard !isClosed else { return }
            var bytes = bytes
            buffer.writeBuffer(&bytes)
            node.feed(self)
            node.perform()
        }

        func lineClosed(_ line: Line) { node.portClosed(self) }
        func lineDrained(_ line: Line) { node.updateWritability(self) }
    }

    let index: Int
    let spool: SimulatedSpool
    private(set) var shard: Shard?
    private(set) var ports: [ObjectIdentifier: Port] = [:]
    /// In the order in which their messages came.
    private var stalledPorts: [Port] = []
    /// When the link to the next node was first subscribed: from then on messages of that node come here.
    private(set) var linkUpSince: UInt64?
    private(set) var linkLine: Line?
    private(set) var books = Books()
    private var reference: ReferenceBroker
    /// Of the receivers that the shard knows.
    private var receiverNames: [UInt64: MQTTString] = [:]
    private let simulation: Simulation
    private let settings: BrokerSettings
    /// What the bounds are looked at with.
    private let limits: BrokerSettings
    private var life = 0
    private var wakeAt: UInt64?
    private var isPerforming = false
    /// Set when this life is to end in the middle of a turn; then what is planned for afterwards.
    private var stepsToLive: Int?
    private var afterDeath: () -> Void = {}
    /// Bytes under way above which a connection is not writable.
    private static let writeBufferBytes = 400

    init(index: Int, _ simulation: Simulation) {
        self.index = index
        self.simulation = simulation
        self.spool = SimulatedSpool(simulation, nodeNumber: UInt64(index + 1))
        var settings = simulation.options.settings
        if index + 1 < simulation.options.nodes {
            settings.links = [Self.link(from: index, simulation.options)]
        }
        self.settings = settings
        if simulation.options.sabotage == .narrowBounds {
            settings.pageMessagesMax = 0
            settings.queueMessagesMax = 0
            settings.awaitingReleaseMax = 0
        }
        self.limits = settings
        self.reference = ReferenceBroker(link: settings.links.first?.clientID, simulation.matches)
        spool.onCommit = { ticket in
            self.books.committed(ticket)
            self.reference.commit(ticket)
        }
        spool.onGivenUp = { kind, position in
            switch kind {
            case .session(let name), .group(let name): self.books.gaveUp(name, position)
            case .link: break
            }
        }
    }

    /// Everything crosses in both directions.
    private static func link(from index: Int, _ options: SimulationOptions) -> LinkSettings {
        var link = LinkSettings(name: "next", clientID: MQTTString("link-\(index)"))
        link.version = options.linkVersion
        link.usesBridgeBit = true
        link.backoff.base = .milliseconds(200)
        link.backoff.cap = .seconds(5)
        link.keepAlive = .seconds(4)
        link.acknowledgementTimeout = .seconds(10)
        link.inflightMax = options.settings.inflightMax
        if let all = TopicFilter("#") {
            link.outRules = [LinkRule(filter: all)]
            link.inRules = [LinkRule(filter: all)]
        }
        return link
    }

    var isUp: Bool { shard != nil }

    func start() {
        guard shard == nil else { return }
        simulation.trace("node \(index) starts")
        for problem in books.differences(from: spool.store, node: index, isQuiet: false)
            + reference.differences(from: spool.store, node: index)
        { simulation.fail("node \(index) after its start: \(problem)") }
        shard = Shard(
            settings: settings,
            contents: spool.contents(),
            seed: simulation.random.next(),
            now: simulation.now
        )
        receiverNames = spool.store.queues.mapValues { $0.receiverName(node: index) }
        spool.attach { event in
            guard let shard = self.shard else { return }
            self.spoolReported(event, to: shard)
            self.perform()
        }
        perform()
    }

    /// Messages that waited for room are routed in the middle of this, one after the other.
    private func spoolReported(_ event: SpoolEvent, to shard: Shard) {
        var mayMakeRoom = false
        switch event {
        case .refusing(let refusal):
            reference.isSpoolRefusing = refusal != nil
            mayMakeRoom = refusal == nil
        case .full(let receiver, let isFull):
            mayMakeRoom = !isFull
            if let name = receiverNames[receiver.number] { reference.setFull(name, isFull) }
        default: break
        }
        let before = shard.outbox.ledger.count
        shard.spoolReported([event], now: simulation.now)
        let waiting = stalledPorts
        stalledPorts.removeAll()
        var lines = Self.routed(shard.outbox.ledger[before...])
        var released: [Publish] = []
        for port in waiting where !port.isClosed && port.connection.isOpen {
            guard let client = name(of: port) else { continue }
            for packet in port.stalled.dropLast(port.connection.stalled.count) {
                if reference.refuses(client, packet) {
                    simulation.fail("node \(index): \(packet.text) is taken, and there is no room for it")
                }
                compare(&lines, reference.publish(client, packet), packet, isAlone: false)
                released.append(packet)
            }
            port.stalled.removeFirst(port.stalled.count - port.connection.stalled.count)
            guard let first = port.stalled.first else { continue }
            stalledPorts.append(port)
            guard mayMakeRoom else { continue }
            if !reference.refuses(client, first) {
                simulation.fail("node \(index): \(first.text) waits, and there is room for it")
            }
        }
        // Whoever gets one of them is known by now.
        for packet in released { compare(&lines, [:], packet) }
    }

    func crash() {
        guard shard != nil else { return }
        simulation.trace("node \(index) crashes")
        life += 1
        shard = nil
        wakeAt = nil
        isPerforming = false
        stepsToLive = nil
        spool.crash(loses: simulation.random.once(in: 2))
        books.crash()
        reference.crash()
        simulation.wills.crashed(node: index, at: simulation.clock, &simulation.ledger)
        let lines = ports.values.map(\.line).sorted { $0.id < $1.id }
        for port in ports.values { port.isClosed = true }
        ports.removeAll()
        stalledPorts.removeAll()
        linkLine = nil
        for line in lines { line.cut() }
    }

    /// Dies after so many steps of the runner: between appending and sending, or after it.
    func crash(within steps: Int, then body: @escaping () -> Void) {
        guard shard != nil else { return }
        stepsToLive = steps
        afterDeath = body
    }

    private func diesNow() -> Bool {
        guard let steps = stepsToLive else { return false }
        stepsToLive = steps - 1
        guard steps <= 1 else { return false }
        crash()
        afterDeath()
        return true
    }

    /// A message by HTTP; `number` comes back with the receipt.
    func publish(_ number: Int, _ message: Ledger.Published) {
        guard let shard else { return }
        let request = GatewayPublish(
            topic: message.topic,
            payload: ByteBuffer(string: "\(number)"),
            qos: message.qos,
            isRetained: message.isRetained
        )
        simulation.trace("node \(index): m\(number) by HTTP to \(message.topic.string) \(message.qos.rawValue)")
        let packet = Publish(topic: request.topic, payload: request.payload, qos: request.qos, packetID: 0)
        let isRefused = shard.refusal(of: request, now: simulation.now) != nil
        if isRefused != reference.refuses(nil, packet) {
            simulation.fail("node \(index): m\(number) by HTTP is \(isRefused ? "refused" : "taken")")
        }
        guard !isRefused else { return }
        let expected = reference.publish(nil, packet)
        let before = shard.outbox.ledger.count
        shard.publish(request, token: UInt64(number), now: simulation.now)
        var lines = Self.routed(shard.outbox.ledger[before...])
        compare(&lines, expected, packet)
        perform()
    }

    /// A client or a node dials; false while this node is down.
    func accept(_ line: Line) -> Bool {
        guard let shard else { return false }
        let connection = shard.opened(peer: "line-\(line.id)", now: simulation.now)
        add(line, .listener, connection, PacketDecoder(role: .server, limits: CodecLimits()))
        perform()
        return true
    }

    private func add(_ line: Line, _ side: Line.Side, _ connection: Connection, _ decoder: PacketDecoder) {
        let port = Port(self, line, side, connection, decoder)
        ports[ObjectIdentifier(connection)] = port
        line.attach(port, as: side)
    }

    // MARK: - The runner

    private func feed(_ port: Port) {
        guard let shard, !port.isClosed else { return }
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
    private func receive(_ packet: Packet, on port: Port, _ shard: Shard) {
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
        if let client = name(of: port) {
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

    private func name(of port: Port) -> MQTTString? { port.side == .dialer ? reference.link : port.client }

    /// A message for which there is no room is refused in version 5; version 3, and an upstream, have to wait.
    private func receive(_ packet: Publish, of client: MQTTString, on port: Port, _ shard: Shard) {
        if !port.connection.stalled.isEmpty {
            port.stalled.append(packet)
            return shard.received(.publish(packet), on: port.connection, now: simulation.now)
        }
        let isRefused = reference.refuses(client, packet)

        let expected = isRefused ? [:] : reference.publish(client, packet)
        let before = shard.outbox.ledger.count
        shard.received(.publish(packet), on: port.connection, now: simulation.now)
        var lines = Self.routed(shard.outbox.ledger[before...])
        compare(&lines, expected, packet)
        let waits = !port.connection.stalled.isEmpty
        if waits != (isRefused && (port.side == .dialer || port.connection.version != .v5)) {
            simulation.fail("node \(index): \(packet.text) \(waits ? "waits" : "does not wait") for room")
        }
        guard waits else {
            if isRefused { simulation.noteRefusal(packet) }
            return
        }
        simulation.trace("node \(index): \(packet.text) of \(client) waits for room")
        port.stalled = [packet]
        stalledPorts.append(port)
    }

    /// The lines of each message that was routed, in the order in which they were.
    private static func routed(_ ledger: ArraySlice<LedgerLine>) -> [[LedgerLine]] {
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
    private func compare(
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

    /// The session of a client, here the link of another node, is lost: somebody came with its name and threw it away.
    func forget(client: MQTTString) {
        guard let shard else { return }
        let line = simulation.newLine()
        let connection = shard.opened(peer: "line-\(line.id)", now: simulation.now)
        add(line, .listener, connection, PacketDecoder(role: .server, limits: CodecLimits()))
        guard let port = ports[ObjectIdentifier(connection)] else { return }
        receive(.connect(Connect(version: .v5, clientID: client, cleanStart: true)), on: port, shard)
        perform()
        simulation.schedule(after: .milliseconds(50)) { line.cut() }
    }

    /// Performs what the shard wants done, until it wants nothing more.
    func perform() {
        guard let shard, !isPerforming else { return }
        isPerforming = true
        let hasWork = shard.hasWork
        while shard.hasWork {
            append(shard)
            if diesNow() { return }
            send(shard)
            if diesNow() { return }
            close(shard)
            resume(shard)
            for receipt in shard.outbox.receipts {
                simulation.trace("node \(index): receipt for m\(receipt.token)")
                simulation.ledger.published[Int(receipt.token)].takenAt = simulation.clock
            }
            shard.outbox.receipts.removeAll()
            dial(shard)
            for notice in shard.outbox.notices {
                let subject = (notice.clientID ?? notice.link).map { " " + $0.string } ?? ""
                if notice.text == "link down", notice.detail?.hasPrefix("the upstream has no room") == false {
                    simulation.lineWasLost("node \(index) \(notice.detail ?? "")")
                }
                if notice.text == "no room in time", let clientID = notice.clientID {
                    simulation.roomDidNotCome(for: clientID.string)
                }
                simulation.trace("node \(index):\(subject) \(notice.text) \(notice.detail ?? "")")
            }
            shard.outbox.notices.removeAll()
        }
        isPerforming = false
        // Nothing grows without a word in the outbox: a line of the ledger, or an order to the runner.
        if hasWork, let problem = shard.brokenBound(of: limits) {
            simulation.fail("node \(index) is over its bounds: \(problem)")
        }
        if linkUpSince == nil, let link = shard.links.first, link.state == .live { linkUpSince = simulation.clock }
        planTimer(shard)
    }

    private func append(_ shard: Shard) {
        while !shard.outbox.records.isEmpty || !shard.outbox.loads.isEmpty {
            let records = shard.outbox.records
            let loads = shard.outbox.loads
            shard.outbox.records.removeAll()
            shard.outbox.loads.removeAll()
            book(shard)
            noteReceivers(records)
            if !records.isEmpty { reference.append(shard.ticket) }
            let ticket = records.isEmpty ? Ticket(shard.ticket.number - 1) : shard.ticket
            let first = spool.append(records, loads: loads, ticket: ticket)
            guard !records.isEmpty else { continue }
            shard.appended(first: first, now: simulation.now)
            for line in shard.outbox.ledger where line.entry == .stored { books.note(line, under: ticket) }
            shard.outbox.ledger.removeAll { $0.entry == .stored }
        }
        book(shard)
    }

    private func noteReceivers(_ records: [SpoolRecord]) {
        for record in records {
            switch record {
            case .receiver(let record): receiverNames[record.receiver.number] = record.receiverName(node: index)
            case .receiverGone(let receiver): receiverNames[receiver.number] = nil
            default: break
            }
        }
    }

    /// What ends in a turn is stored under the ticket of its records.
    private func book(_ shard: Shard) {
        for line in shard.outbox.ledger { books.note(line, under: shard.ticket) }
        shard.outbox.ledger.removeAll()
    }

    private func send(_ shard: Shard) {
        let touched = shard.outbox.touched
        shard.outbox.touched.removeAll()
        for connection in touched {
            let bytes = shard.takeBytes(of: connection)
            guard let port = ports[ObjectIdentifier(connection)] else { continue }
            port.line.send(bytes, from: port.side)
            updateWritability(port)
        }
    }

    private func close(_ shard: Shard) {
        let closes = shard.outbox.closes
        shard.outbox.closes.removeAll()
        for connection in closes {
            forgetConnection(ports[ObjectIdentifier(connection)])
            guard let port = ports.removeValue(forKey: ObjectIdentifier(connection)), !port.isClosed else { continue }
            port.isClosed = true
            port.line.close(from: port.side)
            shard.closed(connection, now: simulation.now)
        }
    }

    private func resume(_ shard: Shard) {
        let resumed = shard.outbox.resumed
        shard.outbox.resumed.removeAll()
        for connection in resumed {
            if let port = ports[ObjectIdentifier(connection)] { feed(port) }
        }
    }

    private func dial(_ shard: Shard) {
        let dials = shard.outbox.dials
        shard.outbox.dials.removeAll()
        for dial in dials {
            let life = life
            let epoch = dial.link.epoch
            let link = dial.link
            let delay = simulation.random.duration(milliseconds: 1...30)
            simulation.schedule(after: delay) {
                guard self.life == life else { return }
                self.connect(link, epoch: epoch)
            }
        }
    }

    private func connect(_ link: Link, epoch: UInt64) {
        guard let shard else { return }
        let upstream = simulation.nodes[index + 1]
        guard upstream.isUp else {
            shard.dialFailed(link, epoch: epoch, reason: "refused", now: simulation.now)
            return perform()
        }
        let line = simulation.newLine()
        guard let connection = shard.dialed(link, epoch: epoch, peer: "node-\(index + 1)", now: simulation.now) else {
            return perform()
        }
        add(line, .dialer, connection, PacketDecoder(role: .client, version: link.settings.version))
        linkLine = line
        _ = upstream.accept(line)
        perform()
    }

    private func portClosed(_ port: Port) {
        guard let shard, ports.removeValue(forKey: ObjectIdentifier(port.connection)) != nil else { return }
        port.isClosed = true
        shard.closed(port.connection, now: simulation.now)
        forgetConnection(port)
        perform()
    }

    private func forgetConnection(_ port: Port?) {
        guard let port, port.side == .listener, let client = port.client else { return }
        reference.disconnected(client, line: port.line.id)
        simulation.wills.lost(client, line: port.line.id, at: simulation.clock, &simulation.ledger)
    }

    private func updateWritability(_ port: Port) {
        guard let shard, !port.isClosed else { return }
        let bytes = port.line.bytesUnderWay(from: port.side)
        if port.isWritable, bytes > Self.writeBufferBytes {
            port.isWritable = false
            shard.writabilityChanged(port.connection, isWritable: false, now: simulation.now)
        } else if !port.isWritable, bytes < Self.writeBufferBytes / 2 {
            port.isWritable = true
            shard.writabilityChanged(port.connection, isWritable: true, now: simulation.now)
            perform()
        }
    }

    private func planTimer(_ shard: Shard) {
        guard shard === self.shard, let next = shard.nextTimer?.nanoseconds else { return }
        if let wakeAt, wakeAt <= next { return }
        wakeAt = next
        let life = life
        simulation.schedule(at: max(next, simulation.clock)) {
            guard self.life == life, self.wakeAt == next, let shard = self.shard else { return }
            self.wakeAt = nil
            shard.timeReached(self.simulation.now)
            self.perform()
            self.planTimer(shard)
        }
    }

    /// Breaks the cycles of a run that is over.
    func tearDown() {
        ports.removeAll()
        stalledPorts.removeAll()
        linkLine = nil
        shard = nil
        spool.tearDown()
    }
}

extension Publish {
    /// The number that it carries; a deletion carries none.
    fileprivate var text: String {
        payload.readableBytes > 0 ? "m\(String(buffer: payload))" : "the deletion of \(topic)"
    }
}

extension Packet {
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
