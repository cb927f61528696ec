package import MQTTCodec
package import NIOCore

/// The name of a message: 128 bits, ordered by time, unique across nodes. It identifies and never orders.
///
/// 64 bits of microseconds since 1970, 48 bits of node number, 16 bits of sequence.
package struct MessageID: Sendable, Hashable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 32 lower-case hexadecimal digits.
    package var description: String { Self.hex(high) + Self.hex(low) }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }
}

/// Makes message ids: always larger than the one before, also when the wall clock steps back.
package struct MessageIDSource: Sendable {
    private let node: UInt64
    private var last: UInt64
    private var sequence: UInt16 = 0

    /// - Parameters:
    ///   - node: 48 bits; higher bits are ignored.
    ///   - mark: the highest time used before, so that ids stay ordered over a restart.
    package init(node: UInt64, mark: Timestamp) {
        self.node = node & 0xFFFF_FFFF_FFFF
        self.last = mark.microseconds
    }

    /// Complexity: O(1), no allocation.
    package mutating func next(_ wall: Timestamp) -> MessageID {
        if wall.microseconds > last {
            last = wall.microseconds
            sequence = 0
        } else if sequence == .max {
            last &+= 1
            sequence = 0
        } else {
            sequence &+= 1
        }
        return MessageID(high: last, low: node << 16 | UInt64(sequence))
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

    package init(
        id: MessageID,
        topic: MQTTString,
        payload: ByteBuffer,
        qos: QoS,
        isRetained: Bool,
        properties: Properties,
        expiry: Timestamp?
    ) {
        self.id = id
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.isRetained = isRetained
        self.properties = properties
        self.expiry = expiry
    }

    /// What the message holds in memory and on disk, apart from constants: limits in bytes count this.
    package var bytes: Int { topic.count + payload.readableBytes + properties.publishBytes }
}
