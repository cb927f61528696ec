import BrokerCore
import NIOCore
import Spool

extension ShardRunner {
    /// Tells `$SYS` how the node is doing, now and then again and again.
    ///
    /// - Parameter interval: zero for never.
    func report(every interval: Duration, _ now: Now) {
        reportInterval = interval
        reportAt = nil
        if interval > .zero { report(now) }
    }

    func report(_ now: Now) {
        reportAt = now.instant.advanced(by: reportInterval)
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
        lookAtLinks(now)
    }
}
