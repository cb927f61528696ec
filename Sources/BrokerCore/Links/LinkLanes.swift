import DequeModule

/// In which order a link sends, while something waits in the spool.
///
///     under way before   what the last connection left open: first, and nothing else before it
///     urgent             what waits by a rule with a priority, the highest first
///     light              what waits of topics and publishers that have little waiting
///     backlog            what else waits, oldest first
///     live               what comes now and has nothing to wait for: every other place belongs to it, and every place
///                        before what came later and had to wait
///
/// A message may go ahead when nothing of its topic waits, and nothing of its publisher (of the node that it was
/// published at, when it came over links), so that each topic and each publisher keeps its order; with a rule that has
/// a priority the topic alone is asked. What is ahead of the cursor is named in `ahead` until it is settled: pages skip
/// it, and when the connection is lost it goes first over the next, so that a peer which knows the last messages of our
/// stream knows it again.
final class LinkLanes {
    struct Live {
        let message: Message
        let position: Position
        let delivery: Delivery
    }

    enum Load {
        case page
        /// Of the positions that were asked for.
        case listed
    }

    let limits: LaneLimits
    /// What waits in the spool, by its keys.
    var waiting: WaitingKeys
    /// The last that waits: beyond it all that is not settled is in the window, or in `live`.
    private(set) var lastWaiting = Position.zero
    var ahead: Set<Position> = []
    private(set) var live: Deque<Live> = []
    private var liveBytes = 0
    /// The last that joined `live`.
    private(set) var lastLive = Position.zero
    var isLiveTurn = false
    /// How many went ahead since the link was live.
    private var goneAhead = 0
    /// What the last connection left open and was not asked for yet.
    var unsettled: Deque<Position> = []
    /// Until all of it went out again.
    var isResuming = false
    /// Positions that wait and go before the rest, by priority; 0 for what is light.
    private var lists = [List](repeating: List(), count: 10)
    private var listsCount = 0
    /// What was asked for by position, not sent yet, and its priority; nil for what was under way.
    private var batch: (priority: UInt8?, positions: Deque<Position>) = (nil, [])
    var listed: Deque<Page.Entry> = []
    /// The page behind the one that is being sent.
    var next: Page?
    var load: Load?
    /// Settled since a page was asked for, which may bring it.
    private var settledMeanwhile: Set<Position> = []
    var rate: CatchUpRate?
    var timer: TimerQueue.Token?

    private struct List {
        var positions: Deque<Position> = []
        /// The last that was sent, and the highest that ever stood here.
        var sent = Position.zero
        var top = Position.zero
    }

    init(_ limits: LaneLimits) {
        self.limits = limits
        waiting = WaitingKeys(limits)
    }

    var hasLists: Bool { listsCount > 0 }

    /// Up to here nothing waits in the list of a priority.
    func listedThrough(_ priority: UInt8) -> Position {
        let list = lists[Int(priority)]
        return list.positions.isEmpty && (batch.priority != priority || batch.positions.isEmpty) ? list.top : list.sent
    }

    // MARK: Live

    var takesLive: Bool {
        !isResuming && live.count < limits.live && liveBytes < limits.liveBytes && goneAhead < limits.goneAhead
    }

    func append(_ message: Message, _ position: Position, _ delivery: Delivery) {
        live.append(Live(message: message, position: position, delivery: delivery))
        liveBytes += message.bytes
        ahead.insert(position)
        lastLive = position
        goneAhead += 1
    }

    func popLive() -> Live? {
        guard let next = live.popFirst() else { return nil }
        liveBytes -= next.message.bytes
        isLiveTurn = false
        return next
    }

    // MARK: What waits

    /// - Parameter keepsPublisher: whether the order of its publisher is kept.
    func wait(
        _ message: Message, _ position: Position, _ priority: UInt8, cursor: Position, keepsPublisher: Bool
    ) {
        let isLight = note(message, position, priority, cursor: cursor, keepsPublisher: keepsPublisher)
        if isLight { list(position, priority) }
    }

    /// - Returns: whether it is light.
    private func note(
        _ message: Message, _ position: Position, _ priority: UInt8, cursor: Position, keepsPublisher: Bool
    ) -> Bool {
        lastWaiting = max(lastWaiting, position)
        return waiting.wait(
            WaitingKeys.key(ofTopic: message.topic),
            keepsPublisher && priority == 0 ? WaitingKeys.key(ofPublisher: message.publisher, message.mark) : nil,
            at: position,
            cursor: cursor,
            listedThrough: listedThrough(priority),
            mayBeLight: listsCount < limits.list
        )
    }

    func waits(_ message: Message, _ priority: UInt8, cursor: Position, keepsPublisher: Bool) -> Bool {
        if waiting.isEmpty { return false }
        let through = listedThrough(priority)
        if waiting.waits(WaitingKeys.key(ofTopic: message.topic), after: cursor, listedThrough: through) { return true }
        guard keepsPublisher, priority == 0 else { return false }
        let publisher = WaitingKeys.key(ofPublisher: message.publisher, message.mark)
        return waiting.waits(publisher, after: cursor, listedThrough: through)
    }

    func restore(_ found: WaitingForLink) {
        waiting = found.keys
        for (position, priority) in found.listed { list(position, priority) }
    }

    private func list(_ position: Position, _ priority: UInt8) {
        lists[Int(priority)].positions.append(position)
        lists[Int(priority)].top = max(lists[Int(priority)].top, position)
        listsCount += 1
    }

    /// The positions that are to be read next: what was under way, then what is listed.
    func nextListed() -> [Position] {
        if !unsettled.isEmpty {
            batch = (nil, Deque(unsettled.prefix(limits.listed)))
            unsettled.removeFirst(batch.positions.count)
            return Array(batch.positions)
        }
        guard let index = lists.lastIndex(where: { !$0.positions.isEmpty }) else { return [] }
        batch = (UInt8(index), Deque(lists[index].positions.prefix(limits.listed)))
        lists[index].positions.removeFirst(batch.positions.count)
        listsCount -= batch.positions.count
        return Array(batch.positions)
    }

    /// Whether what is listed had waited, and was not under way.
    var isBatchBacklog: Bool { batch.priority != nil }

    func popListed() -> Page.Entry? {
        guard let entry = listed.popFirst() else { return nil }
        hasSent(through: listed.isEmpty ? batch.positions.last ?? entry.position : entry.position)
        return entry
    }

    private func hasSent(through position: Position) {
        while let first = batch.positions.first, first <= position { batch.positions.removeFirst() }
        guard let priority = batch.priority else { return }
        lists[Int(priority)].sent = max(lists[Int(priority)].sent, position)
    }

    /// The batch is read, up to a position; the rest did not fit into the page.
    func hasListed(_ entries: [Page.Entry], through end: Position) {
        listed = Deque(entries)
        let rest = batch.positions.filter { $0 > end }
        batch.positions.removeLast(rest.count)
        putBack(rest)
        // None of them is in the spool any more.
        if listed.isEmpty, let last = batch.positions.last { hasSent(through: last) }
    }

    private func putBack(_ positions: some Collection<Position>) {
        guard let priority = batch.priority else { return unsettled.prepend(contentsOf: positions) }
        lists[Int(priority)].positions.prepend(contentsOf: positions)
        listsCount += positions.count
    }

    // MARK: Pages

    /// Without what was settled while it was read.
    func sifted(_ entries: [Page.Entry]) -> [Page.Entry] {
        guard !settledMeanwhile.isEmpty else { return entries }
        defer { settledMeanwhile.removeAll() }
        return entries.filter { !settledMeanwhile.contains($0.position) }
    }

    /// A message ahead of the cursor is settled: no page may bring it again.
    func settled(_ position: Position, _ page: inout Deque<Page.Entry>, isLoading: Bool) {
        guard ahead.remove(position) != nil else { return }
        if isLoading { settledMeanwhile.insert(position) }
        if let first = listed.first, let last = listed.last, position >= first.position, position <= last.position {
            listed.removeAll { $0.position == position }
            if listed.isEmpty, let last = batch.positions.last { hasSent(through: last) }
        }
        if let last = page.last, position <= last.position { page.removeAll { $0.position == position } }
        if let entries = next?.entries, let last = entries.last, position <= last.position {
            next?.entries.removeAll { $0.position == position }
        }
    }

    /// Somebody took messages out of the queue. None of them is in flight.
    func removed(_ gone: Set<Position>, isLoading: Bool) {
        live.removeAll { gone.contains($0.position) }
        liveBytes = live.reduce(0) { $0 + $1.message.bytes }
        ahead.subtract(gone)
        listed.removeAll { gone.contains($0.position) }
        next?.entries.removeAll { gone.contains($0.position) }
        if isLoading { settledMeanwhile.formUnion(gone) }
    }

    // MARK: Connections

    /// The connection is gone. What it left open, as the window knows it, goes first over the next.
    func detached(_ window: PacketWindow, keepsPublisher: Bool) {
        if batch.priority != nil { putBack(batch.positions) } else { ahead.formUnion(batch.positions) }
        batch = (nil, [])
        for next in live {
            ahead.remove(next.position)
            let priority = next.delivery.priority
            // It may be older than what was sent of the list already.
            lists[Int(priority)].sent = min(lists[Int(priority)].sent, Position(next.position.number - 1))
            _ = note(next.message, next.position, priority, cursor: .zero, keepsPublisher: keepsPublisher)
            // Light or not: nothing before it waits, and what came after it may be listed already.
            list(next.position, priority)
        }
        if !live.isEmpty {
            for index in lists.indices { lists[index].positions = Deque(lists[index].positions.sorted()) }
        }
        live.removeAll()
        liveBytes = 0
        ahead.formUnion(unsettled)
        unsettled.removeAll()
        listed.removeAll()
        next = nil
        load = nil
        settledMeanwhile.removeAll()
        isResuming = false
        for entry in window.all where entry.position > .zero && entry.state != .released2 {
            ahead.insert(entry.position)
        }
    }

    /// There is a connection again.
    ///
    /// - Parameter last: the last that may wait.
    func resume(through last: Position) {
        lastWaiting = max(lastWaiting, last)
        unsettled = Deque(ahead.sorted())
        ahead.removeAll()
        isResuming = true
        isLiveTurn = false
    }

    /// Nothing waits any more.
    func isLive() {
        waiting.removeAll()
        goneAhead = 0
        rate = nil
    }
}
