import BrokerCore

/// The same numbers from the same seed on every machine, so that a failure can be repeated.
package struct SeededGenerator: RandomNumberGenerator {
    private var source: RandomSource

    package init(seed: UInt64) { source = RandomSource(seed: seed) }

    package mutating func next() -> UInt64 { source.next() }
    /// 0 when the bound is 0.
    package mutating func below(_ bound: Int) -> Int { bound == 0 ? 0 : Int(next() % UInt64(bound)) }
    package mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
    /// True once in `n`.
    package mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
}
