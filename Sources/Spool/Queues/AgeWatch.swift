import BrokerCore

/// Which messages are older than their queues keep them, and when to look for those.
struct AgeWatch {
    /// The shortest and the longest time that a queue keeps messages; nil when none looks at their age.
    private var ages: ClosedRange<Duration>?
    private var arrivals = ArrivalTimes()
    /// When all queues are looked at.
    private var nextSweep = Timestamp(microseconds: 0)

    init(_ ages: ClosedRange<Duration>?) { set(ages) }

    mutating func set(_ ages: ClosedRange<Duration>?) {
        self.ages = ages
        arrivals.grain = sweepInterval
        nextSweep = Timestamp(microseconds: 0)
    }

    /// Everything below a position has come by now.
    mutating func note(_ position: UInt64, at time: Timestamp) { arrivals.note(position, at: time) }

    /// Nil when no queue looks at the age of its messages.
    mutating func cutoff(at now: Timestamp) -> Cutoff? {
        guard let ages else { return nil }
        arrivals.forget(before: now.earlier(by: ages.upperBound))
        return Cutoff(arrivals, now)
    }

    // MARK: Looks at all queues

    /// How far apart two of them are: a small part of the shortest bound.
    private var sweepInterval: UInt64 {
        guard let shortest = ages?.lowerBound else { return 60_000_000 }
        return min(max(shortest.microseconds / 32, 50_000), 60_000_000)
    }

    /// How long until the next; nil when there is none.
    func untilSweep(at now: Timestamp) -> Duration? {
        guard ages != nil else { return nil }
        return nextSweep > now ? .microseconds(nextSweep.microseconds - now.microseconds) : .zero
    }

    /// True when it is time for one, which is taken to be done.
    mutating func beginsSweep(at now: Timestamp) -> Bool {
        guard nextSweep <= now else { return false }
        nextSweep = Timestamp(microseconds: now.microseconds + sweepInterval)
        return true
    }

    /// It left something.
    mutating func sweepAgain(at now: Timestamp) { nextSweep = now }

    /// Below which position messages are too old for a queue; asked for one queue after the other, most of which have
    /// the same bound.
    struct Cutoff {
        private let arrivals: ArrivalTimes
        private let now: Timestamp
        private var known: (age: Duration, position: UInt64)?

        fileprivate init(_ arrivals: ArrivalTimes, _ now: Timestamp) {
            self.arrivals = arrivals
            self.now = now
        }

        mutating func position(for queue: ReceiverQueue) -> UInt64 {
            guard let age = queue.bounds.ageMax else { return 0 }
            if let known, known.age == age { return known.position }
            let position = arrivals.position(by: now.earlier(by: age))
            known = (age, position)
            return position
        }
    }
}
