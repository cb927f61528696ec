import BrokerCore
import Synchronization

/// Who gets the events of each shard, and what every shard must know from its first turn on.
final class SpoolShards: Sendable {
    private let receivers = Mutex<[Int: @Sendable ([SpoolEvent]) -> Void]>([:])
    /// What holds until the opposite is told. Locked while it is told, so that nobody hears it in the wrong order; the
    /// shards only put it into their inboxes.
    private let standing = Mutex(Standing())

    private struct Standing {
        var refusal: SpoolRefusal?
        var full: Set<ReceiverID> = []
        var high: [ReceiverID: QueueLevel] = [:]
        /// Of the spool as a whole.
        var level: QueueLevel?
    }

    func attach(_ shard: Int, _ deliver: @escaping @Sendable ([SpoolEvent]) -> Void) {
        standing.withLock { standing in
            receivers.withLock { $0[shard] = deliver }
            var events = standing.full.sorted().map { SpoolEvent.full($0, true) }
            if let refusal = standing.refusal { events.insert(.refusing(refusal), at: 0) }
            events += standing.high.sorted { $0.key < $1.key }.map { .level($0.key, $0.value) }
            if let level = standing.level { events.append(.level(nil, level)) }
            if !events.isEmpty { deliver(events) }
        }
    }

    /// Calls the shard outside of the lock. Events of a shard that nobody attached are nobody's.
    func deliver(_ events: [SpoolEvent], to shard: Int) {
        let deliver = receivers.withLock { $0[shard] }
        deliver?(events)
    }

    /// The same to every shard.
    func deliverToEveryone(_ events: [SpoolEvent]) {
        let everyone = receivers.withLock { $0.sorted { $0.key < $1.key } }
        for (_, deliver) in everyone { deliver(events) }
    }

    /// Tells every shard, if it is new, that the spool refuses or takes messages.
    /// - Returns: true when it is new.
    @discardableResult
    func refuse(_ refusal: SpoolRefusal?) -> Bool {
        standing.withLock { standing in
            guard standing.refusal != refusal else { return false }
            standing.refusal = refusal
            deliverToEveryone([.refusing(refusal)])
            return true
        }
    }

    /// Tells every shard which queues passed a watermark.
    func levels(_ changes: [(ReceiverID, QueueLevel)]) {
        guard !changes.isEmpty else { return }
        standing.withLock { standing in
            var events: [SpoolEvent] = []
            for (receiver, level) in changes where level.isHigh != (standing.high[receiver] != nil) {
                standing.high[receiver] = level.isHigh ? level : nil
                events.append(.level(receiver, level))
            }
            if !events.isEmpty { deliverToEveryone(events) }
        }
    }

    /// Tells every shard, if it is new, that the spool as a whole passed a watermark.
    func level(_ level: QueueLevel) {
        standing.withLock { standing in
            guard level.isHigh != (standing.level != nil) else { return }
            standing.level = level.isHigh ? level : nil
            deliverToEveryone([.level(nil, level)])
        }
    }

    /// Tells every shard which receivers are full and which no longer.
    func fullness(_ changes: [(ReceiverID, Bool)]) {
        guard !changes.isEmpty else { return }
        standing.withLock { standing in
            var events: [SpoolEvent] = []
            for (receiver, isFull) in changes {
                let isNew = isFull ? standing.full.insert(receiver).inserted : standing.full.remove(receiver) != nil
                if isNew { events.append(.full(receiver, isFull)) }
            }
            if !events.isEmpty { deliverToEveryone(events) }
        }
    }
}
