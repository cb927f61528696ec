/// The text that Prometheus reads, in its format 0.0.4: for each metric its meaning, its kind and its samples.
struct MetricsText {
    private(set) var text = ""

    mutating func write<Subject>(_ metric: Metric<Subject>, of subjects: [(labels: [MetricLabel], subject: Subject)]) {
        var isDescribed = false
        for (labels, subject) in subjects {
            for sample in metric.samples(subject) {
                if !isDescribed {
                    text += "# HELP \(metric.name) \(metric.meaning)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
                    isDescribed = true
                }
                text += metric.name
                let labels = labels + sample.labels
                if !labels.isEmpty {
                    text += "{"
                    text += labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
                    text += "}"
                }
                text += " \(Self.number(sample.value))\n"
            }
        }
    }

    /// Whole numbers without a point.
    private static func number(_ value: Double) -> String { Int64(exactly: value).map { "\($0)" } ?? "\(value)" }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text.unicodeScalars {
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}
