import BrokerCore
import MQTTCodec
import NIOCore

/// The blob of what a message carries on to its receivers: for each property its identifier on the wire (§2.2.2.2)
/// and its value, lengths as variable integers. Most messages have none and take no byte.
enum MessageProperties {
    static func write(_ properties: Properties, to buffer: inout ByteBuffer) {
        guard !properties.isEmpty else { return }
        let values = properties.values
        if let indicator = values.payloadFormatIndicator {
            buffer.writeInteger(UInt8(0x01))
            buffer.writeInteger(indicator)
        }
        if let type = values.contentType {
            buffer.writeInteger(UInt8(0x03))
            buffer.writeText(type.string)
        }
        if let topic = values.responseTopic {
            buffer.writeInteger(UInt8(0x08))
            buffer.writeText(topic.string)
        }
        if let data = values.correlationData {
            buffer.writeInteger(UInt8(0x09))
            buffer.writeVariable(UInt64(data.readableBytes))
            buffer.writeImmutableBuffer(data)
        }
        for property in values.userProperties {
            buffer.writeInteger(UInt8(0x26))
            buffer.writeText(property.name.string)
            buffer.writeText(property.value.string)
        }
    }

    /// The client that published the message; no property of MQTT, whose identifiers end at 0x2A.
    static func write(publisher: MQTTString, to buffer: inout ByteBuffer) {
        buffer.writeInteger(publisherTag)
        buffer.writeText(publisher.string)
    }

    /// Id and hops of the mark that came with the message; no property of MQTT either.
    static func write(_ mark: LinkMark, to buffer: inout ByteBuffer) {
        buffer.writeInteger(markTag)
        buffer.writeInteger(mark.id.high)
        buffer.writeInteger(mark.id.low)
        buffer.writeInteger(mark.hops)
    }

    private static let publisherTag: UInt8 = 0xF0
    private static let markTag: UInt8 = 0xF1

    /// Nil when the bytes are no such list.
    static func read(_ bytes: ByteBuffer) -> (Properties, publisher: MQTTString?, mark: LinkMark?)? {
        guard bytes.readableBytes > 0 else { return (Properties(), nil, nil) }
        var bytes = bytes
        var values = Properties.Values()
        var publisher: MQTTString?
        var mark: LinkMark?
        while let identifier = bytes.readInteger(as: UInt8.self) {
            switch identifier {
            case 0x01:
                guard let indicator = bytes.readInteger(as: UInt8.self) else { return nil }
                values.payloadFormatIndicator = indicator
            case 0x03:
                guard let type = bytes.readText() else { return nil }
                values.contentType = MQTTString(type)
            case 0x08:
                guard let topic = bytes.readText() else { return nil }
                values.responseTopic = MQTTString(topic)
            case 0x09:
                guard let data = bytes.readBytes() else { return nil }
                values.correlationData = data
            case 0x26:
                guard let name = bytes.readText(), let value = bytes.readText() else { return nil }
                values.userProperties.append(Properties.UserProperty(MQTTString(name), MQTTString(value)))
            case markTag:
                guard let high = bytes.readInteger(as: UInt64.self), let low = bytes.readInteger(as: UInt64.self),
                    let hops = bytes.readInteger(as: UInt8.self)
                else { return nil }
                mark = LinkMark(id: MessageID(high: high, low: low), hops: hops)
            case publisherTag:
                guard let clientID = bytes.readText() else { return nil }
                publisher = MQTTString(clientID)
            default:
                return nil
            }
        }
        var properties = Properties()
        properties.values = values
        return (properties, publisher, mark)
    }
}
