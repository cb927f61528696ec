import MQTTCodec
import NIOCore

extension Connection {
    /// Writes a PUBLISH to this peer alone.
    func write(
        _ topic: MQTTString,
        _ payload: ByteBuffer,
        _ properties: Properties,
        _ mark: LinkMark?,
        _ delivery: Delivery,
        _ packetID: UInt16 = 0,
        isDuplicate: Bool = false
    ) {
        // [5:MQTT-3.2.2-14]
        let isRetained = delivery.isRetained && peerTakesRetained
        if outboundAliases != nil,
            writeAliased(
                topic: topic,
                payload: payload,
                properties: properties,
                mark: mark,
                qos: delivery.qos,
                packetID: packetID,
                isRetained: isRetained,
                isDuplicate: isDuplicate,
                subscriptionIdentifiers: delivery.subscriptionIdentifiers
            )
        {
            return
        }
        PublishEncoder.append(
            topic: topic,
            payload: payload,
            properties: properties,
            mark: mark,
            to: &out,
            version: version,
            qos: delivery.qos,
            packetID: packetID,
            isRetained: isRetained,
            isDuplicate: isDuplicate,
            subscriptionIdentifiers: delivery.subscriptionIdentifiers
        )
    }
}
