import BrokerServer
import MQTTCodec
import NIOCore
import NIOPosix

/// All of the load generator that lives on one event loop: its clients, what they count, and who may send next.
///
/// A turn is what one read of one socket, or one tick of the schedule, leads to. What clients have to send is gathered
/// while it lasts and written at its end, one write for each.
final class BenchLoop: NIOScheduledCallbackHandler {
    private enum Phase {
        /// Connecting, or waiting; nobody publishes.
        case quiet
        case running
    }

    /// Messages of one publisher in one turn, where nothing else bounds them: others have a turn too.
    private static let burstMax: UInt64 = 1000
    private static let stallTime: UInt64 = 1_000_000_000
    private static let leaveTime: UInt64 = 2_000_000_000
    private static let answerTime: UInt64 = 30_000_000_000
    private static let dialTime = TimeAmount.seconds(10)
    private static let watchPeriod = TimeAmount.milliseconds(250)

    let eventLoop: any EventLoop
    let settings: BenchSettings
    let run: UInt32
    /// Connections that mostly wait hold no buffers.
    let isLean: Bool
    private let thread: Int
    private let place: BenchPlace
    private let bootstraps: [ClientBootstrap]

    // What is touched for every message is touched on this loop, and never while it is touched already.
    @exclusivity(unchecked) var counters = BenchCounters()
    @exclusivity(unchecked) private(set) var latency = LatencyHistogram()
    private(set) var connecting = LatencyHistogram()
    /// By how much the generator itself was late.
    private(set) var sendDelayMax: UInt64 = 0
    /// Messages that were due when the run ended, and had not been sent.
    private(set) var overdue: UInt64 = 0
    /// When publishers were last asked to send what is due.
    private var lastTick: UInt64 = 0
    // For whoever has to know to the message, and not to the next look, when the last came.
    @exclusivity(unchecked) private(set) var lastAcknowledged: UInt64 = 0
    @exclusivity(unchecked) private(set) var lastReceived: UInt64 = 0
    /// What the broker does not allow and the run needs.
    private(set) var misfit: String?
    /// The first thing that went wrong, for whoever wants to know why.
    private(set) var firstFailure: String?
    /// Nanoseconds of the monotonic clock: of the last read, or the last tick.
    @exclusivity(unchecked) private(set) var now: UInt64 = 0
    @exclusivity(unchecked) private var measured: Range<UInt64> = 0..<0

    /// For the masks of WebSocket frames.
    var keys = QuickGenerator(seed: UInt64.random(in: .min ... .max))
    private(set) var connections: [BenchConnection] = []
    private(set) var publishers: [Publisher] = []
    private(set) var groups: [ShareGroup] = []
    private var phase = Phase.quiet
    private var schedule: SendSchedule?
    private var nextTurn: UInt64 = 0
    private var refill: UInt64

    // By number of the publisher; nil for those of other loops.
    private(set) var publishing: [BenchConnection?] = []
    private var threads: [Int] = []
    @exclusivity(unchecked) private var credits = CreditBook()
    let inbox = CreditInbox()
    @exclusivity(unchecked) private var writtenOff = WrittenOff(publishers: 0)
    /// Tells each loop that messages of a publisher, those before a number, were written off.
    private var tellWrittenOff: [@Sendable (Int, UInt64) -> Void] = []

    /// Publishers of this loop that may have room for more.
    private var touched: [BenchConnection] = []
    private var dirty: [BenchConnection] = []
    private var isInTurn = false
    private var turnIsDue = false

    private var toConnect: CircularBuffer<Int> = []
    private var connectingNow = 0
    private var pace: ConnectPace
    private var paceTimer: Scheduled<Void>?
    private var watch: Scheduled<Void>?

    /// On its loop.
    init(_ settings: BenchSettings, thread: Int, run: UInt32, place: BenchPlace, on eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
        self.settings = settings
        self.thread = thread
        self.run = run
        self.place = place
        self.isLean = settings.scenario == .idle || settings.scenario == .conn
        self.refill = UInt64(max(1, min(settings.window, settings.inflight) / 2))
        let share = Double(settings.threads)
        self.pace = ConnectPace(
            rate: settings.connectRate.map { $0 / share },
            concurrentMax: settings.connectingMax / settings.threads
        )
        let allocator =
            isLean
            ? AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 512, maximum: 65_536)
            : AdaptiveRecvByteBufferAllocator(minimum: 2_048, initial: 16_384, maximum: 262_144)
        let watermark = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)
        // A bootstrap is a reference: each source has its own.
        let sources = place.sources.isEmpty ? [nil] : place.sources.map(Optional.some)
        self.bootstraps = sources.map { source in
            let bootstrap = ClientBootstrap(group: eventLoop)
                .connectTimeout(Self.dialTime)
                .channelOption(.recvAllocator, value: allocator)
                .channelOption(.writeBufferWaterMark, value: watermark)
            return Dialer.prepared(source.map { bootstrap.bind(to: $0) } ?? bootstrap)
        }
    }

    var version: ProtocolVersion { settings.client.connect.version }
    var qos: QoS { settings.qos }
    private static func clock() -> UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// Takes the roles of this loop; those of others say where their publishers are.
    func cast(_ plan: BenchPlan, limit: Int?, subscribesAlways: Bool) {
        publishing = Array(repeating: nil, count: plan.publishers)
        threads = Array(repeating: 0, count: plan.publishers)
        writtenOff = WrittenOff(publishers: plan.publishers)
        let group = settings.shareName.map { _ in ShareGroup(publishers: plan.publishers) }
        if let group { groups.append(group) }
        for role in plan.roles {
            if role.topic != nil { threads[role.publisher] = role.thread }
            guard role.thread == thread else { continue }
            let connection = BenchConnection(
                connections.count,
                role,
                publisher: publisher(role, plan, limit),
                hearing: hearing(role, group),
                isClean: settings.client.connect.cleanStart && subscribesAlways,
                bench: self
            )
            connection.subscribesAlways = subscribesAlways
            if let publisher = connection.publisher {
                publishing[role.publisher] = connection
                publishers.append(publisher)
            }
            connections.append(connection)
        }
    }

    private func publisher(_ role: BenchPlan.Role, _ plan: BenchPlan, _ limit: Int?) -> Publisher? {
        guard let topic = role.topic else { return nil }
        // Shares of whole messages that add up.
        let own = limit.map { $0 / plan.publishers + (role.publisher < $0 % plan.publishers ? 1 : 0) }
        // Messages that wait for somebody who is away are bounded by their acknowledgements alone.
        let copies = settings.scenario == .backlog ? 0 : plan.copies
        return Publisher(role, topic: topic, copies: copies, limit: own.map { UInt64($0) }, run: run, settings)
    }

    private func hearing(_ role: BenchPlan.Role, _ group: ShareGroup?) -> Hearing? {
        guard role.filter != nil else { return nil }
        if let group { return Hearing(.group(group), run: run, size: settings.size) }
        return Hearing(role.hears.map { .publishers($0) } ?? .anyone, run: run, size: settings.size)
    }

    /// How other loops are told what their publishers' messages became.
    ///
    /// - Parameter writingOff: tells a loop that messages of a publisher, those before a number, were written off.
    func introduce(
        _ others: [(inbox: CreditInbox, wake: @Sendable () -> Void)],
        writingOff: [@Sendable (Int, UInt64) -> Void]
    ) {
        credits = CreditBook(others)
        tellWrittenOff = writingOff
    }

    func wroteOff(_ publisher: Int, before end: UInt64) { writtenOff.writeOff(publisher, before: end) }

    // MARK: - Connecting

    /// Lets clients connect that are not connected.
    ///
    /// - Parameter isWanted: which of them.
    func connect(_ isWanted: (BenchPlan.Role) -> Bool) {
        now = Self.clock()
        for (index, connection) in connections.enumerated() {
            guard isWanted(connection.role), connection.state == .waiting || connection.state == .over else { continue }
            toConnect.append(index)
        }
        if watch == nil { lookLater() }
        pace.start(now: now)
        connectMore()
    }

    /// What subscribers of `backlog` do differently when they come the next time.
    func prepare(isClean: Bool, _ isWanted: (BenchPlan.Role) -> Bool) {
        for connection in connections where isWanted(connection.role) { connection.isClean = isClean }
    }

    /// Who is not answered by now has failed.
    func giveUp() {
        for connection in connections where connection.state == .connecting || connection.state == .subscribing {
            connection.failed("nobody answers")
        }
    }

    private func connectMore() {
        while !toConnect.isEmpty {
            guard let due = pace.next(now: now, connecting: connectingNow) else { break }
            guard let index = toConnect.popFirst() else { break }
            dial(index, intended: due)
        }
        guard !toConnect.isEmpty, paceTimer == nil, let wake = pace.wake else { return }
        paceTimer = eventLoop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(max(wake, now))) {
            self.paceTimer = nil
            self.now = Self.clock()
            self.connectMore()
        }
    }

    private func dial(_ index: Int, intended: UInt64) {
        if connections[index].state == .over {
            let former = connections[index]
            connections[index] = former.again()
            if former.role.topic != nil { publishing[former.role.publisher] = connections[index] }
        }
        let connection = connections[index]
        connection.intendedStart = intended
        connection.dialling()
        connectingNow += 1
        let broker = place.brokers[connection.role.turn % place.brokers.count]
        let dialer = Dialer(
            address: broker.address,
            tls: place.tls,
            serverName: nil,
            checksName: settings.client.tls.verification == .full,
            deadline: eventLoop.now + Self.dialTime,
            frameBytesMax: CodecLimits.variableByteIntegerMax + 5,
            connected: { connection.dialled($0, framing: $1) },
            failed: { connection.failed(BenchProblem.words(ClientFailure($0))) }
        )
        dialer.dial(prepared: bootstraps[index % bootstraps.count], to: broker.found)
    }

    func connect(_ clientID: String, isClean: Bool) -> Connect {
        var connect = settings.client.connect
        connect.clientID = MQTTString(clientID)
        connect.cleanStart = isClean
        if !isClean, settings.scenario == .backlog, connect.version == .v5 {
            connect.properties.sessionExpiryInterval = BenchSettings.backlogExpirySeconds
        }
        return connect
    }

    func doesNotFit(_ reason: String) { misfit = misfit ?? reason }

    func becameReady(_ connection: BenchConnection) {
        connectingNow -= 1
        counters.ready += 1
        counters.connects += 1
        if settings.scenario == .conn, !settings.isChurning || measured.contains(connection.intendedStart) {
            let time = Self.clock()
            connecting.record(nanoseconds: time - min(time, connection.intendedStart))
        }
        if settings.isChurning { return connection.leave() }
        connectMore()
    }

    func ended(_ connection: BenchConnection, from state: BenchConnection.State, because reason: String) {
        switch state {
        case .waiting, .over: return
        case .dialling, .connecting, .subscribing:
            connectingNow -= 1
            counters.failed += 1
            firstFailure = firstFailure ?? reason
        case .ready:
            counters.ready -= 1
            counters.dropped += 1
            firstFailure = firstFailure ?? reason
        case .leaving:
            counters.ready -= 1
            counters.left += 1
        }
        if settings.isChurning, phase == .running { comeAgain(connection, wasRefused: state != .leaving) }
        if !toConnect.isEmpty {
            // Not in the middle of the end of a channel.
            eventLoop.assumeIsolated().execute {
                self.now = Self.clock()
                self.connectMore()
            }
        }
    }

    /// Who was not let in tries again after a moment, or a broker that is down would be asked without a pause.
    private func comeAgain(_ connection: BenchConnection, wasRefused: Bool) {
        guard wasRefused else { return toConnect.append(connection.index) }
        eventLoop.assumeIsolated().scheduleTask(in: Self.watchPeriod) {
            guard self.phase == .running else { return }
            self.toConnect.append(connection.index)
            self.now = Self.clock()
            self.connectMore()
        }
    }

    // MARK: - Running

    /// Publishers send, as fast as their windows allow or as the schedule says.
    ///
    /// - Parameter schedule: nil for no rate.
    func start(_ schedule: SendSchedule?) {
        now = Self.clock()
        phase = .running
        self.schedule = schedule
        nextTurn = 0
        if settings.isChurning { return connect { _ in true } }
        for connection in connections {
            guard let publisher = connection.publisher else { continue }
            publisher.stillSince = now
            touch(connection)
        }
        if schedule == nil { endTurn() } else { tick() }
    }

    func stop() {
        if phase == .running, let schedule {
            now = Self.clock()
            noteDelay(schedule)
            // What became due since then is nobody's fault.
            overdue = publishers.reduce(0) { $0 + $1.overdue(schedule, now: lastTick) }
        }
        phase = .quiet
    }

    /// Only messages that should have been sent in this time count for the latency.
    func measure(_ range: Range<UInt64>) { measured = range }

    func leaveAll(_ isWanted: (BenchPlan.Role) -> Bool) {
        toConnect.removeAll()
        now = Self.clock()
        for connection in connections where isWanted(connection.role) { connection.leave() }
    }

    func abortAll() {
        toConnect.removeAll()
        watch?.cancel()
        paceTimer?.cancel()
        for connection in connections { connection.abort() }
    }

    func handleScheduledCallback(eventLoop: some EventLoop) { tick() }

    /// Sends what is due by the schedule.
    private func tick() {
        guard phase == .running, let schedule, !publishing.isEmpty else { return }
        now = Self.clock()
        let publishers = UInt64(publishing.count)
        lastTick = now
        noteDelay(schedule)
        while schedule.due(nextTurn) <= now {
            if let connection = publishing[Int(nextTurn % publishers)] { touch(connection) }
            nextTurn += 1
        }
        endTurn()
        // The loop runs whatever is due before it looks at its sockets again: the next tick must not be.
        let next = NIODeadline.uptimeNanoseconds(schedule.tick(nextTurn, now: Self.clock()))
        do {
            _ = try eventLoop.assumeIsolated().scheduleCallback(at: next, handler: self)
        } catch {
            firstFailure = firstFailure ?? "\(error)"
        }
    }

    /// By how much we are behind schedule.
    private func noteDelay(_ schedule: SendSchedule) {
        let first = schedule.due(nextTurn)
        if first < now, measured.contains(first) { sendDelayMax = max(sendDelayMax, now - first) }
    }

    /// A publisher may have room for more; looked at when the turn ends.
    private func touch(_ connection: BenchConnection) {
        guard let publisher = connection.publisher, !publisher.isQueued else { return }
        publisher.isQueued = true
        touched.append(connection)
    }

    func endTurn() {
        guard !isInTurn else { return }
        isInTurn = true
        deliver(credits.close())
        credits.post()
        if phase == .running, !touched.isEmpty {
            let time = Self.clock()
            for connection in touched { fill(connection, time) }
        }
        for connection in touched { connection.publisher?.isQueued = false }
        touched.removeAll(keepingCapacity: true)
        var index = 0
        while index < dirty.count {
            dirty[index].isDirty = false
            dirty[index].flush()
            index += 1
        }
        dirty.removeAll(keepingCapacity: true)
        isInTurn = false
    }

    private func fill(_ connection: BenchConnection, _ time: UInt64) {
        guard let publisher = connection.publisher, connection.state == .ready, connection.isWritable else { return }
        if let schedule {
            let count = publisher.due(schedule, now: time)
            connection.publish(count) { schedule.due(publisher: publisher.number, sequence: $0) }
            return
        }
        let room = publisher.room(refill: refill)
        guard room > 0 else { return }
        connection.publish(min(room, Self.burstMax)) { _ in time }
        if room > Self.burstMax { turnLater() }
    }

    /// There is more to do than one turn may take.
    private func turnLater() {
        guard !turnIsDue else { return }
        turnIsDue = true
        eventLoop.assumeIsolated().execute {
            self.turnIsDue = false
            self.now = Self.clock()
            for connection in self.publishing { if let connection { self.touch(connection) } }
            self.endTurn()
        }
    }

    // MARK: - What connections report

    func isDirty(_ connection: BenchConnection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        dirty.append(connection)
    }

    func becameWritable(_ connection: BenchConnection) {
        guard phase == .running, connection.publisher != nil else { return }
        if isInTurn {
            turnLater()
        } else {
            touch(connection)
            endTurn()
        }
    }

    func read(_ bytes: Int) {
        now = Self.clock()
        counters.reads += 1
        counters.bytesRead += UInt64(bytes)
    }

    func wrote(_ bytes: Int) {
        counters.writes += 1
        counters.bytesWritten += UInt64(bytes)
    }

    func heard(_ finding: Hearing.Finding) {
        switch finding {
        case .message(let publisher, let settles, let sequence, let intended, let isLate):
            counters.received += 1
            lastReceived = now
            if isLate { counters.reordered += 1 }
            if let publisher {
                let credit = writtenOff.credit(settles, through: sequence, of: publisher)
                if credit > 0 { deliver(credits.add(publisher, credit)) }
            }
            if let intended, measured.contains(intended) { latency.record(nanoseconds: now - min(now, intended)) }
        case .duplicate: counters.duplicates += 1
        case .corrupted: counters.corrupted += 1
        case .foreign: counters.foreign += 1
        }
    }

    func acknowledged(_ publisher: Publisher, intended: UInt64, isRefusal: Bool) {
        counters.acknowledged += 1
        lastAcknowledged = now
        if isRefusal { counters.rejected += 1 }
        // Nobody here hears the message: its acknowledgement is all there is to time.
        if settings.scenario == .pub, measured.contains(intended) {
            latency.record(nanoseconds: now - min(now, intended))
        }
        if let connection = publishing[publisher.number] { touch(connection) }
    }

    private func deliver(_ credit: CreditInbox.Credit?) {
        guard let credit else { return }
        if let connection = publishing[credit.publisher] {
            connection.publisher?.delivered(credit.count)
            touch(connection)
        } else {
            credits.write(credit, to: threads[credit.publisher])
        }
    }

    /// Another loop's subscribers have received of our publishers.
    func takeCredits() {
        for credit in inbox.drain() { deliver(credit) }
        endTurn()
    }

    // MARK: - Looking after them

    private func lookLater() {
        watch = eventLoop.assumeIsolated().scheduleTask(in: Self.watchPeriod) {
            self.look()
            self.lookLater()
        }
    }

    private func look() {
        now = Self.clock()
        for connection in connections {
            switch connection.state {
            case .waiting, .dialling, .over: break
            case .ready:
                let keepAlive = UInt64(connection.keepAlive) * 750_000_000
                if keepAlive > 0, now - min(now, connection.lastSent) > keepAlive { connection.ping() }
            case .leaving: if now - min(now, connection.lastSent) > Self.leaveTime { connection.abort() }
            case .connecting, .subscribing:
                if now - min(now, connection.lastSent) > Self.answerTime { connection.failed("no answer to CONNECT") }
            }
        }
        if phase == .running, schedule == nil { findStalls() }
    }

    /// QoS 0 may lose what a window waits for. A publisher that hears nothing for a second goes on, or one loss would be
    /// the end of the run.
    private func findStalls() {
        for connection in connections {
            guard let publisher = connection.publisher else { continue }
            guard publisher.delivered == publisher.lastDelivered, publisher.hasFullWindow else {
                publisher.lastDelivered = publisher.delivered
                publisher.stillSince = now
                continue
            }
            guard now - publisher.stillSince > Self.stallTime else { continue }
            counters.stalls += 1
            publisher.writeOff()
            wroteOff(publisher.number, before: publisher.sent)
            for tell in tellWrittenOff { tell(publisher.number, publisher.sent) }
            touch(connection)
        }
        endTurn()
    }
}
