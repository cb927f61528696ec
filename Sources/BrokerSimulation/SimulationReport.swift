/// What became of a run.
package struct SimulationReport: Sendable, CustomStringConvertible {
    package let seed: UInt64
    package let digest: UInt64
    package let failures: [String]
    package let published: Int
    package let arrived: Int
    package let virtualMilliseconds: UInt64
    package let plan: String
    package let cast: String
    package let trace: Trace

    /// The failures, who took part, what broke, and the command that repeats the run.
    package var description: String {
        """
        seed \(seed): \(failures.isEmpty ? "all promises held" : "\(failures.count) failures"), \
        \(published) messages published, \(arrived) arrivals, \(virtualMilliseconds) ms of virtual time, \
        digest \(String(digest, radix: 16))
        \(failures.map { "  " + $0 }.joined(separator: "\n"))
          who took part:
        \(cast)
          what broke:
        \(plan)
          repeat with: DRAWBRIDGE_SEED=\(seed) swift test --filter FixedSeeds
        """
    }
}
