/// How fast clients connect: a number of them each second, or a number of them at a time.
struct ConnectPace {
    /// Clients a second on this loop, a millionth at least (`BenchArguments` sees to it); nil: as fast as they are
    /// answered.
    let rate: Double?
    /// Clients that may be connecting at once.
    let concurrentMax: Int

    private var start: UInt64 = 0
    private var begun: UInt64 = 0

    init(rate: Double?, concurrentMax: Int) {
        self.rate = rate
        self.concurrentMax = max(1, concurrentMax)
    }

    mutating func start(now: UInt64) {
        start = now
        begun = 0
    }

    /// When the next client should connect, if it may already.
    ///
    /// - Parameter connecting: clients that are connecting now; with a rate they keep nobody from coming.
    mutating func next(now: UInt64, connecting: Int) -> UInt64? {
        guard let rate else { return connecting < concurrentMax ? now : nil }
        let due = start + UInt64(Double(begun) * 1e9 / rate)
        guard due <= now else { return nil }
        begun += 1
        return due
    }

    /// When to look again; nil when an answer will say so.
    var wake: UInt64? { rate.map { start + UInt64(Double(begun) * 1e9 / $0) } }
}
