import HeapModule

/// What a shard wants to be woken for. A timer that fires is checked against the state it was set for: cancelling is
/// forgetting, and a keep-alive costs nothing per packet.
enum TimerEvent {
    /// CONNECT did not come in time, or a client is silent for 1.5 keep-alive intervals.
    case connection(Connection)
    /// The will delay or the expiry of a session whose client is away; `epoch` tells a later absence from this one.
    case absence(Session, epoch: UInt64)
    case link(Link, epoch: UInt64)
}

/// The timers of one shard, earliest first.
struct TimerQueue {
    private struct Entry: Comparable {
        let at: Instant
        let order: UInt64
        let event: TimerEvent

        static func < (a: Entry, b: Entry) -> Bool { a.at == b.at ? a.order < b.order : a.at < b.at }
        static func == (a: Entry, b: Entry) -> Bool { a.at == b.at && a.order == b.order }
    }

    private var heap = Heap<Entry>()
    private var order: UInt64 = 0

    var next: Instant? { heap.min?.at }

    mutating func add(_ event: TimerEvent, at instant: Instant) {
        order &+= 1
        heap.insert(Entry(at: instant, order: order, event: event))
    }

    mutating func popDue(_ now: Instant) -> TimerEvent? {
        guard let first = heap.min, first.at <= now else { return nil }
        return heap.popMin()?.event
    }
}
