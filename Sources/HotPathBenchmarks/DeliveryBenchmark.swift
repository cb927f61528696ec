import BrokerCore
import MQTTCodec
import NIOCore

/// A publisher and its receivers in one shard: what a hundred messages cost that came with one read, from their bytes to
/// the bytes for each receiver, all acknowledgements included. No sockets.
///
/// Without a receiver it is what a route out of the cache costs.
struct DeliveryBenchmark: AllocationBenchmark {
    let name: String
    let messages = 100
    private let qos: QoS
    private let wire: ByteBuffer
    private let shard: ShardTurns
    private let publisher: ShardClient
    private let receivers: [ShardClient]

    init(_ name: String, _ qos: QoS, to count: Int, _ version: ProtocolVersion = .v3_1_1) throws(BenchmarkProblem) {
        self.name = name
        self.qos = qos
        wire = Wire.publishes(messages, qos, version)
        shard = ShardTurns()
        publisher = try shard.connect("publisher", version, expecting: messages)
        var receivers: [ShardClient] = []
        for number in 0..<count {
            let receiver = try shard.connect("receiver\(number)", version, expecting: messages)
            try shard.feed(try Wire.subscribe(qos, version), from: receiver)
            shard.perform()
            receiver.tally.forgetAll()
            receivers.append(receiver)
        }
        self.receivers = receivers
    }

    mutating func round(_ meter: inout AllocationMeter) throws(BenchmarkProblem) {
        publisher.answers = wire
        try turn(&meter, [publisher])
        guard receivers.allSatisfy({ $0.tally[.publish] == messages }) else {
            throw BenchmarkProblem("\(name): not every message was delivered")
        }
        let last: PacketType?
        switch qos {
        case .atMostOnce: last = nil
        case .atLeastOnce:
            for receiver in receivers { receiver.answer(.pubAck) }
            try turn(&meter, receivers)
            last = .pubAck
        case .exactlyOnce:
            for receiver in receivers { receiver.answer(.pubRec) }
            publisher.answer(.pubRel)
            try turn(&meter, receivers + [publisher])
            for receiver in receivers { receiver.answer(.pubComp) }
            try turn(&meter, receivers)
            last = .pubComp
        }
        if let last, publisher.tally[last] != messages {
            throw BenchmarkProblem("\(name): not every message was acknowledged")
        }
        for client in receivers + [publisher] { client.tally.forgetAll() }
    }

    /// What these clients have to say comes in one turn.
    private func turn(_ meter: inout AllocationMeter, _ clients: [ShardClient]) throws(BenchmarkProblem) {
        try meter.count { () throws(BenchmarkProblem) in
            for client in clients { try shard.feed(client.answers, from: client) }
            shard.perform()
        }
    }

    static func all() throws(BenchmarkProblem) -> [any AllocationBenchmark] {
        [
            try DeliveryBenchmark("route, a topic that nobody hears", .atMostOnce, to: 0),
            try DeliveryBenchmark("delivery to 1, QoS 0", .atMostOnce, to: 1),
            try DeliveryBenchmark("delivery to 1, QoS 1", .atLeastOnce, to: 1),
            try DeliveryBenchmark("delivery to 1, QoS 1, MQTT 5", .atLeastOnce, to: 1, .v5),
            try DeliveryBenchmark("delivery to 1, QoS 2", .exactlyOnce, to: 1),
            try DeliveryBenchmark("delivery to 100, QoS 0", .atMostOnce, to: 100),
            try DeliveryBenchmark("delivery to 100, QoS 1", .atLeastOnce, to: 100),
            try DeliveryBenchmark("delivery to 100, QoS 2", .exactlyOnce, to: 100),
        ]
    }
}
