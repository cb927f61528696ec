import BrokerCore
import MQTTCodec

/// When a link is connected, and how it is known whether anything moves over it.
extension ConfigurationReader {
    /// `probe` and `probe_every`; `probe_topic` is for one link.
    func readProbe(_ table: SettingsTable, into link: inout LinkConfiguration) {
        link.probe.mode = table.choice("probe", of: LinkProbeSettings.Mode.self) ?? link.probe.mode
        link.probe.every = table.duration("probe_every", in: .seconds(1)...(.seconds(3_600))) ?? link.probe.every
        link.probe.topic = topic("probe_topic", of: table).map { MQTTString($0) } ?? link.probe.topic
    }

    /// `start`: a word, or `{ window = "02:00-05:00" }`.
    func readStart(of table: SettingsTable, into link: inout LinkConfiguration) {
        switch table.values["start"] {
        case nil: return
        case .string("automatic"): link.start = .automatic
        case .string("lazy"): link.start = .lazy
        case .string("once"): link.start = .once
        case .string("manual"): link.start = .manual
        case .table(let values):
            let place = table.place.key("start")
            let inner = SettingsTable(values, known: .linkStart, place: place, reading: reading)
            guard let text = inner.nonEmptyString("window") else {
                if !inner.has("window") { reading.report("must say { window = \"02:00-05:00\" }", at: place) }
                return
            }
            guard let window = Self.window(in: text) else {
                return inner.report("window", "must be two times of the day, as in \"02:00-05:00\", found \"\(text)\"")
            }
            link.start = .window(window)
        case .some(let value):
            table.report(
                "start",
                "must be \"automatic\", \"lazy\", \"once\", \"manual\" or { window = \"02:00-05:00\" }, found \(value.found)"
            )
        }
    }

    private static func window(in text: String) -> DailyWindow? {
        let times = text.split(separator: "-", omittingEmptySubsequences: false).map { minute(in: $0) }
        guard times.count == 2, let from = times[0], let to = times[1], from != to else { return nil }
        return DailyWindow(from: from, to: to)
    }

    /// Of the day, in `02:00`; `24:00` is its end.
    private static func minute(in text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.count == 2 }), let hour = Digits.value(of: parts[0]),
            let minute = Digits.value(of: parts[1]), minute < 60, hour * 60 + minute <= 1_440
        else { return nil }
        return (hour * 60 + minute) % 1_440
    }

    /// `[link.status]`
    func readStatus(of table: SettingsTable, into link: inout LinkConfiguration) {
        guard let status = table.table("status", known: .linkStatus) else { return }
        link.status.topic = topic("topic", of: status) ?? link.status.topic
        link.status.isLocalOnly = status.boolean("local_only") ?? link.status.isLocalOnly
        link.status.hasDetail = status.boolean("json") ?? link.status.hasDetail
    }

    private func topic(_ key: String, of table: SettingsTable) -> String? {
        guard let topic = table.nonEmptyString(key) else { return nil }
        if TopicName.isValid(MQTTString(topic)), topic.utf8.count <= 65_535 { return topic }
        table.report(key, "must be the name of a topic, without wildcards, found \"\(topic)\"")
        return nil
    }
}
