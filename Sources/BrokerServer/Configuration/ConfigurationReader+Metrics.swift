import BrokerCore

/// `[metrics]`
extension ConfigurationReader {
    mutating func readMetrics(_ table: SettingsTable) {
        if let areTold = table.boolean("prometheus") { configuration.metrics.areTold = areTold }
        if let interval = table.duration("sys_interval", in: .zero ... .seconds(86_400)) {
            if interval == .zero || interval >= .seconds(1) {
                configuration.metrics.systemInterval = interval
            } else {
                table.report("sys_interval", "must be 1s to 1d, or \"0s\" for never")
            }
        }
        guard let names = table.choices("sys_names", of: SystemNames.self, mayBeEmpty: true) else { return }
        configuration.metrics.systemNames = []
        for (name, _) in names where !configuration.metrics.systemNames.contains(name) {
            configuration.metrics.systemNames.append(name)
        }
    }
}
