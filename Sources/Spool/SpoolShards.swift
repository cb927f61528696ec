import BrokerCore
import Synchronization

/// Who gets the events of each shard.
final class SpoolShards: Sendable {
    private let receivers = Mutex<[Int: @Sendable ([SpoolEvent]) -> Void]>([:])

    func attach(_ shard: Int, _ deliver: @escaping @Sendable ([SpoolEvent]) -> Void) {
        receivers.withLock { $0[shard] = deliver }
    }

    /// Calls the shard outside of the lock. Events of a shard that nobody attached are nobody's.
    func deliver(_ events: [SpoolEvent], to shard: Int) {
        let deliver = receivers.withLock { $0[shard] }
        deliver?(events)
    }
}
