import BrokerCore

/// `[metrics]`
extension ConfigurationReader {
    mutating func readMetrics(_ table: SettingsTable) {
        if let interval = table.duration("sys_interval", in: .zero ... .seconds(86_400)) {
            if interval == .zero || interval >= .seconds(1) {
                configuration.metrics.systemInterval = interval
            } else {
                table.report("sys_interval", "must be 1s to 1d, or \"0s\" for never")
            }
        }
        guard let names = table.strings("sys_names", mayBeEmpty: true) else { return }
        var known: [SystemNames] = []
        for (text, place) in names {
            guard let name = SystemNames(rawValue: text) else {
                table.reading.report("must be \"mosquitto\" or \"emqttd\", found \"\(text)\"", at: place)
                continue
            }
            if !known.contains(name) { known.append(name) }
        }
        configuration.metrics.systemNames = known
    }
}
