import MQTTCodec
import NIOCore

/// A message on its way through a shard: from a client, an upstream, a will or the gateway, or one that was kept.
///
/// Much of it is counted references: it is lent, never copied.
struct Publication: ~Copyable {
    /// What all receivers get of it: topic, payload, properties.
    var encoder: PublishEncoder
    var qos: QoS
    var isRetained: Bool
    /// Slot of the publishing session, for No Local; nil for the gateway.
    var publisher: Int32?
    /// Who published it, for what is retained; nil for links, and while there are no rules.
    var subject: AccessSubject?
    /// The link it came in over: it never leaves over the same one.
    var origin: Link?
    /// True when a crash would bring it again until records of this turn are on disk, its packet identifier or that the
    /// will is gone: delivery with QoS 2 waits for them.
    var waitsForRecords = false
    /// The server itself says it: it is no message of anybody.
    var isOwn = false
    /// What came with it over a link.
    var mark: LinkMark?
    /// The client that published it, where a link takes it or a rule of one names messages after their publishers.
    var clientID: MQTTString?
    /// Its name, where it has one before somebody keeps it.
    var id: MessageID?
    /// The message as it is kept, in a queue, in the spool or as a retained one; made when the first asks for it.
    private(set) var kept: Message?

    init(
        topic: MQTTString,
        payload: ByteBuffer,
        qos: QoS,
        isRetained: Bool,
        properties: Properties,
        publisher: Int32? = nil,
        subject: AccessSubject? = nil
    ) {
        self.encoder = PublishEncoder(topic: topic, payload: payload, properties: properties)
        self.qos = qos
        self.isRetained = isRetained
        self.publisher = publisher
        self.subject = subject
    }

    /// A message that is kept, with the properties that it has by now.
    init(_ message: Message, properties: Properties) {
        self.init(
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
            isRetained: message.isRetained,
            properties: properties
        )
        kept = message
        clientID = message.publisher
        mark = message.mark
    }

    var topic: MQTTString { encoder.topic }
    var payload: ByteBuffer { encoder.payload }
    var properties: Properties { encoder.properties }
    /// Bytes of the payload, without taking hold of it.
    var payloadBytes: Int { encoder.payload.readableBytes }
    var kind: Route.Kind { Route.Kind(qos: qos, isRetained: isRetained) }

    /// Gives it another name, and properties that go with it.
    mutating func rename(_ topic: MQTTString, properties: Properties) {
        encoder = PublishEncoder(topic: topic, payload: encoder.payload, properties: properties)
    }

    /// What it is called, whether anybody keeps it or not.
    mutating func name(_ ids: inout MessageIDSource, _ now: Now) -> MessageID {
        if let id = kept?.id ?? id { return id }
        let id = ids.next(now.wall)
        self.id = id
        return id
    }

    /// The message for those who keep it, in memory of its own.
    mutating func message(_ ids: inout MessageIDSource, _ now: Now) -> Message {
        if let kept { return kept }
        var properties = properties
        // [5:§3.3.2.3.3] Without an interval it never expires.
        let expiry = properties.messageExpiryInterval.map { now.wall.advanced(bySeconds: $0) }
        if expiry != nil { properties.messageExpiryInterval = nil }
        properties.ownBytes()
        let message = Message(
            id: name(&ids, now),
            topic: topic,
            payload: payload.owned,
            qos: qos,
            isRetained: isRetained,
            properties: properties,
            expiry: expiry,
            publisher: clientID,
            mark: mark
        )
        kept = message
        return message
    }
}
