import BrokerCore

/// The runs of several receivers that the next message for the same receivers joins. Those of one receiver are found in
/// its queue.
struct OpenRuns {
    private var runs: [Key: MessageRun] = [:]
    /// Those that were closed since they were packed last.
    private var closed: [MessageRun] = []

    func run(for deliveries: [Delivery]) -> MessageRun? {
        // Mostly it is the same array, which one look at it tells.
        guard let key = Key(deliveries), let run = runs[key], Self.hasSameReceivers(run, deliveries) else { return nil }
        run.deliveries = deliveries
        return run
    }

    private static func hasSameReceivers(_ run: MessageRun, _ deliveries: [Delivery]) -> Bool {
        run.deliveries == deliveries
            || zip(run.deliveries, deliveries).allSatisfy { $0.receiver == $1.receiver }
    }

    mutating func insert(_ run: MessageRun) {
        guard let key = Key(run.deliveries) else { return }
        if let other = runs.updateValue(run, forKey: key) { close(other) }
    }

    mutating func close(_ run: MessageRun) {
        if let key = Key(run.deliveries), runs[key] === run { runs[key] = nil }
        run.close()
        closed.append(run)
    }

    /// Nobody looks at the entries of a batch any more.
    mutating func packClosed() {
        for run in closed { run.pack() }
        closed.removeAll(keepingCapacity: true)
    }

    /// What is not among these, although it has several receivers, is closed as well: those that are missing may come.
    mutating func closeIfLong(_ run: MessageRun) {
        let isKnown = Key(run.deliveries).map { runs[$0] === run } ?? true
        if run.isLong || !isKnown { close(run) }
    }

    /// What two different sets of receivers seldom have in common.
    private struct Key: Hashable {
        var count: Int
        var first: ReceiverID
        var last: ReceiverID

        /// Nil for one receiver, whose run is found in its queue.
        init?(_ deliveries: [Delivery]) {
            guard deliveries.count > 1, let first = deliveries.first, let last = deliveries.last else { return nil }
            (count, self.first, self.last) = (deliveries.count, first.receiver, last.receiver)
        }
    }
}
