import BrokerCore
import MQTTCodec

/// What one client is like, for the whole run.
struct Habits: CustomStringConvertible {
    struct Subscription {
        let filter: TopicFilter
        let qos: QoS
        var noLocal = false
        var identifier: UInt32?
    }

    struct WillHabit {
        let qos: QoS
        /// Seconds, of version 5.
        let delay: UInt32
    }

    var version: ProtocolVersion
    var isDurable: Bool
    var subscriptions: [Subscription]
    /// Own messages in flight.
    var window: Int
    /// Announced in version 5; nil leaves the default.
    var receiveMaximum: UInt16?
    /// Every so many acknowledgements one is late.
    var lateness: Int
    var publishesEvery: ClosedRange<Int>
    /// Milliseconds between one departure and the next; nil stays until something breaks.
    var leavesEvery: Int?
    var churns: Bool
    var will: WillHabit?
    /// Some messages are worth nothing after so many seconds.
    var expiry: UInt32?

    init(_ options: SimulationOptions, _ random: inout RandomSource) {
        version = random.once(in: 2) ? .v5 : random.once(in: 6) ? .v3_1 : .v3_1_1
        isDurable = !random.once(in: 3)
        window = Int.random(in: 1...10, using: &random)
        receiveMaximum = version == .v5 && random.once(in: 2) ? UInt16.random(in: 1...10, using: &random) : nil
        lateness = random.once(in: 3) ? 2 : 20
        let slowest = random.once(in: 3) ? 200 : 1_500
        publishesEvery = 20...slowest
        leavesEvery = random.once(in: 2) ? Int.random(in: 1_000...8_000, using: &random) : nil
        churns = random.once(in: 4)
        subscriptions = []
        let isMember = options.hasShares && !random.once(in: 3)
        for text in ["a/+", "a/1", "#", "+/2", "r/#"] where random.once(in: 3) {
            // What a member gets for its group is told from what it gets for itself by the topic.
            if isMember, text == "#" || text == "+/2" { continue }
            guard let filter = TopicFilter(text) else { continue }
            let raw = UInt8.random(in: 0...options.maximumQoS.rawValue, using: &random)
            let qos = random.once(in: 8) ? .atMostOnce : QoS(rawValue: max(1, raw)) ?? .atLeastOnce
            var subscription = Subscription(filter: filter, qos: qos)
            if version == .v5 {
                subscription.noLocal = options.hasNoLocal && random.once(in: 2)
                if options.hasIdentifiers { subscription.identifier = UInt32(subscriptions.count + 1) }
            }
            subscriptions.append(subscription)
        }
        if isMember, let filter = TopicFilter("$share/g/s/#") {
            let qos = options.maximumQoS == .exactlyOnce && random.once(in: 2) ? QoS.exactlyOnce : .atLeastOnce
            var subscription = Subscription(filter: filter, qos: qos)
            if options.hasIdentifiers, version == .v5 { subscription.identifier = UInt32(subscriptions.count + 1) }
            subscriptions.append(subscription)
        }
        if options.hasWills, random.once(in: 2), let filter = TopicFilter("w/#") {
            subscriptions.append(Subscription(filter: filter, qos: .atLeastOnce))
        }
        if options.hasWills, !random.once(in: 3) {
            let delay = version == .v5 && random.once(in: 2) ? UInt32.random(in: 1...4, using: &random) : 0
            will = WillHabit(qos: random.once(in: 2) ? .atLeastOnce : options.maximumQoS, delay: delay)
        }
        if options.hasExpiry, version == .v5 { expiry = UInt32.random(in: 1...5, using: &random) }
    }

    var description: String {
        "\(version)\(isDurable ? " durable" : ""), window \(window), receive maximum \(receiveMaximum ?? 0), "
            + "publishes every \(publishesEvery) ms, subscribes "
            + subscriptions.map { "\($0.filter.text):\($0.qos.rawValue)\($0.noLocal ? "nl" : "")" }
            .joined(separator: " ")
            + (will.map { ", will \($0.qos.rawValue) after \($0.delay) s" } ?? "")
            + (expiry.map { ", expiry \($0) s" } ?? "")
    }
}
