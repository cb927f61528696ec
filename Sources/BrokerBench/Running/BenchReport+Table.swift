import Foundation

extension BenchReport {
    /// For people: a line for each thing that this scenario has.
    package var table: String {
        var rows: [(String, String)] = []
        rows.append(("scenario", "\(scenario), MQTT \(versionName), QoS \(qos), \(payloadBytes) bytes"))
        rows.append(("broker", address))
        rows.append(
            ("clients", "\(connections) (\(publishers) publishers, \(subscribers) subscribers), \(threads) threads"))
        if setUpSeconds > 0 { rows.append(("set-up", "\(connected) connected in \(Self.seconds(setUpSeconds))")) }
        if let connectMicros { rows.append(("connect", Self.text(connectMicros))) }
        if let connectsPerSecond { rows.append(("connects", "\(Self.number(connectsPerSecond))/s")) }
        rows.append(("measured", Self.seconds(seconds) + (wasInterrupted ? ", interrupted" : "")))
        if let rate {
            let behind = overdue.flatMap { $0 > 0 ? ", \($0) of them were due at the end and not sent" : nil } ?? ""
            rows.append(("asked for", "\(Self.number(rate)) messages/s\(behind)"))
        }
        if let window { rows.append(("asked for", "as fast as delivered, \(window) at once per publisher")) }
        if let inflight { rows.append(("asked for", "as fast as acknowledged, \(inflight) at once per publisher")) }
        if scenario == "pub", qos == 0, rate == nil, wasSetUp {
            rows.append(("asked for", "as fast as the broker reads"))
        }
        appendMessages(&rows)
        if let latencyMicros { rows.append(("latency", Self.text(latencyMicros) + latencyRemark)) }
        if let brokerFilling { rows.append(("broker, filling", Self.text(brokerFilling))) }
        if let broker { rows.append(("broker", Self.text(broker))) }
        rows.append(("generator", generator))
        if let firstFailure { rows.append(("first failure", firstFailure)) }
        rows.append(("verdict", faults.isEmpty ? verdict : "FAULTY: " + faults.joined(separator: ", ")))
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { $0.0.padding(toLength: width + 2, withPad: " ", startingAt: 0) + $0.1 }.joined(
            separator: "\n")
    }

    private func appendMessages(_ rows: inout [(String, String)]) {
        if sent > 0 {
            let rate = sentPerSecond.map { ", \(Self.number($0))/s" } ?? ""
            rows.append(("sent", "\(sent)\(rate)" + (qos > 0 ? ", \(acknowledged) acknowledged" : "")))
        }
        if subscribers > 0 {
            let rate = receivedPerSecond.map { ", \(Self.number($0))/s" } ?? ""
            let megabytes = megabytesInPerSecond.map { String(format: ", %.1f MB/s", $0) } ?? ""
            rows.append(("received", "\(received)\(rate)\(megabytes)"))
            let strangers = foreign > 0 ? ", \(foreign) of others" : ""
            rows.append(("checked", "\(lost) lost, \(duplicates) duplicated, \(reordered) out of order\(strangers)"))
        }
        if let fillSeconds, let fillPerSecond {
            rows.append(("filled", "in \(Self.seconds(fillSeconds)), \(Self.number(fillPerSecond))/s"))
        }
        if let drainSeconds {
            let rate = drainPerSecond.map { ", \(Self.number($0))/s" } ?? ""
            rows.append(("drained", "in \(Self.seconds(drainSeconds))\(rate)"))
        }
        if stalls > 0 { rows.append(("stalls", "\(stalls) windows stood full for a second")) }
    }

    private var versionName: String { version == 3 ? "3.1" : version == 4 ? "3.1.1" : "5.0" }

    private var latencyRemark: String {
        window != nil || inflight != nil || scenario == "backlog" ? " (of queueing: no rate was asked for)" : ""
    }

    /// Without faults.
    private var verdict: String {
        guard wasSetUp else {
            return "interrupted: \(connected) of \(connections) clients connected, and nothing else was checked"
        }
        if scenario == "conn" { return "all connected, none dropped" }
        if scenario == "pub" { return qos > 0 ? "all acknowledged" : "all sent; nobody here hears them" }
        guard allowsLoss, lost > 0 else { return "nothing lost, doubled or out of order" }
        return "\(lost) lost, as allowed; nothing doubled or out of order"
    }

    private var generator: String {
        var text = String(format: "%.0f %% of a core per thread", generatorUtilisation * 100)
        if let sendDelayMaxMicros { text += String(format: ", at most %.0f µs late itself", sendDelayMaxMicros) }
        if generatorUtilisation > 0.9 { text += "; it may have been the limit: try --threads" }
        return text
    }

    private static func text(_ latency: Latency) -> String {
        "p50 \(time(latency.p50)), p90 \(time(latency.p90)), p99 \(time(latency.p99)), "
            + "p99.9 \(time(latency.p999)), max \(time(latency.max))"
    }

    private static func text(_ broker: Broker) -> String {
        var text = String(format: "%.2f CPU s, %.2f cores", broker.cpuSeconds, broker.cores)
        if let cost = broker.cpuSecondsPerMillion { text += String(format: ", %.3f CPU s per million messages", cost) }
        if let cost = broker.cpuMicrosPerConnect { text += String(format: ", %.1f CPU µs per connect", cost) }
        text += String(format: ", %.1f MB resident", Double(broker.residentBytesMax) / 1e6)
        if let bytes = broker.residentBytesPerConnection {
            text += String(format: ", %.0f bytes per connection", bytes)
        }
        if let bytes = broker.residentBytesPerQueued {
            text += String(format: ", %.0f bytes per queued message", bytes)
        }
        return text
    }

    private static func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }
    private static func number(_ value: Double) -> String { String(format: value < 100 ? "%.1f" : "%.0f", value) }

    private static func time(_ micros: Double) -> String {
        switch micros {
        case ..<1000: String(format: "%.0f µs", micros)
        case ..<1_000_000: String(format: "%.2f ms", micros / 1000)
        default: String(format: "%.2f s", micros / 1e6)
        }
    }
}
