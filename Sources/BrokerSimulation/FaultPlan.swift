import BrokerCore

/// What breaks and when: made from the seed before the run begins, and printed as text with every failure.
package struct FaultPlan: Sendable, CustomStringConvertible {
    enum Fault: Sendable {
        /// The process ends at once; what was not committed is forgotten.
        case crash(node: Int, down: Duration)
        /// The same, in the middle of a turn: so many steps of the runner later.
        case crashWithin(node: Int, steps: Int, down: Duration)
        /// The client's network connection ends in the middle of whatever is under way.
        case cut(client: Int)
        /// Bytes vanish in both directions and nobody is told.
        case halfOpen(client: Int)
        /// The client does not read for a while.
        case stall(client: Int, lasting: Duration)
        case cutLink(node: Int)
        case halfOpenLink(node: Int)
        case stallLink(node: Int, lasting: Duration)
        /// Commits take long.
        case slowSpool(node: Int, lasting: Duration)
        /// The next commits fail and are tried again.
        case failWrites(node: Int, count: Int)
        /// Commits fail for a while; from its beginning on nothing new is taken.
        case sickSpool(node: Int, lasting: Duration)
        /// The spool has no room for a while: it commits, and nothing new is taken.
        case fullSpool(node: Int, lasting: Duration)
        /// The upstream of this node loses the session of its link.
        case forgetLink(node: Int)
        /// The wall clock jumps against the monotonic one.
        case wallJump(milliseconds: Int64)
    }

    struct Entry: Sendable {
        let at: Duration
        let fault: Fault
    }

    let entries: [Entry]

    init(_ options: SimulationOptions, _ random: inout RandomSource) {
        var entries: [Entry] = []
        let count = Int.random(in: options.faults, using: &random)
        for _ in 0..<count {
            let at = random.duration(milliseconds: 500...max(501, options.chaosMilliseconds))
            let client = Int.random(in: 0..<options.clients, using: &random)
            let node = Int.random(in: 0..<options.nodes, using: &random)
            let hasLinks = options.nodes > 1
            let link = Int.random(in: 0..<max(1, options.nodes - 1), using: &random)
            let short = random.duration(milliseconds: 100...8_000)
            let fault: Fault =
                switch Int.random(in: 0..<25, using: &random) {
                case 0...2: .crash(node: node, down: short)
                case 3...6: .crashWithin(node: node, steps: Int.random(in: 1...60, using: &random), down: short)
                case 7...9: .cut(client: client)
                case 10: .halfOpen(client: client)
                case 11...12: .stall(client: client, lasting: short)
                case 13...14: hasLinks ? .cutLink(node: link) : .cut(client: client)
                case 15: hasLinks ? .halfOpenLink(node: link) : .crash(node: node, down: short)
                case 16: hasLinks ? .stallLink(node: link, lasting: short) : .stall(client: client, lasting: short)
                case 17...18: .slowSpool(node: node, lasting: short)
                case 19...20: .failWrites(node: node, count: Int.random(in: 1...4, using: &random))
                case 21: .sickSpool(node: node, lasting: short)
                case 22: .fullSpool(node: node, lasting: short)
                case 23:
                    options.upstreamForgets && hasLinks
                        ? .forgetLink(node: link) : .failWrites(node: node, count: 1)
                default: .wallJump(milliseconds: Int64.random(in: -300_000...300_000, using: &random))
                }
            entries.append(Entry(at: at, fault: fault))
        }
        self.entries = entries.sorted { $0.at < $1.at }
    }

    package var description: String {
        entries.map { "    at \($0.at): \($0.fault)" }.joined(separator: "\n")
    }
}

extension RandomSource {
    /// A duration in whole microseconds.
    mutating func duration(milliseconds range: ClosedRange<Int>) -> Duration {
        .microseconds(Int.random(in: range.lowerBound * 1000...range.upperBound * 1000, using: &self))
    }

    /// True once in `count` times.
    mutating func once(in count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
}
