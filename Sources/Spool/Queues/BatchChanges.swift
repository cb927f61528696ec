import BrokerCore
import MQTTCodec

/// What the records of one batch touched, while they are applied: what of it is certain at once stands in the batch
/// already, the rest is known when all of them were seen.
struct BatchChanges {
    var batch = Batch()
    /// The first position of the batch. Positions of one batch follow each other without a gap.
    let base: UInt64
    /// What became of the messages of the batch: of that at `base + n` at index n, where its row stands too.
    private var fresh: [Fresh] = []
    /// Receivers whose progress may have to be written.
    var touchedCursors: Set<ReceiverID> = []
    /// Queues that became longer or shorter, each once.
    private(set) var touched: [ReceiverQueue] = []
    /// Runs that a queue has passed and others have not.
    var passed: [MessageRun] = []
    var receivers = LatestValues<ReceiverID, ReceiverRecord?>()
    var subscriptions = LatestValues<SubscriptionKey, SubscriptionRecord?>()
    var retained = LatestValues<MQTTString, Message?>()
    /// For each packet identifier whether it was on disk before the batch.
    var inbound = LatestValues<PacketKey, Bool>()
    var outbound = LatestValues<PacketKey, Bool>()
    var wills = LatestValues<MQTTString, WillRecord?>()
    private(set) var streams = LatestValues<StreamID, [MessageID]>()
    var carried = LatestValues<CarriedKey, CarriedFile>()
    /// Where each stands in `batch.dropped`: one message may overflow the queues of all sessions that are away, and looking
    /// through the list for each of them would take the square of their number.
    private var dropIndices: [DropKey: Int] = [:]

    /// Grows from batch to batch.
    private let number: UInt64

    init(base: UInt64, number: UInt64) {
        self.base = base
        self.number = number
    }

    /// What became of a message of the batch inside it.
    struct Fresh {
        /// Where it stands in the queues; nil when nobody waits for it.
        var place: RunPlace?
        /// Receivers that need no row: they were done inside the batch.
        var done: [ReceiverID] = []
    }

    /// A receiver was done with a message of the batch.
    mutating func done(_ receiver: ReceiverID, with position: UInt64) {
        fresh[Int(position - base)].done.append(receiver)
    }

    mutating func append(_ row: Batch.Row, _ place: RunPlace?) {
        batch.rows.append(row)
        batch.messages += 1
        fresh.append(Fresh(place: place))
    }

    /// Keeps the rows of the messages that somebody waits for, with the deliveries that still wait.
    mutating func keepOpenRows() {
        var kept = 0
        for (index, fresh) in fresh.enumerated() {
            guard let place = fresh.place, place.entry.waiting > 0 else { continue }
            if kept != index { batch.rows.swapAt(kept, index) }
            if !fresh.done.isEmpty {
                let done = Set(fresh.done)
                batch.rows[kept].deliveries.removeAll { done.contains($0.receiver) }
            }
            kept += 1
        }
        batch.rows.removeLast(batch.rows.count - kept)
    }

    mutating func saw(_ id: MessageID, of stream: StreamID) {
        streams.update(stream, from: []) { $0.append(id) }
    }

    mutating func touch(_ queue: ReceiverQueue) {
        guard queue.seenIn != number else { return }
        queue.seenIn = number
        touched.append(queue)
    }

    /// All receivers of a run have one message more.
    mutating func touch(_ run: MessageRun) {
        guard run.seenIn != number else { return }
        run.seenIn = number
        for queue in run.queues { touch(queue) }
    }

    mutating func dropped(_ receiver: ReceiverID, messages: Int, _ reason: DropReason) {
        let key = DropKey(receiver: receiver, reason: reason)
        if let index = dropIndices[key] {
            batch.dropped[index].messages += messages
        } else {
            dropIndices[key] = batch.dropped.count
            batch.dropped.append(Batch.Dropped(receiver: receiver, messages: messages, reason: reason))
        }
    }

    private struct DropKey: Hashable {
        var receiver: ReceiverID
        var reason: DropReason
    }
}

struct SubscriptionKey: Hashable {
    var receiver: ReceiverID
    var filter: MQTTString

    init(_ receiver: ReceiverID, _ filter: MQTTString) {
        self.receiver = receiver
        self.filter = filter
    }
}

struct CarriedKey: Hashable {
    var id: MessageID
    var way: CarriedFile.Way

    init(_ file: CarriedFile) {
        id = file.id
        way = file.way
    }
}

struct PacketKey: Hashable {
    var receiver: ReceiverID
    var packetID: UInt16

    init(_ receiver: ReceiverID, _ packetID: UInt16) {
        self.receiver = receiver
        self.packetID = packetID
    }

    /// In one step: each message of QoS 2 asks four times.
    func hash(into hasher: inout Hasher) { hasher.combine(receiver.number &* 65_537 &+ UInt64(packetID)) }
}

/// The latest value of each key, in the order in which keys were first set: what is written never depends on the order
/// of a dictionary.
struct LatestValues<Key: Hashable, Value> {
    private var indices: [Key: Int] = [:]
    private var entries: [(key: Key, value: Value)] = []

    var inOrder: [(key: Key, value: Value)] { entries }

    subscript(key: Key) -> Value? { indices[key].map { entries[$0].value } }

    mutating func set(_ key: Key, _ value: Value) { update(key, from: value) { $0 = value } }

    /// Changes the value of a key in its place; one that is new begins with `first`.
    ///
    /// - Complexity: one search.
    mutating func update(_ key: Key, from first: @autoclosure () -> Value, _ change: (inout Value) -> Void) {
        let next = entries.count
        let index = Self.give(next, to: &indices[key, default: -1])
        if index == next { entries.append((key, first())) }
        change(&entries[index].value)
    }

    /// - Returns: the index that it has, which is the next one when it had none.
    private static func give(_ next: Int, to index: inout Int) -> Int {
        if index < 0 { index = next }
        return index
    }

    mutating func removeAll(where predicate: (Key) -> Bool) {
        guard entries.contains(where: { predicate($0.key) }) else { return }
        entries.removeAll { predicate($0.key) }
        indices = [:]
        for (index, entry) in entries.enumerated() { indices[entry.key] = index }
    }
}

extension LatestValues where Value == Bool {
    /// Remembers whether a key existed when it was first touched.
    mutating func touch(_ key: Key, existed: Bool) { update(key, from: existed) { _ in } }
}
