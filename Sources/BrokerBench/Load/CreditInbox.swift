import Synchronization

/// What subscribers on other loops have received of this loop's publishers. One wake-up for all that waits.
final class CreditInbox: Sendable {
    struct Credit: Sendable {
        var publisher: Int
        var count: UInt64
    }

    private let waiting = Mutex<[Credit]>([])

    /// From any thread.
    ///
    /// - Returns: whether the loop has to be woken.
    func post(_ credits: [Credit]) -> Bool {
        waiting.withLock { waiting in
            let wasEmpty = waiting.isEmpty
            waiting += credits
            return wasEmpty
        }
    }

    func drain() -> [Credit] {
        waiting.withLock { waiting in
            let all = waiting
            waiting.removeAll()
            return all
        }
    }
}
