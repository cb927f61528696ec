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
        shard.report(nodeFigures, now: now)
        lookAtLinks(now)
    }

    /// What metrics ask of the shard.
    func reading(_ now: Now) -> ShardReading {
        ShardReading(figures: shard.figures(nodeFigures, now: now), links: linkAccounts(now))
    }

    private var nodeFigures: NodeFigures {
        let spool = spool.standing
        return NodeFigures(
            version: Version.system,
            storedMessages: spool.messages,
            storedBytes: spool.bytes,
            drops: spool.drops
        )
    }
}
