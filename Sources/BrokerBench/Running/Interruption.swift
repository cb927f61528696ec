import Synchronization

/// Whether somebody wants the run to end now. It then ends in good order and says what it found.
package final class Interruption: Sendable {
    private let flag = Atomic(false)

    package init() {}

    package func interrupt() { flag.store(true, ordering: .relaxed) }
    package var isInterrupted: Bool { flag.load(ordering: .relaxed) }
}
