import BrokerCore

/// Letting go of what is too old.
extension QueueIndex {
    /// As many go with one batch, so that nobody waits for the commit of a queue that was forgotten for a month.
    private static let agedMax = 10_000

    /// How long until all queues have to be looked at; nil while there is nothing to find.
    func untilSweep(at now: Timestamp) -> Duration? { open.messages > 0 ? ages.untilSweep(at: now) : nil }

    /// Queues that somebody reads or writes are looked at with each batch, all others once in a while.
    mutating func giveUpAged(
        _ appends: [SpoolAppend],
        below cutoff: inout AgeWatch.Cutoff,
        at now: Timestamp,
        _ changes: inout BatchChanges
    ) {
        var left = Self.agedMax
        for append in appends {
            for load in append.loads {
                guard let queue = queues[load.receiver] else { continue }
                giveUpAged(in: queue, below: cutoff.position(for: queue), &left, &changes)
            }
        }
        for queue in changes.touched { giveUpAged(in: queue, below: cutoff.position(for: queue), &left, &changes) }
        guard ages.beginsSweep(at: now) else { return }
        let old = queues.values.filter { $0.hasWaiting(below: cutoff.position(for: $0)) }
        for queue in old.sorted(by: { $0.receiver < $1.receiver }) {
            giveUpAged(in: queue, below: cutoff.position(for: queue), &left, &changes)
        }
        if left == 0 { ages.sweepAgain(at: now) }
    }

    private mutating func giveUpAged(
        in queue: ReceiverQueue,
        below position: UInt64,
        _ left: inout Int,
        _ changes: inout BatchChanges
    ) {
        guard left > 0 else { return }
        let places = queue.takeAged(below: position, atMost: left)
        guard !places.isEmpty else { return }
        left -= places.count
        for place in places { finish(place, for: queue, &changes) }
        queue.dropped(.aged, places.count)
        changes.touch(queue)
        changes.dropped(queue.receiver, messages: places.count, .aged)
    }
}
