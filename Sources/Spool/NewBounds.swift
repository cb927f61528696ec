import MQTTCodec
import Synchronization

/// The bounds of queues that a running node has been given in place of those that its spool was opened with.
final class NewBounds: Sendable {
    private let bounds = Mutex<(session: QueueBounds, links: [MQTTString: QueueBounds])?>(nil)

    /// Nil while it has not been given any.
    func read() -> (session: QueueBounds, links: [MQTTString: QueueBounds])? { bounds.withLock { $0 } }

    func set(session: QueueBounds, links: [MQTTString: QueueBounds]) {
        bounds.withLock { $0 = (session, links) }
    }
}
