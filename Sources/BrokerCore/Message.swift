package import MQTTCodec
package import NIOCore

extension MessageID {
    /// When the message came to the node that made its name.
    package var time: Timestamp { Timestamp(microseconds: high) }
}

/// Makes message ids: always larger than the one before, also when the wall clock steps back.
package struct MessageIDSource: Sendable {
    /// Of whoever makes them, 48 bits.
    let node: UInt64
    private let run: UInt16
    private var last: UInt64
    /// The last one that was made; none is later.
    var latest: MessageID { MessageID(high: last, low: node << 16 | UInt64(run | sequence)) }
    private var sequence: UInt16
    private let sequenceMin: UInt16
    private let sequenceMax: UInt16

    /// - Parameters:
    ///   - node: 48 bits; higher bits are ignored.
    ///   - run: how often the node was started. A crash forgets what was named after the mark; if the clock is set back as
    ///     well, two runs name messages by the same time.
    ///   - mark: the highest time used before that is on disk, so that ids stay ordered over a restart.
    ///   - wall: the clock now. Behind the mark it was set back; names that a crash made the disk forget were at most a
    ///     minute after the mark, and others may know them: ids begin after them.
    package init(node: UInt64, run: UInt64, mark: Timestamp, wall: Timestamp) {
        self.node = node & 0xFFFF_FFFF_FFFF
        self.run = UInt16(truncatingIfNeeded: run & 0xF) << 12
        self.last = wall < mark ? mark.advanced(bySeconds: 60).microseconds : mark.microseconds
        self.sequenceMin = 0
        self.sequenceMax = Self.risenMin - 1
        self.sequence = 0
    }

    /// A source beside another: for ids of another time than now, that are none of those that the other one makes.
    init(beside other: MessageIDSource) {
        node = other.node
        run = other.run
        last = other.last
        sequenceMin = Self.risenMin
        sequenceMax = Self.sequenceEnd
        sequence = Self.risenMin
    }

    private static let risenMin: UInt16 = 0xF00
    private static let sequenceEnd: UInt16 = 0xFFF

    /// Complexity: O(1), no allocation.
    package mutating func next(_ wall: Timestamp) -> MessageID {
        if wall.microseconds > last {
            last = wall.microseconds
            sequence = sequenceMin
        } else if sequence == sequenceMax {
            last &+= 1
            sequence = sequenceMin
        } else {
            sequence &+= 1
        }
        return MessageID(high: last, low: node << 16 | UInt64(run | sequence))
    }
}

/// An application message that somebody keeps: in a queue, in the spool or as a retained message. Immutable, so that
/// threads may share it.
package final class Message: Sendable {
    package let id: MessageID
    package let topic: MQTTString
    /// Holds no more memory than its bytes: never a slice of a read buffer.
    package let payload: ByteBuffer
    /// As published.
    package let qos: QoS
    /// The RETAIN flag as published.
    package let isRetained: Bool
    /// What travels on to receivers: payload format, content type, response topic, correlation data, user properties.
    /// `messageExpiryInterval` is not here but in `expiry`.
    package let properties: Properties
    /// Absolute, so that it survives a restart; nil never expires (§3.3.2.3.3).
    package let expiry: Timestamp?
    /// Where it came from, without the stream that it came by; nil when it was published here.
    package let mark: LinkMark?
    /// The client that published it, where a link takes it or a rule of one names messages after their publishers.
    package let publisher: MQTTString?

    package init(
        id: MessageID,
        topic: MQTTString,
        payload: ByteBuffer,
        qos: QoS,
        isRetained: Bool,
        properties: Properties,
        expiry: Timestamp?,
        publisher: MQTTString? = nil,
        mark: LinkMark? = nil
    ) {
        self.id = id
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.isRetained = isRetained
        self.properties = properties
        self.expiry = expiry
        self.mark = mark
        self.publisher = publisher
    }

    /// What the message holds in memory and on disk, apart from constants: limits in bytes count this.
    package var bytes: Int { topic.count + payload.readableBytes + properties.publishBytes }
}
