import BrokerCore
import Spool

/// `[durability]` and what bounds queues.
extension ConfigurationReader {
    mutating func readDurability(_ table: SettingsTable) {
        set(\.durability.mode, table.choice("mode", of: DurabilityMode.self))
        set(\.durability.whenCorrupt, table.choice("on_corrupt", of: CorruptPolicy.self))
        set(\.durability.bytesMax, table.size("max_bytes", in: (1 << 20)...(1 << 50)))
        set(\.durability.freeDiskMin, table.size("min_free_disk", in: 0...(1 << 50)))
        configuration.durability.rules += table.tables("rule", known: .durabilityRule).compactMap(durabilityRule)
    }

    private func durabilityRule(_ table: SettingsTable) -> DurabilityRuleConfiguration? {
        for key in ["filter", "mode"] where !table.has(key) {
            reading.report("a durability rule needs `\(key)`", at: table.place)
        }
        let filter = table.string("filter")
        let mode = table.choice("mode", of: DurabilityMode.self)
        guard let filter, let mode else { return nil }
        if filter.hasPrefix("$share/") {
            table.report("filter", "a durability rule is about topics: leave out $share")
            return nil
        }
        if let problem = FilterText.problem(in: filter) {
            table.report("filter", problem)
            return nil
        }
        return DurabilityRuleConfiguration(filter: filter, mode: mode)
    }

    /// `max_age` of a queue; zero keeps messages for as long as it takes.
    func queueAge(of table: SettingsTable) -> Duration? {
        guard let age = table.duration("max_age", in: .zero ... .seconds(3_650 * 86_400)) else { return nil }
        if age == .zero || age >= .seconds(1) { return age }
        table.report("max_age", "must be 1s to 3650d, or \"0s\" for as long as it takes")
        return nil
    }

    /// `[link.spool]`: what may wait for a link while it is down.
    func readLinkSpool(of table: SettingsTable, into link: inout LinkConfiguration) {
        guard let spool = table.table("spool", known: .linkSpool) else { return }
        link.spool.bytesMax = spool.size("max_bytes", in: 1_024...(1 << 50)) ?? link.spool.bytesMax
        link.spool.messagesMax = spool.integer("max_messages", in: 1...1_000_000_000) ?? link.spool.messagesMax
        if let age = queueAge(of: spool) { link.spool.ageMax = age > .zero ? age : nil }
        link.spool.whenFull = spool.choice("on_full", of: FullQueuePolicy.self) ?? link.spool.whenFull
        link.keptQoS0 = spool.choice("qos0", of: LinkConfiguration.KeptQoS0.self) ?? link.keptQoS0
        link.queueOrder = spool.choice("order", of: LinkSettings.QueueOrder.self) ?? link.queueOrder
        link.keptRefusedMax = spool.integer("keep_refused", in: 0...1_000_000) ?? link.keptRefusedMax
    }
}
