import BrokerCore
import DequeModule
import MQTTCodec

/// What came by each stream lately, in the parts in which it stands on disk: which of them are not needed any more.
struct StreamParts {
    /// As many messages of a stream are kept at least, if it ever had them.
    static let messagesMin = 1_024
    /// Beyond so many streams those that were silent for longest are forgotten when the spool is opened: the core,
    /// which gets what is left, has room for as many.
    static let streamsMax = 1_024
    /// The same while it is open. It is more than the core has room for, so that what the core knows is here, too. Only
    /// a stream that messages of QoS 1 keep awake there may be gone here, as it would be after the next opening: then
    /// its old messages of QoS 2 are not known any more, and one of them that came again would be taken twice.
    static let openStreamsMax = 2 * streamsMax

    private struct Stream {
        var parts: Deque<(number: UInt64, count: Int)> = []
        var count = 0
    }

    private var streams: [StreamID: Stream] = [:]
    private var next: UInt64 = 1

    /// What was on disk, in the order of numbers.
    mutating func restore(_ count: Int, of stream: StreamID, number: UInt64) {
        streams[stream, default: Stream()].parts.append((number, count))
        streams[stream]?.count += count
        next = max(next, number + 1)
    }

    /// Forgets streams that were silent for longest, beyond so many.
    ///
    /// - Returns: what deletes their rows. While the spool is open these are no more than the batch brought new ones.
    /// - Complexity: O(1); O(streams log streams) when there are too many, so never for streams that are known.
    mutating func forgetSilent(beyond countMax: Int) -> [Batch.StreamPart] {
        let excess = streams.count - countMax
        guard excess > 0 else { return [] }
        let silent = streams.map { (stream: $0.key, last: $0.value.parts.last?.number ?? 0) }
            .sorted { $0.last < $1.last }
            .prefix(excess)
        for one in silent { streams[one.stream] = nil }
        return silent.map { Batch.StreamPart(stream: $0.stream, number: $0.last, ids: [], forgotten: $0.last) }
    }

    /// Another part.
    mutating func add(_ ids: [MessageID], of stream: StreamID) -> Batch.StreamPart {
        var known = streams.removeValue(forKey: stream) ?? Stream()
        defer { streams[stream] = known }
        var part = Batch.StreamPart(stream: stream, number: next, ids: ids)
        next += 1
        known.parts.append((part.number, ids.count))
        known.count += ids.count
        while let oldest = known.parts.first, known.count - oldest.count >= Self.messagesMin {
            known.parts.removeFirst()
            known.count -= oldest.count
            part.forgotten = oldest.number
        }
        return part
    }
}
