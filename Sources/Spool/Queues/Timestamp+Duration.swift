import BrokerCore

extension Timestamp {
    /// The timestamp so much before; saturates.
    func earlier(by duration: Duration) -> Timestamp {
        let back = duration.microseconds
        return Timestamp(microseconds: microseconds > back ? microseconds - back : 0)
    }

    /// The timestamp so much later; saturates.
    func later(by duration: Duration) -> Timestamp {
        let (sum, overflow) = microseconds.addingReportingOverflow(duration.microseconds)
        return Timestamp(microseconds: overflow ? .max : sum)
    }
}

extension Duration {
    /// Whole microseconds; none of a negative duration.
    var microseconds: UInt64 {
        guard self > .zero else { return 0 }
        let (whole, overflow) = UInt64(clamping: components.seconds).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? .max : whole &+ UInt64(clamping: components.attoseconds / 1_000_000_000_000)
    }
}
