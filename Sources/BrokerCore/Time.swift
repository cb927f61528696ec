/// A point on the monotonic clock, in nanoseconds. Timers, keep-alive and back-off run on it. Always an argument: the
/// core never asks for the time.
package struct Instant: Sendable, Hashable, Comparable {
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The instant `duration` later; saturates instead of trapping. A negative duration counts as zero.
    package func advanced(by duration: Duration) -> Instant {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return self }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return Instant(nanoseconds: .max) }
        let (sum, more) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        let (result, beyond) = nanoseconds.addingReportingOverflow(sum)
        return Instant(nanoseconds: more || beyond ? .max : result)
    }

    /// Time from an earlier instant to this one; zero when `earlier` is not earlier.
    package func since(_ earlier: Instant) -> Duration {
        .nanoseconds(Int64(clamping: nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0))
    }
}

/// A point on the wall clock, in microseconds since 1970. Only for what must outlive the process: expiry and ids.
package struct Timestamp: Sendable, Hashable, Comparable {
    package let microseconds: UInt64

    package init(microseconds: UInt64) { self.microseconds = microseconds }

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

    /// The timestamp `seconds` later; saturates.
    package func advanced(bySeconds seconds: UInt32) -> Timestamp {
        let (sum, overflow) = microseconds.addingReportingOverflow(UInt64(seconds) * 1_000_000)
        return Timestamp(microseconds: overflow ? .max : sum)
    }
}

/// The time of one turn on both clocks.
package struct Now: Sendable {
    package var instant: Instant
    package var wall: Timestamp

    package init(instant: Instant, wall: Timestamp) {
        self.instant = instant
        self.wall = wall
    }
}
