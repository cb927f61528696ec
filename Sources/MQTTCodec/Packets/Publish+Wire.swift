import NIOCore

/// The lower half of the first byte of PUBLISH (§3.3.1).
enum PublishFlags {
    static let retain: UInt8 = 0b0001
    static let duplicate: UInt8 = 0b1000

    static func qos(_ flags: UInt8) -> QoS? { QoS(rawValue: flags >> 1 & 3) }

    /// First byte of a PUBLISH, type included. [5:MQTT-3.3.1-2] DUP is 0 with QoS 0.
    static func firstByte(qos: QoS, isRetained: Bool, isDuplicate: Bool) -> UInt8 {
        PacketType.publish.rawValue << 4 | qos.rawValue << 1 | (isRetained ? retain : 0)
            | (isDuplicate && qos != .atMostOnce ? duplicate : 0)
    }

    /// - Throws: 0x81 for QoS 3 and for DUP with QoS 0, both known from the first byte.
    static func validate(_ flags: UInt8, version: ProtocolVersion?) throws(DecodeError) {
        let isFive = version == .v5
        // [5:MQTT-3.3.1-4] [311:MQTT-3.3.1-4]
        guard let qos = qos(flags) else {
            throw DecodeError(
                reason: .malformedPacket,
                statement: isFive ? "[5:MQTT-3.3.1-4]" : "[311:MQTT-3.3.1-4]",
                explanation: "QoS 3",
                offset: 0
            )
        }
        // [5:MQTT-3.3.1-2] [311:MQTT-3.3.1-2]
        if qos == .atMostOnce && flags & duplicate != 0 {
            throw DecodeError(
                reason: .malformedPacket,
                statement: isFive ? "[5:MQTT-3.3.1-2]" : "[311:MQTT-3.3.1-2]",
                explanation: "DUP with QoS 0",
                offset: 0
            )
        }
    }
}

extension PacketReader {
    /// - Parameter lastTopic: that of the PUBLISH before; publishers mostly repeat themselves.
    /// - Complexity: no allocation for topics up to 15 bytes or equal to `lastTopic`, without properties or with a mark
    ///   alone.
    mutating func publish(lastTopic: MQTTString) throws(DecodeError) -> Publish {
        let qos = PublishFlags.qos(flags) ?? .atMostOnce
        let topic: MQTTString
        let start = offset
        if version == .v5 && nextFieldIsEmpty {
            // §3.3.2.3.4: an alias stands for the topic; whether it is there is seen below.
            topic = try string()
        } else {
            topic = try topicName(known: lastTopic.isEmpty ? nil : lastTopic)
        }
        // [5:MQTT-2.2.1-2] [311:MQTT-2.3.1-5] QoS 0 has no identifier.
        let packetID = qos == .atMostOnce ? 0 : try packetID()
        var mark = version == .v5 ? takeMarkAlone() : nil
        var properties = Properties()
        if mark == nil {
            properties = try self.properties(of: .publish)
            mark = properties.takeMark()
        }
        if topic.isEmpty && properties.topicAlias == nil {
            throw DecodeError(
                reason: .protocolError,
                statement: "[5:§3.3.2.1]",
                explanation: "neither topic name nor topic alias",
                offset: start
            )
        }
        return Publish(
            topic: topic,
            payload: try rest(),
            qos: qos,
            packetID: packetID,
            isRetained: flags & PublishFlags.retain != 0,
            isDuplicate: flags & PublishFlags.duplicate != 0,
            properties: properties,
            mark: mark
        )
    }
}

extension WireSink {
    /// PUBLISH behind the fixed header, up to the payload.
    mutating func publishHeader(
        topic: MQTTString,
        packetID: UInt16?,
        properties: Properties,
        version: ProtocolVersion
    ) {
        // [5:MQTT-3.3.2-1] [311:MQTT-3.3.2-1]
        string(topic)
        if let packetID { twoByteInteger(packetID) }
        self.properties(properties, of: .publish, version: version)
    }

    /// PUBLISH behind the fixed header.
    mutating func publish(_ publish: Publish, version: ProtocolVersion) {
        let packetID = publish.qos == .atMostOnce ? nil : publish.packetID
        let properties = publish.properties.marked(publish.mark)
        publishHeader(topic: publish.topic, packetID: packetID, properties: properties, version: version)
        rest(publish.payload)
    }
}
