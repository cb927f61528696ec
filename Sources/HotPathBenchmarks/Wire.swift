import MQTTCodec
import NIOCore

/// Packets as the bytes that clients send, made before anything is counted.
enum Wire {
    static let payloadBytes = 64
    /// Of 12 bytes: short names live where the reference to a long one would stand.
    static let topic: MQTTString = "room/kitchen"
    /// Of 48 bytes, in turn, so that the one before is of no use.
    static let longTopics: [MQTTString] = [
        "plant/hall-3/line-12/press-7/temperature/celsius",
        "plant/hall-3/line-12/press-7/oil-pressure/pascal",
    ]

    static func connect(_ clientID: String, _ version: ProtocolVersion) -> ByteBuffer {
        bytes(
            [.connect(Connect(version: version, clientID: MQTTString(clientID), cleanStart: true, keepAlive: 0))],
            version
        )
    }

    static func subscribe(_ qos: QoS, _ version: ProtocolVersion) throws(BenchmarkProblem) -> ByteBuffer {
        guard let filter = TopicFilter(topic.string) else { throw BenchmarkProblem("\(topic) is no filter") }
        let entry = Subscribe.Entry(filter: filter, options: SubscriptionOptions(maximumQoS: qos))
        return bytes([.subscribe(Subscribe(packetID: 1, subscriptions: [entry]))], version)
    }

    /// Messages to these topics in turn, with the packet identifiers from 1 on.
    static func publishes(
        _ count: Int,
        _ qos: QoS,
        _ version: ProtocolVersion,
        to topics: [MQTTString] = [topic]
    ) -> ByteBuffer {
        let payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: payloadBytes)
        let packets = (0..<count).map { number in
            let packetID = qos == .atMostOnce ? 0 : UInt16(truncatingIfNeeded: number + 1)
            let topic = topics[number % topics.count]
            return Packet.publish(Publish(topic: topic, payload: payload, qos: qos, packetID: packetID))
        }
        return bytes(packets, version)
    }

    /// - Complexity: no allocation when `buffer` has room.
    static func writeAnswers(_ type: PacketEncoder.AckType, to packetIDs: [UInt16], into buffer: inout ByteBuffer) {
        for packetID in packetIDs {
            PacketEncoder.writeAck(type, packetID: packetID, version: .v3_1_1, into: &buffer)
        }
    }

    private static func bytes(_ packets: [Packet], _ version: ProtocolVersion) -> ByteBuffer {
        var bytes = ByteBuffer()
        for packet in packets { PacketEncoder.write(packet, version: version, into: &bytes) }
        return bytes
    }
}
