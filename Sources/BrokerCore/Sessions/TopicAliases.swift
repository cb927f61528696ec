import MQTTCodec
import NIOCore

/// What a client's topic aliases stand for (§3.3.2.3.4). They die with their connection [5:MQTT-3.3.2-7].
///
/// At most `BrokerSettings.topicAliasMax` topics of one connection, as was announced in CONNACK.
struct InboundAliases {
    private var topics: [MQTTString] = []

    /// Puts the topic into a PUBLISH that has an alias, and keeps it when it brings one along.
    ///
    /// - Returns: false for an alias above `max`, and for one that stands for nothing yet.
    mutating func resolve(_ packet: inout Publish, alias: UInt16, max: Int) -> Bool {
        // [5:MQTT-3.3.2-9] none above the maximum; [5:MQTT-3.3.2-12] all from 1 up to it.
        guard alias > 0, Int(alias) <= max else { return false }
        let index = Int(alias) - 1
        if packet.topic.isEmpty {
            guard topics.indices.contains(index), !topics[index].isEmpty else { return false }
            packet.topic = topics[index]
        } else {
            while topics.count <= index { topics.append("") }
            // [5:§3.3.2.3.4] a topic gives the alias another meaning.
            topics[index] = packet.topic
        }
        packet.properties.topicAlias = nil
        return true
    }
}

/// The topic aliases that we gave to one client: its first topics get one each, as many as it takes, and keep it.
/// A table that learned which topics are worth it would cost every message more than the few bytes that it saves.
struct OutboundAliases {
    private var aliases: [MQTTString: UInt16] = [:]
    private let max: Int
    private let bytesMin: Int

    /// - Parameters:
    ///   - max: the client's Topic Alias Maximum, or ours if that is smaller [5:MQTT-3.1.2-26] [5:MQTT-3.3.2-11]. Above
    ///     0: a client that takes none has no table [5:MQTT-3.1.2-27].
    ///   - bytesMin: topics that are shorter get none; the property takes three bytes itself.
    init(max: Int, bytesMin: Int = 4) {
        self.max = max
        self.bytesMin = bytesMin
    }

    /// The alias of a topic, and whether the client knows it; nil when it gets none.
    func alias(of topic: MQTTString) -> (alias: UInt16, isKnown: Bool)? {
        guard topic.count >= bytesMin else { return nil }
        if let known = aliases[topic] { return (known, true) }
        guard aliases.count < max else { return nil }
        return (UInt16(aliases.count + 1), false)
    }

    /// The PUBLISH that tells the client is written.
    mutating func told(_ alias: UInt16, _ topic: MQTTString) { aliases[topic] = alias }
}

extension Connection {
    /// Writes a PUBLISH with a topic alias, if this client takes one for the topic; false, and nothing written, if not.
    ///
    /// - Parameter properties: as they shall be sent.
    /// - Complexity: one comparison for a client that takes no aliases.
    func writeAliased(
        topic: MQTTString,
        payload: ByteBuffer,
        properties: Properties,
        mark: LinkMark? = nil,
        qos: QoS,
        packetID: UInt16,
        isRetained: Bool,
        isDuplicate: Bool,
        subscriptionIdentifiers: [UInt32]
    ) -> Bool {
        guard let (alias, isKnown) = outboundAliases?.alias(of: topic) else { return false }
        let encoder = PublishEncoder(
            topic: isKnown ? "" : topic, payload: payload, properties: properties.marked(mark), topicAlias: alias)
        // The alias alone must not make it too large; without one it was found to fit.
        guard
            packetBytesMax == .max
                || encoder.size(version: version, qos: qos, subscriptionIdentifiers: subscriptionIdentifiers)
                    <= packetBytesMax
        else { return false }
        let isWritten = encoder.appendOnce(
            to: &out,
            version: version,
            qos: qos,
            packetID: packetID,
            isRetained: isRetained,
            isDuplicate: isDuplicate,
            subscriptionIdentifiers: subscriptionIdentifiers
        )
        if isWritten, !isKnown { outboundAliases?.told(alias, topic) }
        return isWritten
    }
}
