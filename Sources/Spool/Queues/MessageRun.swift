import BrokerCore

/// Messages that wait for the same receivers, in the order of their positions: one list for all of them, so that a
/// message to a room of a thousand is one entry and not a thousand.
///
/// A run is open while it is the last of the queues of all its receivers; the next message for them joins it. It is
/// closed when one of them gets a message that the others do not get, or has caught up, or when it is long.
final class MessageRun {
    struct Entry {
        let position: UInt64
        /// Of the message.
        let bytes: UInt32
        /// How many receivers are not done with it.
        var waiting: UInt32
    }

    /// Empty while they are packed.
    private var entries: [Entry] = []
    private var packed: Packed?
    private(set) var count = 0
    /// Bytes of all messages that were ever in it.
    private(set) var bytes = 0
    /// The positions of the first entry and of the last; 0 as long as there is none.
    private(set) var first: UInt64 = 0
    private var last: UInt64 = 0
    /// Whose messages these are. Empty once the run is closed: it lives as long as one of their queues holds it.
    private(set) var queues: [ReceiverQueue]
    let receivers: Int
    /// How the messages go to the receivers, as the last one that joined says it. Empty once the run is closed.
    var deliveries: [Delivery]
    /// What any queue that drops its oldest can take before it does so: at least this much.
    private var roomMessages = Int.max
    private var roomBytes = Int.max
    /// The batch that has seen it last.
    var seenIn: UInt64 = 0
    /// While the spool is being opened: how many queues begin at each entry.
    private var beginnings: [UInt32] = []

    /// An entry is 16 bytes, so a run that somebody is slow with holds little.
    static let entriesMax = 1024
    /// Fewer than so many are not worth packing.
    private static let packedMin = 32

    init(_ queues: [ReceiverQueue], deliveries: [Delivery]) {
        self.queues = queues
        self.deliveries = deliveries
        receivers = queues.count
    }

    var isOpen: Bool { !queues.isEmpty }
    var isLong: Bool { count >= Self.entriesMax }

    /// It may be one of very many: it holds nothing that only one that grows needs.
    func close() {
        queues = []
        deliveries = []
    }

    /// The index of the new entry.
    func append(_ position: UInt64, bytes size: Int) -> Int {
        let size = UInt32(clamping: size)
        entries.append(Entry(position: position, bytes: size, waiting: UInt32(clamping: receivers)))
        count += 1
        if count == 1 { first = position }
        last = position
        bytes += Int(size)
        roomMessages -= 1
        roomBytes -= Int(size)
        return count - 1
    }

    /// True when the last message may have been too much for one of the queues.
    var mayOverflow: Bool { roomMessages < 0 || roomBytes < 0 }

    /// Looks how much the queues can take.
    func measureRoom() {
        (roomMessages, roomBytes) = (.max, .max)
        for queue in queues where queue.dropsOldest {
            roomMessages = min(roomMessages, queue.bounds.messagesMax - queue.count)
            roomBytes = min(roomBytes, queue.bounds.bytesMax - queue.bytes)
        }
    }

    // MARK: Entries

    /// - Complexity: O(1); O(entries) for the first one that is asked for after they were packed.
    subscript(index: Int) -> Entry {
        unpack()
        return entries[index]
    }

    /// One receiver is done with an entry. True when it was the last.
    @discardableResult
    func finish(_ index: Int) -> Bool {
        unpack()
        entries[index].waiting &-= 1
        return entries[index].waiting == 0
    }

    /// Nobody waits for the entry any more.
    func forget(_ index: Int) {
        unpack()
        entries[index].waiting = 0
    }

    /// The first entry at or above a position.
    func firstIndex(notBelow position: UInt64) -> Int {
        guard position > first else { return 0 }
        guard position <= last else { return count }
        unpack()
        var (low, high) = (1, count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].position < position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Bytes of the entries before one.
    func bytes(before index: Int) -> Int {
        guard index < count else { return bytes }
        unpack()
        return entries[..<index].reduce(0) { $0 + Int($1.bytes) }
    }

    /// Nobody looks at a closed run for a while: what waits for a receiver that is away takes next to no memory.
    func pack() {
        guard packed == nil, !isOpen, count >= Self.packedMin else { return }
        packed = Packed(entries)
        entries = []
    }

    private func unpack() {
        guard let packed else { return }
        entries = packed.entries(count)
        self.packed = nil
    }

    // MARK: While the spool is being opened

    /// A queue has done with everything before an entry.
    func begins(at index: Int) {
        guard index > 0 else { return }
        if beginnings.isEmpty { beginnings = Array(repeating: 0, count: count + 1) }
        beginnings[index] += 1
    }

    /// Counts off whoever has begun behind an entry.
    func settleBeginnings() {
        guard !beginnings.isEmpty else { return }
        unpack()
        var begunBehind: UInt32 = 0
        for index in entries.indices.reversed() {
            begunBehind += beginnings[index + 1]
            entries[index].waiting &-= begunBehind
        }
        beginnings = []
    }
}

/// The entries of a run that nobody works on; apart from it, since many runs are too short for that.
private final class Packed {
    private let positions: PackedNumbers
    private let bytes: PackedNumbers
    private let waiting: PackedNumbers

    init(_ entries: [MessageRun.Entry]) {
        positions = PackedNumbers(entries.lazy.map(\.position))
        bytes = PackedNumbers(entries.lazy.map { UInt64($0.bytes) })
        waiting = PackedNumbers(entries.lazy.map { UInt64($0.waiting) })
    }

    func entries(_ count: Int) -> [MessageRun.Entry] {
        let (positions, bytes, waiting) = (positions.numbers(count), bytes.numbers(count), waiting.numbers(count))
        return (0..<count).map { index in
            MessageRun.Entry(
                position: positions[index],
                bytes: UInt32(truncatingIfNeeded: bytes[index]),
                waiting: UInt32(truncatingIfNeeded: waiting[index])
            )
        }
    }
}

/// One entry of a run.
struct RunPlace {
    let run: MessageRun
    let index: Int
    let position: UInt64

    init(_ run: MessageRun, _ index: Int) { self.init(run, index, at: run[index].position) }

    init(_ run: MessageRun, _ index: Int, at position: UInt64) {
        self.run = run
        self.index = index
        self.position = position
    }

    var entry: MessageRun.Entry { run[index] }
}
