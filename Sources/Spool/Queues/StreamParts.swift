import BrokerCore
import DequeModule
import MQTTCodec

/// What came by each stream lately, in the parts in which it stands on disk: which of them are not needed any more.
struct StreamParts {
    /// As many messages of a stream are kept at least, if it ever had them.
    static let messagesMin = 1_024
    /// Beyond so many streams those that were silent for longest are forgotten when the spool is opened.
    static let streamsMax = 1_024

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

    /// Forgets streams that were silent for longest, if there are too many.
    mutating func forgetSilent() -> [StreamID] {
        guard streams.count > Self.streamsMax else { return [] }
        let silent = streams.sorted { ($0.value.parts.last?.number ?? 0) < ($1.value.parts.last?.number ?? 0) }
            .dropLast(Self.streamsMax).map(\.key)
        for stream in silent { streams[stream] = nil }
        return silent
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
