import HeapModule

/// What a shard wants to be woken for. A timer that fires is checked against the state it was set for, so that a
/// keep-alive costs nothing per packet: it is set again when it fires too early.
enum TimerEvent {
    /// CONNECT did not come in time, or a client is silent for 1.5 keep-alive intervals.
    case connection(Connection)
    /// The will delay or the expiry of a session whose client is away.
    case absence(Session)
    case link(Link)
    /// A better address of the link's upstream is to be asked, or has not answered.
    case linkReturn(Link)
    /// `catchup_rate` lets the next message of a link's backlog go.
    case catchUp(Link)
    /// The replay of retained messages goes on.
    case replay(Session)
    /// Queues in memory are looked at for messages that are too old.
    case ages
    /// A queue in memory passed a watermark.
    case level(Session)
}

/// The timers of one shard, earliest first. Whoever sets a timer holds its token and cancels it, so that the queue
/// never holds more than what is alive: a device that reconnects every minute, with a session that lasts for weeks,
/// has one timer and not ten thousand.
struct TimerQueue {
    struct Token: Hashable {
        fileprivate let order: UInt64
    }

    private struct Entry: Comparable {
        let at: Instant
        let order: UInt64

        static func < (a: Entry, b: Entry) -> Bool { a.at == b.at ? a.order < b.order : a.at < b.at }
    }

    private var heap = Heap<Entry>()
    private var events: [UInt64: TimerEvent] = [:]
    private var order: UInt64 = 0

    /// When to look again; too early when that timer was cancelled meanwhile.
    var next: Instant? { heap.min?.at }
    /// Places that the queue takes up, those of cancelled timers included.
    var count: Int { heap.count }

    mutating func add(_ event: TimerEvent, at instant: Instant) -> Token {
        order &+= 1
        heap.insert(Entry(at: instant, order: order))
        events[order] = event
        return Token(order: order)
    }

    /// Forgets a timer; one that has fired is gone already.
    ///
    /// - Complexity: O(1) amortised: the heap is cleared of what was cancelled when that is more than the half of it.
    mutating func cancel(_ token: Token?) {
        guard let token, events.removeValue(forKey: token.order) != nil else { return }
        guard heap.count > 2 * events.count + 32 else { return }
        heap = Heap(heap.unordered.filter { events[$0.order] != nil })
    }

    mutating func popDue(_ now: Instant) -> TimerEvent? {
        while let first = heap.min, first.at <= now {
            heap.removeMin()
            if let event = events.removeValue(forKey: first.order) { return event }
        }
        return nil
    }
}
