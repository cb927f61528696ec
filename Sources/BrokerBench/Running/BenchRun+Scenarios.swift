import BrokerServer
import MQTTCodec
import NIOCore

extension BenchRun {
    // MARK: - Publishers and subscribers

    /// sub, pub, pair, fanin, fanout, chat.
    func exchange(_ loops: BenchLoops) async throws -> BenchReport {
        var report = BenchReport(settings)
        try await cast(loops, &report)
        let begun = Self.now
        guard try await connect(loops, plan.roles.count, { _ in true }) else {
            return try await interrupted(loops, report)
        }
        report.setUpSeconds = Double(Self.now - begun) / 1e9

        var ticker = ProgressTicker()
        // A moment ahead, so that all loops begin before the first message is due.
        let start = Self.now + 5_000_000
        let schedule = settings.rate.map { SendSchedule(start: start, rate: $0, publishers: max(1, plan.publishers)) }
        report.rate = plan.publishers > 0 ? settings.rate : nil
        report.window = schedule == nil && plan.publishers > 0 && plan.copies > 0 ? settings.window : nil
        let isBoundByAcknowledgements = schedule == nil && settings.scenario == .pub && settings.qos != .atMostOnce
        report.inflight = isBoundByAcknowledgements ? settings.inflight : nil
        if settings.warmUp == .zero { try await loops.each { $0.measure(0..<UInt64.max) } }
        let beginning = try await read(loops)
        report.connected = Int(beginning.counters.connects)
        try await loops.each { $0.start(schedule) }
        var first = beginning
        if settings.warmUp > .zero {
            _ = try await wait(loops, settings.warmUp, &ticker)
            first = try await read(loops)
            let time = first.time
            try await loops.each { $0.measure(time..<UInt64.max) }
        }
        let hasLimit = settings.limit != nil && plan.publishers > 0
        let copies = UInt64(plan.copies)
        // What is limited is measured to its last delivery; what never comes must not keep it from ending.
        let patience = Patience(seconds: settings.patience / .seconds(1))
        let longPatience = Patience(seconds: self.longPatience)
        let residentMax = try await wait(loops, settings.duration, &ticker) { snapshot in
            let isStuck = longPatience.isOver(progress: snapshot.counters.progress)
            let isOverdue = patience.isOver(progress: snapshot.counters.progress) && snapshot.isDone
            return hasLimit && (Self.isComplete(snapshot, copies: copies) || isStuck || isOverdue)
        }
        let last = try await read(loops)
        let end = last.time
        let from = settings.warmUp > .zero ? first.time : 0
        try await loops.each { loop in
            if !hasLimit { loop.measure(from..<max(from, end)) }
            loop.stop()
        }
        if schedule != nil, plan.publishers > 0 { report.overdue = try await loops.each { $0.overdue }.reduce(0, +) }
        if plan.publishers > 0 {
            report.drainSeconds = try await drain(loops, &ticker) {
                Self.isComplete($0, copies: copies, needsAll: false)
            }
        }
        report.measured(from: first, to: last, residentMax: residentMax, copies: plan.copies)
        try await finish(loops, &report)
        return report
    }

    /// How long nothing may move while publishers have not sent all: a rate may be slow, and windows stand still for a
    /// second when something is lost.
    private var longPatience: Double {
        max(5, settings.patience / .seconds(1), settings.rate.map { 3 / $0 } ?? 0)
    }

    private static func isComplete(_ snapshot: BenchSnapshot, copies: UInt64, needsAll: Bool = true) -> Bool {
        (snapshot.isDone || !needsAll) && snapshot.isSettled
            && snapshot.counters.received >= snapshot.counters.sent * copies
    }

    // MARK: - Connections

    /// conn: clients that come, and stay.
    func hold(_ loops: BenchLoops) async throws -> BenchReport {
        var report = BenchReport(settings)
        try await cast(loops, &report)
        let before = try await read(loops)
        report.wasSetUp = try await connect(loops, plan.roles.count, needed: .somebody) { _ in true }
        let connected = try await read(loops)
        report.connected = Int(connected.counters.connects)
        report.setUpSeconds = connected.seconds(since: before)
        report.connectsPerSecond = Double(connected.counters.connects) / max(1e-9, report.setUpSeconds)
        var ticker = ProgressTicker()
        let residentMax = try await wait(loops, settings.duration, &ticker)
        let last = try await read(loops)
        report.measured(from: before, to: last, residentMax: residentMax, copies: 0)
        report.setConnections(before: before, connected: connected)
        try await finish(loops, &report)
        return report
    }

    /// conn --churn: clients that come, leave, and come again.
    func churn(_ loops: BenchLoops) async throws -> BenchReport {
        var report = BenchReport(settings)
        try await cast(loops, &report)
        var ticker = ProgressTicker()
        try await loops.each { $0.start(nil) }
        _ = try await wait(loops, settings.warmUp, &ticker)
        let first = try await read(loops)
        let start = first.time
        try await loops.each { $0.measure(start..<UInt64.max) }
        let residentMax = try await wait(loops, settings.duration, &ticker)
        let last = try await read(loops)
        try await loops.each { $0.stop() }
        report.measured(from: first, to: last, residentMax: residentMax, copies: 0)
        let connects = Double(last.counters.connects - first.counters.connects)
        report.connectsPerSecond = connects / max(1e-9, report.seconds)
        if connects > 0, let seconds = report.broker?.cpuSeconds {
            report.broker?.cpuMicrosPerConnect = seconds / connects * 1e6
        }
        if last.counters.connects == 0 {
            throw BenchProblem("nobody connected: \(last.snapshot.firstFailure ?? "no answer")")
        }
        // They come and go: how many of them have come at all.
        report.connected = min(plan.roles.count, Int(last.counters.connects))
        try await finish(loops, &report)
        return report
    }

    /// idle: clients that wait, and at the end hear one message each.
    func idle(_ loops: BenchLoops) async throws -> BenchReport {
        var report = BenchReport(settings)
        try await cast(loops, &report)
        let before = try await read(loops)
        let begun = Self.now
        guard try await connect(loops, plan.roles.count, { _ in true }) else {
            return try await interrupted(loops, report)
        }
        report.setUpSeconds = Double(Self.now - begun) / 1e9
        let connected = try await read(loops)
        report.connected = Int(connected.counters.connects)
        report.connectsPerSecond = Double(connected.counters.connects) / max(1e-9, report.setUpSeconds)
        var ticker = ProgressTicker()
        let residentMax = try await wait(loops, settings.duration, &ticker)
        let held = try await read(loops)
        report.measured(from: connected, to: held, residentMax: residentMax, copies: 0)
        report.setConnections(before: before, connected: held)

        // Whoever ends the waiting wants to know what the connections are worth all the same.
        let probes = try plan.probes()
        let topics = settings.topics
        try await loops.each { $0.cast(probes, limit: topics, subscribesAlways: true) }
        try await connect(loops, topics, needed: .whoever) { $0.topic != nil }
        try await loops.each { bench in
            bench.measure(0..<UInt64.max)
            bench.start(nil)
        }
        let wanted = UInt64(settings.count)
        try await drain(loops, &ticker) { $0.counters.received >= wanted && $0.isSettled }
        try await finish(loops, &report)
        return report
    }

    // MARK: - Sessions

    /// backlog: messages wait for clients that are away.
    func backlog(_ loops: BenchLoops) async throws -> BenchReport {
        var report = BenchReport(settings)
        try await cast(loops, &report, subscribesAlways: false)
        let isSubscriber: @Sendable (BenchPlan.Role) -> Bool = { $0.filter != nil }
        let isPublisher: @Sendable (BenchPlan.Role) -> Bool = { $0.topic != nil }
        let begun = Self.now
        guard try await connect(loops, settings.count, isSubscriber) else {
            return try await interrupted(loops, report)
        }
        try await leave(loops, isSubscriber)
        try await loops.each { $0.prepare(isClean: true, isPublisher) }
        guard try await connect(loops, settings.count, isPublisher) else {
            return try await interrupted(loops, report)
        }
        report.setUpSeconds = Double(Self.now - begun) / 1e9

        var ticker = ProgressTicker()
        let empty = try await read(loops)
        report.connected = Int(empty.counters.connects)
        try await loops.each { $0.start(nil) }
        let patience = Patience(seconds: longPatience)
        let residentMax = try await wait(loops, nil, &ticker) { snapshot in
            snapshot.isDone && snapshot.isSettled || patience.isOver(progress: snapshot.counters.progress)
        }
        var full = try await read(loops)
        full.end(at: full.snapshot.lastAcknowledged)
        try await loops.each { $0.stop() }
        report.measured(from: empty, to: full, residentMax: residentMax, copies: 0)
        report.fillSeconds = report.seconds
        report.fillPerSecond = report.sentPerSecond
        report.brokerFilling = report.broker
        if let before = empty.broker, let after = full.broker, full.counters.sent > 0 {
            let bytes = Double(after.residentBytes - before.residentBytes)
            report.brokerFilling?.residentBytesPerQueued = bytes / Double(full.counters.sent)
        }

        let presentBefore = full.counters.sessionsPresent
        let absent = try await read(loops)
        try await loops.each { $0.measure(0..<UInt64.max) }
        try await connect(loops, settings.count, needed: .whoever, isSubscriber)
        let wanted = full.counters.sent
        try await drain(loops, &ticker) { $0.counters.received >= wanted }
        // From when they come back, for the first messages come before the last client, to the last message.
        var drained = try await read(loops)
        drained.end(at: drained.snapshot.lastReceived)
        report.measured(from: absent, to: drained, residentMax: residentMax, copies: 1)
        report.drainSeconds = report.seconds
        report.drainPerSecond = report.receivedPerSecond
        report.sentPerSecond = nil
        report.sessionsPresent = drained.counters.sessionsPresent - presentBefore
        try await finish(loops, &report)
        // Nothing stays behind.
        try await loops.each { $0.prepare(isClean: true, isSubscriber) }
        try await connect(loops, settings.count, needed: .whoever, isSubscriber)
        try await leave(loops)
        return report
    }

    // MARK: - Beginning and end

    private func cast(_ loops: BenchLoops, _ report: inout BenchReport, subscribesAlways: Bool = true) async throws {
        let plan = self.plan
        let limit = settings.limit
        try await loops.each { $0.cast(plan, limit: limit, subscribesAlways: subscribesAlways) }
        report.connections = plan.roles.count
        report.publishers = plan.publishers
        report.subscribers = plan.roles.count { $0.filter != nil }
    }

    /// All that there is to say before anybody has sent anything.
    private func interrupted(_ loops: BenchLoops, _ report: BenchReport) async throws -> BenchReport {
        var report = report
        report.wasSetUp = false
        let counters = try await loops.snapshot().counters
        report.connected = Int(counters.connects)
        try await finish(loops, &report)
        return report
    }

    private func finish(_ loops: BenchLoops, _ report: inout BenchReport) async throws {
        let final = try await loops.snapshot()
        var latency = LatencyHistogram()
        var connecting = LatencyHistogram()
        var delayMax: UInt64 = 0
        for part in try await loops.each({ $0.histograms() }) {
            latency.merge(part.latency)
            connecting.merge(part.connecting)
            delayMax = max(delayMax, part.sendDelayMax)
        }
        report.latencyMicros = BenchReport.Latency(latency)
        report.connectMicros = BenchReport.Latency(connecting)
        report.sendDelayMaxMicros = report.rate == nil ? nil : Double(delayMax / 100) / 10
        report.lost = try await loops.lost()
        report.wasInterrupted = interruption.isInterrupted
        report.counted(final)
        if let limit = settings.limit, plan.publishers > 0, !report.wasInterrupted, settings.duration == nil {
            report.unsent = UInt64(limit) - min(UInt64(limit), report.sent)
        }
        try await leave(loops)
    }
}

extension BenchReport {
    /// What happened between two readings.
    mutating func measured(from first: Reading, to last: Reading, residentMax: Int, copies: Int) {
        seconds = last.seconds(since: first)
        guard seconds > 0 else { return }
        let sentCount = last.counters.sent - first.counters.sent
        let received = last.counters.received - first.counters.received
        // What is of others is not counted as received, and costs the broker as much.
        let heard = received + last.counters.foreign - first.counters.foreign
        if publishers > 0 { sentPerSecond = Double(sentCount) / seconds }
        if subscribers > 0 { receivedPerSecond = Double(received) / seconds }
        megabytesInPerSecond = Double(last.counters.bytesRead - first.counters.bytesRead) / 1e6 / seconds
        megabytesOutPerSecond = Double(last.counters.bytesWritten - first.counters.bytesWritten) / 1e6 / seconds
        generatorUtilisation = (last.ownCPUSeconds - first.ownCPUSeconds) / seconds / Double(threads)
        let reads = last.counters.reads - first.counters.reads
        if heard > 0, reads > 0 { messagesPerRead = Double(heard) / Double(reads) }
        guard let before = first.broker, let after = last.broker else { return }
        let cpu = after.cpuSeconds - before.cpuSeconds
        let messages = subscribers > 0 && (copies > 0 || publishers == 0) ? heard : sentCount
        broker = Broker(
            cpuSeconds: cpu,
            cores: cpu / seconds,
            cpuSecondsPerMillion: messages > 0 ? cpu / Double(messages) * 1e6 : nil,
            residentBytesMax: max(residentMax, after.residentBytes)
        )
    }

    /// What connections cost the broker.
    mutating func setConnections(before: Reading, connected: Reading) {
        guard let first = before.broker, let last = connected.broker, connected.counters.ready > 0 else { return }
        let count = Double(connected.counters.ready)
        broker?.residentBytesPerConnection = Double(last.residentBytes - first.residentBytes) / count
        broker?.cpuMicrosPerConnect = (last.cpuSeconds - first.cpuSeconds) / count * 1e6
    }

    /// The whole run.
    mutating func counted(_ snapshot: BenchSnapshot) {
        let counters = snapshot.counters
        failed = counters.failed
        dropped = counters.dropped
        sent = counters.sent
        acknowledged = counters.acknowledged
        unacknowledged = qos > 0 ? counters.sent - min(counters.sent, counters.acknowledged) : 0
        rejected = counters.rejected
        received = counters.received
        duplicates = counters.duplicates
        reordered = counters.reordered
        corrupted = counters.corrupted
        foreign = counters.foreign
        misplacedIds = counters.misplacedIDs
        stalls = counters.stalls
        firstFailure = snapshot.firstFailure
    }
}
