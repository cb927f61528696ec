package import BrokerCore
package import MQTTCodec

/// The shape of a run. By default it follows from the seed, so that a seed alone repeats a run.
package struct SimulationOptions: Sendable {
    /// Nodes in a chain, each linked to the next.
    package var nodes = 1
    package var clients = 4
    /// Event loops of each node: with more than one, connections and the shard hear of each other late.
    package var loops = 1
    /// The highest QoS that clients publish and subscribe with.
    package var maximumQoS = QoS.exactlyOnce
    package var faults = 4...16
    /// How long things break, then how long all is well while clients go on publishing.
    package var chaosMilliseconds = 20_000
    package var calmMilliseconds = 3_000
    /// Virtual time in which everything has to drain once nobody publishes any more.
    package var drainMilliseconds = 180_000
    /// What every published message adds to that.
    package var drainMillisecondsEach = 500
    /// How long all has to stay quiet before a run is over.
    package var quietMilliseconds = 1_500
    /// With it a run has to fail.
    package var sabotage: Sabotage?
    /// A run ends with so many failures.
    package var failuresMax = 20
    /// What links speak; version 3.1.1 with the bridge bit.
    package var linkVersion = ProtocolVersion.v5
    /// Whether links ask again and again whether anything moves.
    package var hasProbes = false
    /// Messages that wait in the spool for one session; more, and the oldest go or the next are refused.
    package var spoolQueueMax = Int.max
    package var sessionsReject = false
    /// Messages that wait in the spool for a link; then the next are refused.
    package var linkQueueMax = Int.max
    /// How long messages wait in the spool for a session or a group.
    package var spoolAgeMax: Duration?
    package var hasWills = false
    package var hasExpiry = false
    package var deletesRetained = false
    package var hasNoLocal = false
    package var hasIdentifiers = false
    /// Clients that are members of a share group, and messages for it.
    package var hasShares = false
    /// An upstream that may lose the session of its link.
    package var upstreamForgets = false
    /// Links are believed to be links: their messages have marks, in version 5.
    package var hasMarks = false
    /// Links have a rule with a priority, a catch-up rate, and look at topics only: each or not.
    package var linkHasPriority = false
    package var linkCatchUpRate: Int?
    package var linkOrder = LinkSettings.QueueOrder.publisher
    /// The run stops after so many steps, and is judged by what happened until then.
    package var stepsMax: Int?
    /// Whether the report holds the lines of the trace and not only their digest.
    package var keepsTrace = false
    package var settings = BrokerSettings()

    package init() {
        settings.inflightMax = 8
        settings.linkInflightMax = 8
        settings.keepsLedger = true
    }

    /// None of the seeds of the regression list has several loops, or links with marks, with these, which would make
    /// other runs of them.
    private static let loopSalt: UInt64 = 0x1744
    private static let markSalt: UInt64 = 0x1C82
    /// None of them has probes.
    private static let probeSalt: UInt64 = 0x212_733A
    private static let laneSalt: UInt64 = 0x1A4E
    private static let narrowSalt: UInt64 = 0x4A22_0B1C

    package init(seed: UInt64) {
        self.init()
        var random = RandomSource(seed: seed ^ 0x5EED)
        nodes = Int.random(in: 1...3, using: &random)
        clients = Int.random(in: 2...6, using: &random)
        chaosMilliseconds = Int.random(in: 4_000...14_000, using: &random)
        calmMilliseconds = 1_500
        if random.once(in: 5) { quietMilliseconds = 45_000 }
        if random.once(in: 4) { maximumQoS = .atLeastOnce }
        if random.once(in: 4) { linkVersion = .v3_1_1 }
        settings.heldAnswersMax = Int.random(in: 1...40, using: &random)
        settings.inflightMax = Int.random(in: 1...16, using: &random)
        settings.linkInflightMax = settings.inflightMax
        settings.receiveMaximum = UInt16.random(in: 2...20, using: &random)
        settings.pageMessagesMax = Int.random(in: 1...20, using: &random)
        settings.linkPageMessagesMax = settings.pageMessagesMax
        if random.once(in: 6) { spoolQueueMax = Int.random(in: 1...30, using: &random) }
        if random.once(in: 5) { settings.queueMessagesMax = Int.random(in: 1...20, using: &random) }
        if random.once(in: 8) { settings.queueBytesMax = Int.random(in: 10...100, using: &random) }
        hasWills = random.once(in: 2)
        hasExpiry = random.once(in: 3)
        deletesRetained = random.once(in: 3)
        hasNoLocal = random.once(in: 3)
        hasIdentifiers = random.once(in: 3)
        upstreamForgets = random.once(in: 6)
        sessionsReject = random.once(in: 3)
        // Every refusal over a link costs a back-off.
        if sessionsReject { drainMillisecondsEach = 3_000 }
        if random.once(in: 5) { linkQueueMax = Int.random(in: 1...30, using: &random) }
        // With dice of their own, which leave the seeds of the regression list as they were.
        var sharing = RandomSource(seed: seed ^ 0x5A49)
        hasShares = sharing.once(in: 4)
        if hasShares, sharing.once(in: 2) { settings.sharedOrder = .publisher }
        var marking = RandomSource(seed: seed ^ Self.markSalt)
        hasMarks = marking.once(in: 3)
        var looping = RandomSource(seed: seed ^ Self.loopSalt)
        if looping.once(in: 4) { loops = Int.random(in: 2...4, using: &looping) }
        var probing = RandomSource(seed: seed ^ Self.probeSalt)
        hasProbes = probing.once(in: 2)
        var lanes = RandomSource(seed: seed ^ Self.laneSalt)
        if lanes.once(in: 3) {
            linkHasPriority = lanes.once(in: 2)
            if lanes.once(in: 2) { linkCatchUpRate = Int.random(in: 5...500, using: &lanes) }
            if lanes.once(in: 2) { linkOrder = .topic }
        }
        var narrow = RandomSource(seed: seed ^ Self.narrowSalt)
        if narrow.once(in: 3) { settings.linkLanes = .narrow(&narrow) }
        // No seed of that list is among those where messages grow too old.
        var aging = RandomSource(seed: seed ^ 0xA6E8)
        guard aging.once(in: 8) else { return }
        if !aging.once(in: 3) { spoolAgeMax = aging.duration(milliseconds: 500...10_000) }
        if !aging.once(in: 3) { settings.queueAgeMax = aging.duration(milliseconds: 200...5_000) }
    }
}

extension LaneLimits {
    /// So little that a few messages reach each of them.
    fileprivate static func narrow(_ random: inout RandomSource) -> LaneLimits {
        var limits = LaneLimits()
        limits.live = Int.random(in: 1...8, using: &random)
        limits.light = Int.random(in: 0...12, using: &random)
        limits.list = Int.random(in: 0...20, using: &random)
        limits.listed = Int.random(in: 1...5, using: &random)
        if random.once(in: 2) { limits.liveBytes = Int.random(in: 1...200, using: &random) }
        if random.once(in: 3) { limits.keys = Int.random(in: 1...10, using: &random) }
        if random.once(in: 3) { limits.goneAhead = Int.random(in: 0...20, using: &random) }
        return limits
    }
}
