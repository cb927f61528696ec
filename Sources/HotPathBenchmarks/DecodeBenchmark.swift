import MQTTCodec
import NIOCore

/// Bytes to PUBLISH, a hundred of them that came with one read.
struct DecodeBenchmark: AllocationBenchmark {
    let name: String
    let messages = 100
    private let wire: ByteBuffer
    private var decoder: PacketDecoder

    init(_ name: String, _ qos: QoS, _ version: ProtocolVersion, topics: [MQTTString] = [Wire.topic]) {
        self.name = name
        wire = Wire.publishes(messages, qos, version, to: topics)
        decoder = PacketDecoder(role: .server, version: version)
    }

    mutating func round(_ meter: inout AllocationMeter) throws(BenchmarkProblem) {
        var bytes = wire
        var count = 0
        do throws(DecodeError) {
            try meter.count { () throws(DecodeError) in
                while let packet = try decoder.next(from: &bytes) {
                    if case .publish = packet { count += 1 }
                }
            }
        } catch {
            throw BenchmarkProblem("\(name): \(error)")
        }
        guard count == messages else { throw BenchmarkProblem("\(name): \(count) packets instead of \(messages)") }
    }

    static func all() -> [any AllocationBenchmark] {
        [
            DecodeBenchmark("decode, QoS 0", .atMostOnce, .v3_1_1),
            DecodeBenchmark("decode, QoS 1", .atLeastOnce, .v3_1_1),
            DecodeBenchmark("decode, QoS 1, MQTT 5", .atLeastOnce, .v5),
            DecodeBenchmark("decode, QoS 0, topics of 48 bytes", .atMostOnce, .v3_1_1, topics: Wire.longTopics),
        ]
    }
}
