import MQTTCodec
import NIOCore

/// Packets in a line, for `-d`.
enum ClientTalk {
    static func text(_ packet: Packet) -> String {
        switch packet {
        case .connect: "CONNECT"
        case .connAck(let ack): "CONNACK (\(ack.reason.name))"
        case .publish(let publish):
            "PUBLISH (d\(publish.isDuplicate ? 1 : 0), q\(publish.qos.rawValue), r\(publish.isRetained ? 1 : 0), "
                + "m\(publish.packetID), '\(publish.topic)', ... (\(publish.payload.readableBytes) bytes))"
        case .pubAck(let ack): acknowledgement("PUBACK", ack)
        case .pubRec(let ack): acknowledgement("PUBREC", ack)
        case .pubRel(let ack): acknowledgement("PUBREL", ack)
        case .pubComp(let ack): acknowledgement("PUBCOMP", ack)
        case .subscribe(let subscribe):
            "SUBSCRIBE (Mid: \(subscribe.packetID), "
                + subscribe.subscriptions.map { "Topic: \($0.filter), QoS: \($0.options.maximumQoS.rawValue)" }
                .joined(separator: ", ") + ")"
        case .subAck(let ack): "SUBACK (Mid: \(ack.packetID), \(ack.reasons.map(\.name).joined(separator: ", ")))"
        case .unsubscribe(let unsubscribe):
            "UNSUBSCRIBE (Mid: \(unsubscribe.packetID), "
                + unsubscribe.filters.map { "Topic: \($0)" }.joined(separator: ", ") + ")"
        case .unsubAck(let ack): "UNSUBACK (Mid: \(ack.packetID))"
        case .pingReq: "PINGREQ"
        case .pingResp: "PINGRESP"
        case .disconnect(let disconnect): "DISCONNECT (\(disconnect.reason.name))"
        case .auth: "AUTH"
        }
    }

    private static func acknowledgement(_ name: String, _ ack: PublishAck) -> String {
        "\(name) (Mid: \(ack.packetID), \(ack.reason.name))"
    }
}
