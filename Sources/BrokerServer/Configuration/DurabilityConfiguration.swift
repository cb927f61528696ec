package import BrokerCore
import MQTTCodec
package import Spool

/// `[durability]`: when a message counts as stored, and how much may be.
package struct DurabilityConfiguration: Sendable, Equatable {
    /// `mode`: default `sync`.
    package var mode = DurabilityMode.sync
    /// `on_corrupt`: what happens at the start to a damaged spool; default `quarantine`.
    package var whenCorrupt = CorruptPolicy.quarantine
    /// `max_bytes`: of the whole spool; default 8 GiB; 1 MiB to 1 PiB.
    package var bytesMax = 8 << 30
    /// `min_free_disk`: of the file system of the spool; default 512 MiB; 0 to 1 PiB.
    package var freeDiskMin = 512 << 20
    /// `[[durability.rule]]`: topics with a mode of their own, in the order of the file; the first that matches counts.
    package var rules: [DurabilityRuleConfiguration] = []

    package init() {}

    /// What the mode costs and what it risks, in one line for the operator.
    package var advice: String {
        let price: String
        switch mode {
        case .sync:
            price = "each answer waits for the disk (one fsync for all that came together); a power cut loses nothing"
        case .normal:
            price =
                "answers do not wait for the disk; the end of the process loses nothing, a power cut loses the last "
                + "moments of what was acknowledged"
        case .off:
            price =
                "nothing waits for the disk; the end of the process loses the last moments of what was acknowledged, a "
                + "power cut all since the last checkpoint"
        }
        let count = rules.count { $0.mode != mode }
        let others = count == 0 ? "" : "; \(count) \(count == 1 ? "rule says" : "rules say") otherwise for some topics"
        return "durability \(mode.rawValue): \(price)\(others)"
    }

    /// What `$SYS` says of it.
    var announcements: [(topic: MQTTString, text: String)] {
        [("$SYS/broker/durability/mode", mode.rawValue), ("$SYS/broker/durability/advice", advice)]
    }
}

/// `[[durability.rule]]`: a mode for the topics of a filter.
package struct DurabilityRuleConfiguration: Sendable, Equatable {
    /// `filter`: required.
    package var filter: String
    /// `mode`: required.
    package var mode: DurabilityMode

    package init(filter: String, mode: DurabilityMode) {
        self.filter = filter
        self.mode = mode
    }
}
