import MQTTCodec
import NIOCore

/// What all connections of one client id have heard together, and what of it cannot be true of one session that only one
/// of them has at a time.
///
/// Moments are numbers that grow with everything that happens at the clients: a moment that is smaller was earlier, and
/// what happened at the broker between two of them did so in that order.
struct FightRecord {
    /// A message to this id: the number of its QoS, counted by its publisher, and when it was published.
    struct Message {
        var qos: QoS
        var number: Int
        var publishedAt: Int

        var payload: String { "\(number) \(publishedAt)" }

        init(qos: QoS, number: Int, publishedAt: Int) {
            self.qos = qos
            self.number = number
            self.publishedAt = publishedAt
        }

        /// Nil when it is none of ours.
        init?(_ publish: Publish, grantedAs qos: QoS) {
            let numbers = String(buffer: publish.payload).split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 2 else { return nil }
            self.init(qos: qos, number: numbers[0], publishedAt: numbers[1])
        }
    }

    /// One connection that the broker accepted, or may have.
    struct Reign {
        /// When its CONNECT was sent.
        var claimedAt: Int
        /// When its CONNACK came.
        var acceptedAt: Int?
        /// The last number of each QoS.
        var last: [QoS: Int] = [:]
    }

    private let name: String
    /// By the moment of their CONNACK; with each the latest claim so far, so that one look answers for all before.
    private var accepted: [(at: Int, latestClaim: Int)] = []
    private var heard: [QoS: Set<Int>] = [:]
    /// Those that came without DUP.
    private var first: [QoS: Set<Int>] = [:]
    /// What the broker has answered for.
    private var promised: [QoS: Set<Int>] = [:]
    private(set) var complaints: [String] = []

    init(name: String) { self.name = name }

    mutating func accepted(_ reign: inout Reign, at moment: Int, _ ack: ConnAck) {
        reign.acceptedAt = moment
        accepted.append((moment, max(reign.claimedAt, accepted.last?.latestClaim ?? 0)))
        guard ack.isSessionPresent else { return complain("its session was gone at moment \(moment)") }
    }

    mutating func promised(_ message: Message) { promised[message.qos, default: []].insert(message.number) }

    mutating func heard(_ message: Message, isDuplicate: Bool, by reign: inout Reign) {
        let (qos, number) = (message.qos, message.number)
        if let last = reign.last[qos], number <= last { complain("\(qos) \(number) came after \(last)") }
        reign.last[qos] = number
        if qos == .atMostOnce {
            if heard[qos]?.contains(number) == true { complain("\(qos) \(number) came twice") }
        } else if !isDuplicate, !first[qos, default: []].insert(number).inserted {
            // [5:MQTT-3.3.1-1] [311:MQTT-3.3.1-1]
            complain("\(qos) \(number) came twice without DUP")
        }
        heard[qos, default: []].insert(number)
        checkThroneOf(reign, message)
    }

    /// [5:MQTT-3.1.4-3] [311:MQTT-3.1.4-2] who was thrown out hears nothing any more. Somebody else claimed the id after
    /// this connection was accepted, and was accepted before the message was published: it was his then.
    private mutating func checkThroneOf(_ reign: Reign, _ message: Message) {
        guard let acceptedAt = reign.acceptedAt else { return }
        var (low, high) = (0, accepted.count)
        while low < high {
            let middle = (low + high) / 2
            if accepted[middle].at < message.publishedAt { low = middle + 1 } else { high = middle }
        }
        if low > 0, accepted[low - 1].latestClaim > acceptedAt {
            complain("\(message.qos) \(message.number) came to a connection whose successor was accepted before")
        }
    }

    /// What was promised and has not come.
    var missing: [QoS: Set<Int>] {
        var missing: [QoS: Set<Int>] = [:]
        for (qos, numbers) in promised {
            let rest = numbers.subtracting(heard[qos] ?? [])
            if !rest.isEmpty { missing[qos] = rest }
        }
        return missing
    }

    mutating func complain(_ text: String) {
        // The first of them tell what went wrong.
        if complaints.count < 5 { complaints.append("\(name): \(text)") }
    }
}
