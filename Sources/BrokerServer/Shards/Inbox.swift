import BrokerCore
import MQTTCodec
import NIOCore
import Synchronization

/// What other threads tell a shard.
enum ShardMail: Sendable {
    case spool([SpoolEvent])
    /// The verdict on a login that took its time.
    case authenticated(UInt64, AuthenticationVerdict)
    /// Users whose passwords were changed or who are gone.
    case revoked(Set<MQTTString>)
    case publish(GatewayPublish, CheckedContinuation<GatewayReceipt, any Error>)
    case health(CheckedContinuation<NodeHealth, Never>)
    case account(CheckedContinuation<ShardAccount, Never>)
}

/// Mail for a shard from other threads. It wakes its loop only when it becomes non-empty and is drained whole.
final class Inbox: Sendable {
    private let waiting = Mutex<[ShardMail]>([])
    private let wake: @Sendable () -> Void

    /// - Parameter wake: makes the loop drain this inbox; called without a lock held.
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    /// From any thread; never waits for data.
    func post(_ mail: ShardMail) {
        let wasEmpty = waiting.withLock { waiting in
            waiting.append(mail)
            return waiting.count == 1
        }
        if wasEmpty { wake() }
    }

    func drain() -> [ShardMail] {
        waiting.withLock { waiting in
            let all = waiting
            waiting.removeAll()
            return all
        }
    }
}
