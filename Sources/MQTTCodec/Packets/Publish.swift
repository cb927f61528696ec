package import NIOCore

/// PUBLISH: an application message (§3.3).
package struct Publish: Sendable, Equatable {
    /// Empty only in version 5 with a topic alias (§3.3.2.3.4); otherwise valid, without wildcards.
    package var topic: MQTTString
    /// A slice of the read buffer when decoded; whoever keeps it copies it first, since a small slice holds the
    /// whole buffer.
    package var payload: ByteBuffer
    package var qos: QoS
    package var isRetained: Bool
    package var isDuplicate: Bool
    /// 1...65535 for QoS 1 and 2; 0 for QoS 0, which has none [5:MQTT-2.2.1-2].
    package var packetID: UInt16
    /// Without the mark.
    package var properties: Properties
    /// What says between Drawbridges who the message is; version 5 only.
    package var mark: LinkMark?

    package init(
        topic: MQTTString,
        payload: ByteBuffer,
        qos: QoS = .atMostOnce,
        packetID: UInt16 = 0,
        isRetained: Bool = false,
        isDuplicate: Bool = false,
        properties: Properties = Properties(),
        mark: LinkMark? = nil
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.packetID = packetID
        self.isRetained = isRetained
        self.isDuplicate = isDuplicate
        self.properties = properties
        self.mark = mark
    }
}
