import Foundation

/// When the next line of progress is due, and what it says.
struct ProgressTicker {
    private static let period: UInt64 = 1_000_000_000

    private let start: UInt64
    private var next: UInt64
    private var last = BenchCounters()
    private var lastTime: UInt64

    init() {
        start = BenchRun.now
        next = start + Self.period
        lastTime = start
    }

    var seconds: Int { Int((BenchRun.now - start) / Self.period) }

    var isDue: Bool {
        mutating get {
            let now = BenchRun.now
            guard now >= next else { return false }
            while next <= now { next += Self.period }
            return true
        }
    }

    mutating func line(_ counters: BenchCounters) -> String {
        let now = BenchRun.now
        let span = Double(now - lastTime) / 1e9
        var parts = ["\(seconds)s  connected \(counters.ready)"]
        func add(_ name: String, _ total: UInt64, _ before: UInt64) {
            guard total > 0, span > 0 else { return }
            parts.append("\(name) \(total) (\(String(format: "%.0f", Double(total - before) / span))/s)")
        }
        if counters.connects > UInt64(counters.ready) { add("connects", counters.connects, last.connects) }
        add("sent", counters.sent, last.sent)
        add("acknowledged", counters.acknowledged, last.acknowledged)
        add("received", counters.received, last.received)
        add("of others", counters.foreign, last.foreign)
        let faults = counters.duplicates + counters.reordered + counters.corrupted + counters.misplacedIDs
        if faults > 0 { parts.append("faults \(faults)") }
        if counters.dropped > 0 { parts.append("dropped \(counters.dropped)") }
        last = counters
        lastTime = now
        return parts.joined(separator: "  ")
    }
}
