import BrokerCore
import Logging
import MQTTCodec
import Spool

extension ShardRunner {
    /// What another configuration means to a shard and its runner.
    struct Reconfiguration: Sendable {
        var settings: BrokerSettings
        /// Whether the rules are others: compiled ones cannot be compared.
        var changesAccess: Bool
        /// Links that changed, also in what only the dialler knows.
        var redialing: Set<MQTTString>
        var linkConnector: LinkConnector
        var denialLevel: Logger.Level
        /// Set when it changed.
        var systemInterval: Duration?
        var tellsMetrics: Bool
        /// What the log is told of it.
        var detail: String
    }

    func reconfigure(_ new: Reconfiguration, _ now: Now) {
        var settings = new.settings
        if !new.changesAccess { settings.access = shard.access }
        denialLevel = new.denialLevel
        linkConnector = new.linkConnector
        tellsMetrics = new.tellsMetrics
        if let interval = new.systemInterval { report(every: interval, now) }
        let before = shard.links
        shard.reconfigure(settings, redialing: new.redialing, now: now)
        for link in before where !shard.links.contains(where: { $0 === link }) { logRemoved(link) }
        // Whoever reads this line finds all of it at work.
        logger.notice("configuration read again", metadata: ["detail": .string(new.detail)])
    }

    /// Nothing is lost in silence: what the link had stays, and is told of as a start without the link tells of it.
    private func logRemoved(_ link: Link) {
        let waiting = spool.depth(of: link.receiver)
        logger.log(
            level: waiting > 0 ? .warning : .notice,
            "link removed",
            metadata: [
                "link": .string(LogText.escaped(link.settings.name.string)),
                "detail": "\(waiting) messages stay in the spool until the link is configured again",
            ]
        )
    }
}
