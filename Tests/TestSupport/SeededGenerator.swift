/// SplitMix64: the same numbers from the same seed on every machine, so that a failure can be repeated.
package struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// 0 when the bound is 0.
    package mutating func below(_ bound: Int) -> Int { bound == 0 ? 0 : Int(next() % UInt64(bound)) }
    package mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
    /// True once in `n`.
    package mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
}
