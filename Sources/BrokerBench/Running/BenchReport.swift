import BrokerServer
import Foundation
import MQTTCodec

/// What a run found. Names of the JSON are those of the fields, in snake case; what a scenario does not have is absent.
package struct BenchReport: Sendable, Encodable {
    package struct Latency: Sendable, Encodable {
        package var count: UInt64
        package var mean: Double
        package var p50: Double
        package var p90: Double
        package var p99: Double
        package var p999: Double
        package var max: Double

        /// In microseconds; nil when nothing was timed.
        package init?(_ histogram: LatencyHistogram) {
            guard histogram.count > 0 else { return nil }
            func micros(_ value: Double) -> Double { (value / 100).rounded() / 10 }
            func micros(_ value: UInt64) -> Double { micros(Double(value)) }
            count = histogram.count
            mean = micros(histogram.mean)
            p50 = micros(histogram.percentile(0.5))
            p90 = micros(histogram.percentile(0.9))
            p99 = micros(histogram.percentile(0.99))
            p999 = micros(histogram.percentile(0.999))
            max = micros(histogram.max)
        }
    }

    /// What the broker's processes used while it was measured; with `--pid` only.
    package struct Broker: Sendable, Encodable {
        package var cpuSeconds: Double
        /// Of one core.
        package var cores: Double
        /// For a million messages delivered; published ones where nobody here hears them.
        package var cpuSecondsPerMillion: Double?
        package var cpuMicrosPerConnect: Double?
        package var residentBytesMax: Int
        package var residentBytesPerConnection: Double?
        package var residentBytesPerQueued: Double?
    }

    package var scenario: String
    package var address: String
    package var version: Int
    package var qos: Int
    package var payloadBytes: Int
    package var threads: Int
    package var connections = 0
    package var publishers = 0
    package var subscribers = 0
    /// Messages a second that were asked for; absent when they went as fast as they were delivered.
    package var rate: Double?
    package var window: Int?
    /// Messages of a publisher that the broker has not acknowledged, at most; of `pub` without a rate.
    package var inflight: Int?

    package var setUpSeconds = 0.0
    package var seconds = 0.0

    /// False when it was interrupted while clients connected: nothing was sent.
    package var wasSetUp = true
    /// Clients that connected in the set-up, whatever became of them; without those that publish for `idle` at its end.
    package var connected = 0

    // Over the whole run.
    package var failed = 0
    package var dropped = 0
    package var sessionsPresent: Int?
    package var sent: UInt64 = 0
    /// Of those that the limit asked for: their publishers were not let.
    package var unsent: UInt64 = 0
    /// Due by the rate when the run ended, and still not sent: the broker did not take them. They have no latency.
    package var overdue: UInt64?
    package var acknowledged: UInt64 = 0
    /// Sent with QoS 1 and 2, and never answered.
    package var unacknowledged: UInt64 = 0
    package var rejected: UInt64 = 0
    package var received: UInt64 = 0
    package var lost: UInt64 = 0
    package var duplicates: UInt64 = 0
    package var reordered: UInt64 = 0
    package var corrupted: UInt64 = 0
    package var foreign: UInt64 = 0
    package var misplacedIds: UInt64 = 0
    package var stalls: UInt64 = 0

    // In the measured time.
    package var sentPerSecond: Double?
    package var receivedPerSecond: Double?
    package var connectsPerSecond: Double?
    package var megabytesInPerSecond: Double?
    package var megabytesOutPerSecond: Double?
    package var drainSeconds: Double?
    package var fillSeconds: Double?
    package var fillPerSecond: Double?
    package var drainPerSecond: Double?

    /// Microseconds from the time at which a message should have been sent.
    package var latencyMicros: Latency?
    /// Microseconds from the time at which a client should have begun to connect to its CONNACK or SUBACK.
    package var connectMicros: Latency?
    package var broker: Broker?
    /// The broker's, while `backlog` queues messages; `broker` is then what it used while they drained.
    package var brokerFilling: Broker?
    /// Of one core for each thread; near 1 the generator was the limit and not the broker.
    package var generatorUtilisation = 0.0
    /// By how much the generator itself was late at most; only with a rate.
    package var sendDelayMaxMicros: Double?
    package var messagesPerRead: Double?
    /// The first thing that went wrong with a connection, in words.
    package var firstFailure: String?
    /// Ended before its time by whoever started it.
    package var wasInterrupted = false
    package var allowsLoss = false

    package init(_ settings: BenchSettings) {
        scenario = settings.scenario.rawValue
        let addresses = settings.hosts.map { host in
            var address = settings.client.address
            address.host = host
            return address.description
        }
        address = addresses.isEmpty ? settings.client.address.description : addresses.joined(separator: ", ")
        version = Int(settings.client.connect.version.rawValue)
        qos = Int(settings.qos.rawValue)
        payloadBytes = settings.size
        threads = settings.threads
        allowsLoss = settings.allowsLoss
    }

    /// What a broker must not do: lose, double, mix up or damage messages, refuse them, or end connections.
    package var faults: [String] {
        var faults: [String] = []
        func check(_ count: UInt64, _ words: String) { if count > 0 { faults.append("\(count) \(words)") } }
        if !allowsLoss { check(lost, "lost") }
        check(duplicates, "duplicated")
        check(reordered, "out of order")
        check(corrupted, "damaged or of somebody else")
        check(misplacedIds, "with a packet identifier that is not on its way")
        check(rejected, "refused by acknowledgement")
        check(unacknowledged, "never acknowledged")
        check(unsent, "never sent, for the broker did not let their publishers")
        check(UInt64(dropped), "connections dropped")
        check(UInt64(failed), "connections failed")
        return faults
    }

    /// 0: all is well. 1: the run was interrupted before it took place. 3: the broker did what it must not.
    package var exitCode: Int32 { faults.isEmpty ? (wasSetUp ? 0 : 1) : 3 }

    package var json: String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        } catch {
            // Numbers and strings only; infinite numbers are left out where they could come up.
            return "{\"error\":\"\(error)\"}"
        }
    }
}
