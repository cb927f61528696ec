import BrokerCore
import MQTTCodec

/// When a link is connected, and how it is known whether anything moves over it.
extension ConfigurationReader {
    /// `probe` and `probe_every`; `probe_topic` is for one link.
    func readProbe(_ table: SettingsTable, into link: inout LinkConfiguration) {
        link.probe.mode = table.choice("probe", of: LinkProbeSettings.Mode.self) ?? link.probe.mode
        link.probe.every = table.duration("probe_every", in: .seconds(1)...(.seconds(3_600))) ?? link.probe.every
        guard let topic = table.nonEmptyString("probe_topic") else { return }
        let name = MQTTString(topic)
        if TopicName.isValid(name), topic.utf8.count <= 65_535 {
            link.probe.topic = name
        } else {
            table.report("probe_topic", "must be the name of a topic, without wildcards, found \"\(topic)\"")
        }
    }
}
