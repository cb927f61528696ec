/// How much of something happened a minute, over the last one, five and fifteen minutes: a mean that forgets the past
/// exponentially, as the load of a Unix machine does.
struct LoadAverage: Sendable {
    static let minutes = [1, 5, 15]

    private(set) var perMinute = [0.0, 0.0, 0.0]

    /// - Parameters:
    ///   - count: what happened since the last call.
    ///   - seconds: how long that was; nothing changes in no time.
    mutating func add(_ count: UInt64, in seconds: Double) {
        guard seconds > 0 else { return }
        let rate = Double(count) * 60 / seconds
        for (index, minutes) in Self.minutes.enumerated() {
            let kept = Self.remainder(after: seconds / Double(minutes * 60))
            perMinute[index] = perMinute[index] * kept + rate * (1 - kept)
        }
    }

    /// What is left of a value after `time` in units of its window: e to the power of -time, to three digits. The core
    /// has no library of functions, and these numbers are for people.
    private static func remainder(after time: Double) -> Double {
        var power = 1 / (1 + time / 4096)
        for _ in 0..<12 { power *= power }
        return power
    }
}
