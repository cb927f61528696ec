/// When a link is to be connected.
package enum LinkStart: Sendable, Equatable {
    /// Always.
    case automatic
    /// While something waits to go out, and a while longer.
    case lazy
    /// Until a connection that was good has ended.
    case once
    /// When somebody says so.
    case manual
    /// Every day for some hours.
    case window(DailyWindow)

    /// For how long a lazy link has nothing to do before it hangs up.
    static let idleTime = Duration.seconds(60)
    /// How often a lazy link that rests looks whether something waits.
    static let lookEvery = Duration.seconds(1)
}

/// Some hours of every day, by the clock on the wall; over midnight when it ends before it begins.
package struct DailyWindow: Sendable, Equatable {
    /// Minutes since midnight; they differ.
    package let from: Int
    package let to: Int

    private static let day = 86_400

    package init(from: Int, to: Int) {
        self.from = from
        self.to = to
    }

    /// - Parameter second: of the day.
    package func contains(second: Int) -> Bool {
        let (start, end) = (from * 60, to * 60)
        return start < end ? second >= start && second < end : second >= start || second < end
    }

    /// Seconds until it opens, or closes if it is open; more than 0.
    package func untilChange(second: Int) -> Int {
        let change = (contains(second: second) ? to : from) * 60
        return change > second ? change - second : change - second + Self.day
    }
}
