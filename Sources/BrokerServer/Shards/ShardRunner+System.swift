import BrokerCore
import NIOCore
import Spool

extension ShardRunner {
    /// Tells `$SYS` how the node is doing, now and then again and again.
    ///
    /// - Parameter interval: zero for never.
    func report(every interval: Duration) {
        reporting?.cancel()
        reporting = nil
        guard interval > .zero else { return }
        report()
        reporting = loop.assumeIsolated().scheduleTask(in: TimeAmount(interval)) { self.report(every: interval) }
    }

    private func report() {
        let spool = spool.standing
        shard.report(
            NodeFigures(
                version: Version.system,
                storedMessages: spool.messages,
                storedBytes: spool.bytes,
                drops: spool.drops
            ),
            now: now
        )
        turn()
    }
}
