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
        /// A message of a link was refused for want of room.
        var hasRefused = false
        /// The loop that carries it.
        let loop: Int
        /// Bytes that the shard has sent and that the loop has not.
        var orderedBytes = 0

        init(
            _ node: SimulatedNode,
            _ line: Line,
            _ side: Line.Side,
            _ connection: Connection,
            _ decoder: PacketDecoder,
            loop: Int
        ) {
            self.node = node
            self.loop = loop
            self.line = line
            self.side = side
            self.connection = connection
            self.decoder = decoder
        }

        func received(_ bytes: ByteBuffer, on line: Line) {
            guard !isClosed else { return }
            node.hear(on: loop) {
                self.buffer.writeImmutableBuffer(bytes)
                self.node.feed(self)
            }
        }

        func lineClosed(_ line: Line) {
            guard !isClosed else { return }
            isClosed = true
            node.hear(on: loop) { self.node.portClosed(self) }
        }
        func lineDrained(_ line: Line) { node.updateWritability(self) }
    }

    let index: Int
    let spool: SimulatedSpool
    var shard: Shard?
    var ports: [ObjectIdentifier: Port] = [:]
    var loops: [Loop]
    /// The loop that carries the next connection.
    private var nextLoop = 0
    /// In the order in which their messages came.
    var stalledPorts: [Port] = []
    /// When the link to the next node was first subscribed: from then on messages of that node come here.
    var linkUpSince: UInt64?
    var linkLine: Line?
    var books = Books()
    var reference: ReferenceBroker
    /// Of the receivers that the shard knows.
    var receiverNames: [UInt64: MQTTString] = [:]
    let simulation: Simulation
    let settings: BrokerSettings
    /// What the bounds are looked at with.
    let limits: BrokerSettings
    var life = 0
    var wakeAt: UInt64?
    var isPerforming = false
    /// Set when this life is to end in the middle of a turn; then what is planned for afterwards.
    private var stepsToLive: Int?
    private var afterDeath: () -> Void = {}
    /// Bytes under way above which a connection is not writable.
    static let writeBufferBytes = 400

    init(index: Int, _ simulation: Simulation) {
        self.index = index
        self.simulation = simulation
        self.loops = (0..<simulation.options.loops).map { _ in Loop() }
        self.spool = SimulatedSpool(simulation, nodeNumber: UInt64(index + 1))
        var settings = simulation.options.settings
        if index + 1 < simulation.options.nodes {
            settings.links = [Self.link(from: index, simulation.options)]
        }
        if simulation.options.hasMarks { settings.linkUsers = [Self.linkUser] }
        self.settings = settings
        if simulation.options.sabotage == .narrowBounds {
            settings.pageMessagesMax = 0
            settings.linkPageMessagesMax = 0
            settings.queueMessagesMax = 0
            settings.awaitingReleaseMax = 0
        }
        self.limits = settings
        self.reference = ReferenceBroker(
            node: UInt64(index + 1), link: settings.links.first?.clientID, simulation.matches)
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

    static let linkUser: MQTTString = "link"

    /// Everything crosses in both directions.
    static func link(from index: Int, _ options: SimulationOptions) -> LinkSettings {
        var link = LinkSettings(name: "next", clientID: MQTTString("link-\(index)"))
        link.version = options.linkVersion
        link.usesBridgeBit = true
        link.backoff.base = .milliseconds(200)
        link.backoff.cap = .seconds(5)
        link.keepAlive = .seconds(4)
        link.acknowledgementTimeout = .seconds(10)
        link.probe = LinkProbeSettings(options.hasProbes ? .auto : .off)
        link.probe.every = .seconds(3)
        link.inflightMax = options.settings.inflightMax
        link.catchUpRate = options.linkCatchUpRate
        link.queueOrder = options.linkOrder
        if let all = TopicFilter("#") {
            link.outRules = [LinkRule(filter: all)]
            if options.linkHasPriority, let some = TopicFilter("+/2") {
                var rule = LinkRule(filter: some)
                rule.priority = 5
                link.outRules.insert(rule, at: 0)
            }
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
            self.hear(on: 0) {
                if let shard = self.shard { self.spoolReported(event, to: shard) }
            }
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
        let known = knownStalled(shard)
        shard.spoolReported([event], now: simulation.now)
        let waiting = stalledPorts
        stalledPorts.removeAll()
        var lines = Self.routed(shard.outbox.ledger[before...])
        var released: [Publish] = []
        for port in waiting where isKnown(port) && port.connection.isOpen {
            guard let client = name(of: port) else { continue }
            for packet in port.stalled.dropLast(port.connection.stalled.count) {
                if reference.refuses(client, packet) {
                    simulation.fail("node \(index): \(packet.text) is taken, and there is no room for it")
                }
                var expected = reference.publish(client, packet)
                if known.contains(packet.payload), !Self.hold(lines, packet) { expected = [:] }
                forgive(&expected, packet, of: client, lines)
                compare(&lines, expected, packet, isAlone: false)
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
        forgetLoops()
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

    func diesNow() -> Bool {
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

    func add(_ line: Line, _ side: Line.Side, _ connection: Connection, _ decoder: PacketDecoder) {
        let port = Port(self, line, side, connection, decoder, loop: nextLoop)
        nextLoop = (nextLoop + 1) % loops.count
        ports[ObjectIdentifier(connection)] = port
        line.attach(port, as: side)
    }

    /// Whether the shard has not heard of the end of it. Its line may have ended.
    func isKnown(_ port: Port) -> Bool { ports[ObjectIdentifier(port.connection)] === port }

    // MARK: - The runner

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

    /// Breaks the cycles of a run that is over.
    func tearDown() {
        ports.removeAll()
        stalledPorts.removeAll()
        forgetLoops()
        linkLine = nil
        shard = nil
        spool.tearDown()
    }
}
