import BrokerCore
import Synchronization

/// Whom the spool tells what became of records, and what it must know from the start.
final class SpoolTidings: Sendable {
    private let hearer = Mutex(Hearer())
    /// What holds until the opposite is told. Locked while it is told, so that nobody hears it in the wrong order;
    /// whoever hears it only puts it into a postbox.
    private let standing = Mutex(Standing())

    /// A struct, since a function that is itself the value of a lock is wrapped once more with every access: each call
    /// would then go through all that came before it.
    private struct Hearer {
        var deliver: (@Sendable ([SpoolEvent]) -> Void)?
    }

    private struct Standing {
        var refusal: SpoolRefusal?
        var full: Set<ReceiverID> = []
        var high: [ReceiverID: QueueLevel] = [:]
        /// Of the spool as a whole.
        var level: QueueLevel?
    }

    func attach(_ deliver: @escaping @Sendable ([SpoolEvent]) -> Void) {
        standing.withLock { standing in
            hearer.withLock { $0.deliver = deliver }
            var events = standing.full.sorted().map { SpoolEvent.full($0, true) }
            if let refusal = standing.refusal { events.insert(.refusing(refusal), at: 0) }
            events += standing.high.sorted { $0.key < $1.key }.map { .level($0.key, $0.value) }
            if let level = standing.level { events.append(.level(nil, level)) }
            if !events.isEmpty { deliver(events) }
        }
    }

    /// Calls outside of the lock of the receiver. Before anybody is attached, events are nobody's.
    func tell(_ events: [SpoolEvent]) {
        let deliver = hearer.withLock { $0.deliver }
        deliver?(events)
    }

    /// Tells, if it is new, that the spool refuses or takes messages.
    func refuse(_ refusal: SpoolRefusal?) {
        standing.withLock { standing in
            guard standing.refusal != refusal else { return }
            standing.refusal = refusal
            tell([.refusing(refusal)])
        }
    }

    /// Tells which queues passed a watermark.
    func levels(_ changes: [(ReceiverID, QueueLevel)]) {
        guard !changes.isEmpty else { return }
        standing.withLock { standing in
            var events: [SpoolEvent] = []
            for (receiver, level) in changes where level.isHigh != (standing.high[receiver] != nil) {
                standing.high[receiver] = level.isHigh ? level : nil
                events.append(.level(receiver, level))
            }
            if !events.isEmpty { tell(events) }
        }
    }

    /// Tells, if it is new, that the spool as a whole passed a watermark.
    func level(_ level: QueueLevel) {
        standing.withLock { standing in
            guard level.isHigh != (standing.level != nil) else { return }
            standing.level = level.isHigh ? level : nil
            tell([.level(nil, level)])
        }
    }

    /// Tells which receivers are full and which no longer.
    func fullness(_ changes: [(ReceiverID, Bool)]) {
        guard !changes.isEmpty else { return }
        standing.withLock { standing in
            var events: [SpoolEvent] = []
            for (receiver, isFull) in changes {
                let isNew = isFull ? standing.full.insert(receiver).inserted : standing.full.remove(receiver) != nil
                if isNew { events.append(.full(receiver, isFull)) }
            }
            if !events.isEmpty { tell(events) }
        }
    }
}
