import BrokerCore
import MQTTCodec
import NIOCore

/// Messages that left, or enter, a queue together.
///
///     'P' number count bytes checksum | length checksum message | length checksum message | ...
struct BacklogPart {
    var number: UInt64
    var messages: [CarriedMessage] = []
    /// Messages whose checksum or form was wrong.
    var damaged = 0

    static let headBytes = 1 + 8 + 4 + 4 + 8
    private static let mark = UInt8(ascii: "P")
    private static let retained: UInt8 = 1
    private static let deliveredRetained: UInt8 = 2

    struct Head {
        var number: UInt64
        var count: Int
        /// Of all messages with their heads.
        var bytes: Int
    }

    var encoded: ByteBuffer {
        var body = ByteBuffer()
        for message in messages { Self.write(message, to: &body) }
        var buffer = ByteBuffer()
        buffer.writeInteger(Self.mark)
        buffer.writeInteger(number)
        buffer.writeInteger(UInt32(clamping: messages.count))
        buffer.writeInteger(UInt32(clamping: body.readableBytes))
        buffer.writeInteger(buffer.withUnsafeReadableBytes { XXHash64.hash($0) })
        buffer.writeBuffer(&body)
        return buffer
    }

    /// - Parameter bytes: as many as a head has.
    static func head(_ bytes: ByteBuffer) -> Head? {
        var bytes = bytes
        guard bytes.readableBytes == headBytes else { return nil }
        let hash = bytes.getSlice(at: bytes.readerIndex, length: headBytes - 8)?
            .withUnsafeReadableBytes { XXHash64.hash($0) }
        guard bytes.readInteger(as: UInt8.self) == mark, let number = bytes.readInteger(as: UInt64.self),
            let count = bytes.readInteger(as: UInt32.self), let length = bytes.readInteger(as: UInt32.self),
            let hash, bytes.readInteger(as: UInt64.self) == hash
        else { return nil }
        return Head(number: number, count: Int(count), bytes: Int(length))
    }

    /// - Parameter body: what follows the head, `head.bytes` of it if the file is whole.
    init(_ head: Head, _ body: ByteBuffer) {
        number = head.number
        var body = body
        // A length that cannot be right makes all that follows unreadable.
        while let length = body.readInteger(as: UInt32.self), let hash = body.readInteger(as: UInt64.self),
            let bytes = body.readSlice(length: Int(length))
        {
            let isSound = bytes.withUnsafeReadableBytes { XXHash64.hash($0) } == hash
            if isSound, let message = Self.read(bytes) { messages.append(message) }
        }
        damaged = max(0, head.count - messages.count)
    }

    init(number: UInt64, messages: [CarriedMessage]) {
        self.number = number
        self.messages = messages
    }

    private static func write(_ carried: CarriedMessage, to buffer: inout ByteBuffer) {
        let message = carried.message
        var bytes = ByteBuffer()
        bytes.writeInteger(message.id.high)
        bytes.writeInteger(message.id.low)
        bytes.writeInteger(message.qos.rawValue)
        bytes.writeInteger(carried.delivery.qos.rawValue)
        bytes.writeInteger(
            (message.isRetained ? retained : 0) | (carried.delivery.isRetained ? deliveredRetained : 0)
        )
        bytes.writeInteger(message.expiry?.microseconds ?? .max)
        bytes.writeText(message.topic.string)
        var properties = ByteBuffer()
        MessageProperties.write(message, to: &properties)
        bytes.writeVariable(UInt64(properties.readableBytes))
        bytes.writeBuffer(&properties)
        bytes.writeImmutableBuffer(message.payload)
        buffer.writeInteger(UInt32(clamping: bytes.readableBytes))
        buffer.writeInteger(bytes.withUnsafeReadableBytes { XXHash64.hash($0) })
        buffer.writeBuffer(&bytes)
    }

    private static func read(_ bytes: ByteBuffer) -> CarriedMessage? {
        var bytes = bytes
        guard let high = bytes.readInteger(as: UInt64.self), let low = bytes.readInteger(as: UInt64.self),
            let qos = bytes.readInteger(as: UInt8.self).flatMap({ QoS(rawValue: $0) }),
            let sentQoS = bytes.readInteger(as: UInt8.self).flatMap({ QoS(rawValue: $0) }),
            let flags = bytes.readInteger(as: UInt8.self), let expiry = bytes.readInteger(as: UInt64.self),
            let topic = bytes.readText(), let blob = bytes.readBytes(),
            let (properties, publisher, mark) = MessageProperties.read(blob)
        else { return nil }
        let message = Message(
            id: MessageID(high: high, low: low),
            topic: MQTTString(topic),
            // Of its own: a slice would keep the whole part in memory for as long as the message lives.
            payload: ByteBuffer(bytes: bytes.readableBytesView),
            qos: qos,
            isRetained: flags & retained != 0,
            properties: properties,
            expiry: expiry == .max ? nil : Timestamp(microseconds: expiry),
            publisher: publisher,
            mark: mark
        )
        return CarriedMessage(
            message: message,
            delivery: Delivery(
                receiver: ReceiverID(0),
                qos: sentQoS,
                isRetained: flags & deliveredRetained != 0
            )
        )
    }
}

extension MessageProperties {
    /// All that a message carries on.
    static func write(_ message: Message, to buffer: inout ByteBuffer) {
        write(message.properties, to: &buffer)
        if let publisher = message.publisher { write(publisher: publisher, to: &buffer) }
        if let mark = message.mark { write(mark, to: &buffer) }
    }
}
