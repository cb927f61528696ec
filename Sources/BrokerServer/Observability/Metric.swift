import BrokerCore

/// One metric: its name, what it means, and how it is read off a node or a link.
///
/// Names follow Prometheus: base units (seconds, bytes), `_total` for what only grows.
package struct Metric<Subject>: Sendable {
    package enum Kind: String, Sendable {
        /// Only grows, from the start of the process.
        case counter
        case gauge
    }

    package let name: String
    package let kind: Kind
    package let meaning: String
    /// Labels and number of each sample; none when it is not known.
    let samples: @Sendable (Subject) -> [(labels: [MetricLabel], value: Double)]

    private init(
        _ name: String,
        _ kind: Kind,
        _ meaning: String,
        samples: @escaping @Sendable (Subject) -> [(labels: [MetricLabel], value: Double)]
    ) {
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self.samples = samples
    }

    static func counter(
        _ name: String,
        _ meaning: String,
        _ value: @escaping @Sendable (Subject) -> UInt64
    ) -> Metric {
        Metric(name, .counter, meaning) { [([], Double(value($0)))] }
    }

    static func gauge(_ name: String, _ meaning: String, _ value: @escaping @Sendable (Subject) -> Double?) -> Metric {
        Metric(name, .gauge, meaning) { subject in value(subject).map { [([], $0)] } ?? [] }
    }

    /// One sample for each value of a label.
    static func each(
        _ name: String,
        _ kind: Kind,
        _ meaning: String,
        _ samples: @escaping @Sendable (Subject) -> [(labels: [MetricLabel], value: Double)]
    ) -> Metric {
        Metric(name, kind, meaning, samples: samples)
    }

    /// Gauges: what a queue gave up while it was in flight counts as delivered when it is acknowledged after all.
    static func drops(_ name: String, _ meaning: String, _ drops: @escaping @Sendable (Subject) -> DropCounts) -> Metric
    {
        each(name, .gauge, meaning) { subject in
            let drops = drops(subject)
            return DropReason.allCases.map { ([MetricLabel("reason", $0.rawValue)], Double(drops[$0])) }
        }
    }
}

package struct MetricLabel: Sendable {
    let name: String
    let value: String

    init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}
