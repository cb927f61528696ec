/// What became of a run.
package struct SimulationReport: Sendable, CustomStringConvertible {
    package let seed: UInt64
    package let steps: Int
    /// True when the run ended half way because it was asked to: nothing is said about what was still to come.
    package let wasStopped: Bool
    package let digest: UInt64
    package let failures: [String]
    package let published: Int
    package let arrived: Int
    /// Messages that all of their receivers acknowledged before they were written: no row ever had them.
    package let elided: Int
    package let virtualMilliseconds: UInt64
    /// Of all nodes together.
    package let ledger: LedgerSum
    package let plan: String
    package let cast: String
    package let trace: Trace

    private var verdict: String {
        if !failures.isEmpty { return failures.count == 1 ? "1 failure" : "\(failures.count) failures" }
        return wasStopped ? "no promise broken so far" : "all promises held"
    }

    /// The failures, who took part, what broke, and the command that repeats the run.
    package var description: String {
        var lines = [
            "seed \(seed): \(verdict), \(published) messages published, \(arrived) arrivals, \(elided) elided, "
                + "\(virtualMilliseconds) ms of virtual time in \(steps) steps, digest \(String(digest, radix: 16))"
        ]
        lines.append("  \(ledger)")
        lines += failures.map { "  " + $0 }
        lines += ["  who took part:", cast, "  what broke:", plan]
        let limit = wasStopped ? " --steps \(steps)" : ""
        lines.append("  repeat with: drawbridge simulate --seed \(seed)\(limit) --trace")
        return lines.joined(separator: "\n")
    }
}
