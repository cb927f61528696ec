import BrokerCore
import MQTTCodec
import NIOCore

/// A whole site in one thread, from a seed: nodes in a chain, their spools, clients, and what breaks between them, on
/// one heap of timed events. The same seed gives the same run, to the last byte.
package final class Simulation {
    enum Phase {
        /// Things break.
        case chaos
        /// Nothing breaks any more and clients go on publishing.
        case calm
        /// Nobody publishes: everything has to arrive.
        case drain
    }

    package let seed: UInt64
    package let options: SimulationOptions
    package let plan: FaultPlan
    var random: RandomSource
    /// Nanoseconds of virtual time.
    private(set) var clock: UInt64 = 0
    private(set) var phase = Phase.chaos
    private(set) var nodes: [SimulatedNode] = []
    private(set) var clients: [SimulatedClient] = []
    var ledger = Ledger()
    var wills = Wills()
    let matches = FilterMatches()
    private var log: Trace
    private var steps = 0
    private var failures: [String] = []
    private var queue = EventQueue()
    private var wallOffset: Int64 = 1_700_000_000_000_000
    private var lines: [Line] = []
    /// Whether an upstream ever lost the session of a link in this run.
    private(set) var upstreamForgot = false
    /// Clients whose lines are being closed because no room came in time.
    private var waitedInVain: Set<String> = []
    /// When what the last late crash took down is up again, nanoseconds.
    private var lastFaultEnds: UInt64 = 0

    package convenience init(seed: UInt64) { self.init(seed: seed, options: SimulationOptions(seed: seed)) }

    package init(seed: UInt64, options: SimulationOptions) {
        self.seed = seed
        self.options = options
        self.random = RandomSource(seed: seed)
        self.log = Trace(keepsLines: options.keepsTrace)
        self.plan = FaultPlan(options, &random)
        for index in 0..<options.nodes { nodes.append(SimulatedNode(index: index, self)) }
        for index in 0..<options.clients {
            let habits = Habits(options, &random)
            let home = Int.random(in: 0..<options.nodes, using: &random)
            clients.append(SimulatedClient(index: index, home: home, habits: habits, self))
        }
    }

    /// Runs to the end and judges. Call once.
    package func run() -> SimulationReport {
        for node in nodes { node.start() }
        for client in clients {
            schedule(after: random.duration(milliseconds: 0...500)) { client.connect() }
            publishLater(client)
            if client.habits.leavesEvery != nil { leaveLater(client) }
            if client.habits.churns { churnLater(client) }
        }
        publishByGateway()
        for entry in plan.entries { schedule(after: entry.at) { self.perform(entry.fault) } }
        let chaosEnds = Duration.milliseconds(options.chaosMilliseconds)
        let calmEnds = chaosEnds + .milliseconds(options.calmMilliseconds)
        run(until: chaosEnds.nanoseconds) { false }
        if !isOver { endChaos() }
        run(until: calmEnds.nanoseconds) { false }
        phase = .drain
        // A window of one, fed by pages of one, takes a disk's time for each message.
        let limit =
            calmEnds + .milliseconds(options.drainMilliseconds + ledger.published.count * options.drainMillisecondsEach)
        // What waits in a broker's memory for a session that is not durable cannot be seen from here: quiet is when
        // nothing arrived for a while either.
        var nextLook: UInt64 = 0
        var arrived = 0
        var quietSince: UInt64?
        run(until: limit.nanoseconds) {
            guard self.clock >= nextLook else { return false }
            nextLook = self.clock + 100_000_000
            if !self.isQuiet || arrived != self.ledger.arrivals.count { quietSince = nil }
            arrived = self.ledger.arrivals.count
            let since = quietSince ?? self.clock
            quietSince = since
            return self.clock - since >= UInt64(self.options.quietMilliseconds) * 1_000_000
        }
        if wasStopped {
            trace("stopped after \(steps) steps")
        } else {
            judge()
        }
        let report = SimulationReport(
            seed: seed,
            steps: steps,
            wasStopped: wasStopped,
            digest: log.digest,
            failures: failures,
            published: ledger.published.count,
            arrived: ledger.arrivals.count,
            elided: nodes.reduce(0) { $0 + $1.spool.elided },
            virtualMilliseconds: clock / 1_000_000,
            ledger: nodes.reduce(into: LedgerSum()) { $0 += LedgerSum($1.books) },
            plan: plan.description,
            cast: clients.map { "    \($0.name) at node \($0.home): \($0.habits)" }.joined(separator: "\n"),
            trace: log
        )
        tearDown()
        return report
    }

    private func run(until end: UInt64, or isDone: () -> Bool) {
        while let at = queue.nextAt, at <= end, !isDone(), !isOver {
            guard let event = queue.pop() else { break }
            clock = max(clock, at)
            steps += 1
            event()
        }
        if !isOver, queue.nextAt.map({ $0 > end }) ?? true { clock = max(clock, end) }
    }

    private var wasStopped: Bool { options.stepsMax.map { steps >= $0 } ?? false }
    private var isOver: Bool { wasStopped || failures.count >= options.failuresMax }

    // MARK: - What everyone needs

    var now: Now {
        let micros = Int64(clock / 1_000) + wallOffset
        return Now(instant: Instant(nanoseconds: clock), wall: Timestamp(microseconds: UInt64(clamping: micros)))
    }

    func schedule(after delay: Duration, _ body: @escaping () -> Void) {
        schedule(at: clock + delay.nanoseconds, body)
    }

    func schedule(at nanoseconds: UInt64, _ body: @escaping () -> Void) { queue.add(at: nanoseconds, body) }

    func trace(_ text: String) { log.note(at: clock, text) }

    func fail(_ text: String) {
        guard failures.count < options.failuresMax else { return }
        failures.append("at \(clock / 1_000) µs: \(text)")
        trace("FAILURE: \(text)")
    }

    /// Long after the last fault every line has to hold: whoever loses one now cut it without need.
    func lineWasLost(_ text: String) {
        if waitedInVain.remove(text) != nil { return }
        let calmSince = max(lastFaultEnds, UInt64(options.chaosMilliseconds) * 1_000_000)
        if clock > calmSince + 20_000_000_000 { fail("without need: \(text)") }
    }

    /// A client of version 3 waited for room as long as it may: its line is closed for that.
    func roomDidNotCome(for client: String) { waitedInVain.insert(client) }

    /// A message was not taken. A deletion carries no number: all of its topic's count as refused.
    func noteRefusal(_ packet: Publish) {
        if let number = Int(String(buffer: packet.payload)), ledger.published.indices.contains(number) {
            ledger.published[number].wasRefused = true
        } else {
            for index in ledger.published.indices where ledger.published[index].topic == packet.topic {
                ledger.published[index].wasRefused = true
            }
        }
    }

    func newLine() -> Line {
        let line = Line(id: lines.count + 1, self)
        lines.append(line)
        return line
    }

    // MARK: - Habits and faults

    private func publishLater(_ client: SimulatedClient) {
        schedule(after: random.duration(milliseconds: client.habits.publishesEvery)) {
            guard self.phase != .drain else { return }
            let burst = self.random.once(in: 5) ? Int.random(in: 2...6, using: &self.random) : 1
            for _ in 0..<burst { client.publish() }
            self.publishLater(client)
        }
    }

    /// Somebody publishes by HTTP, now and then.
    private func publishByGateway() {
        schedule(after: random.duration(milliseconds: 50...2_000)) {
            guard self.phase != .drain else { return }
            let node = Int.random(in: 0..<self.nodes.count, using: &self.random)
            let topic = MQTTString("a/\(Int.random(in: 0..<3, using: &self.random))")
            let number = self.ledger.publish(byGatewayOf: node, topic, .atLeastOnce, at: self.clock)
            self.nodes[node].publish(number, self.ledger.published[number])
            self.publishByGateway()
        }
    }

    private func leaveLater(_ client: SimulatedClient) {
        let interval = client.habits.leavesEvery ?? 1_000
        schedule(after: random.duration(milliseconds: interval / 2...interval * 2)) {
            guard self.phase == .chaos else { return }
            switch Int.random(in: 0..<4, using: &self.random) {
            case 0...1: client.leave(politely: true)
            case 2: client.leave(politely: false)
            default: client.abandon()
            }
            self.leaveLater(client)
        }
    }

    private func churnLater(_ client: SimulatedClient) {
        schedule(after: random.duration(milliseconds: 1_000...6_000)) {
            guard self.phase == .chaos else { return }
            client.churn()
            self.churnLater(client)
        }
    }

    private func perform(_ fault: FaultPlan.Fault) {
        guard phase == .chaos else { return }
        trace("fault: \(fault)")
        switch fault {
        case .crash(let node, let down):
            nodes[node].crash()
            schedule(after: down) { self.nodes[node].start() }
        case .crashWithin(let node, let steps, let down):
            nodes[node].crash(within: steps) {
                // On a quiet site it may come long after the others.
                self.lastFaultEnds = max(self.lastFaultEnds, self.clock + down.nanoseconds)
                self.schedule(after: down) { self.nodes[node].start() }
            }
        case .cut(let client): clients[client].currentLine?.cut()
        case .halfOpen(let client): clients[client].currentLine?.goHalfOpen()
        case .stall(let client, let lasting): stall(clients[client].currentLine, from: .listener, lasting)
        case .cutLink(let node): nodes[node].linkLine?.cut()
        case .halfOpenLink(let node): nodes[node].linkLine?.goHalfOpen()
        case .stallLink(let node, let lasting): stall(nodes[node].linkLine, from: .dialer, lasting)
        case .slowSpool(let node, let lasting):
            nodes[node].spool.isSlow = true
            schedule(after: lasting) { self.nodes[node].spool.isSlow = false }
        case .failWrites(let node, let count): nodes[node].spool.failures += count
        case .sickSpool(let node, let lasting):
            nodes[node].spool.becomeSick(true)
            schedule(after: lasting) { self.nodes[node].spool.becomeSick(false) }
        case .fullSpool(let node, let lasting):
            nodes[node].spool.becomeFull(true)
            schedule(after: lasting) { self.nodes[node].spool.becomeFull(false) }
        case .forgetLink(let node):
            upstreamForgot = true
            nodes[node + 1].forget(client: MQTTString("link-\(node)"))
        case .wallJump(let milliseconds): wallOffset += milliseconds * 1_000
        }
    }

    private func stall(_ line: Line?, from side: Line.Side, _ lasting: Duration) {
        guard let line else { return }
        line.stall(from: side, true)
        schedule(after: lasting) { line.stall(from: side, false) }
    }

    private func endChaos() {
        trace("nothing breaks any more")
        phase = .calm
        for node in nodes {
            node.spool.isSlow = false
            node.spool.failures = 0
            node.spool.becomeSick(false)
            node.spool.becomeFull(false)
            node.start()
        }
    }

    // MARK: - The end

    /// A client that does not read, or whose line is half open, has nothing to say and looks settled: what waits for it
    /// has not had its chance.
    private var isQuiet: Bool {
        clients.allSatisfy { $0.isSettled && $0.currentLine?.isSound == true }
            && nodes.allSatisfy { node in
                node.spool.isIdle && !node.spool.store.hasLeftovers(excusesLinks: upstreamForgot)
                    && (node.shard?.links.allSatisfy { $0.state == .live } ?? false)
            }
    }

    private func judge() {
        for node in nodes {
            for left in node.spool.store.leftovers(excusesLinks: upstreamForgot) {
                fail("stuck in the spool of node \(node.index): \(left)")
            }
            for link in node.shard?.links ?? [] where link.state != .live {
                fail("the link of node \(node.index) is \(link.state) at the end")
            }
        }
        for client in clients where !client.isSettled { fail("stuck: \(client.state)") }
        let expectations = Expectations(self)
        for problem in NoAckedMessageLost.check(ledger, expectations) { fail(problem) }
        for problem in ExactlyOnce.check(ledger, expectations) { fail(problem) }
        for problem in OrderPerTopic.check(ledger, expectations) { fail(problem) }
        for problem in SharedOnce.check(self, expectations) { fail(problem) }
        for problem in RetainedAgree.check(self) { fail(problem) }
        for problem in LedgerClosed.check(self) { fail(problem) }
        for problem in NothingForbidden.check(self) { fail(problem) }
    }

    /// Everyone holds the simulation and what they talk to, since references that do not hold cost a run a sixth of its
    /// time: here they let go.
    private func tearDown() {
        queue.removeAll()
        for client in clients { client.tearDown() }
        for node in nodes { node.tearDown() }
        for line in lines { line.tearDown() }
        lines.removeAll()
        clients.removeAll()
        nodes.removeAll()
    }
}
