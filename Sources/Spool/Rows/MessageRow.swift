import BrokerCore
import MQTTCodec
import NIOCore

/// A message as it stands in a row: all of its columns in one run of bytes, over which the checksum is made before
/// writing and again after reading.
///
/// The layout is position, id, QoS, flags, expiry, four lengths, topic, payload, properties, and a tail: the receivers
/// of a message, or the client and the delay of a will. The bytes are reused for the next row, so a row costs no
/// allocation once they have grown. It is never copied: that would cost more than the row.
struct MessageRow: ~Copyable {
    private var bytes = ByteBuffer()
    private var topic = 0..<0
    private var payload = 0..<0
    private var properties = 0..<0
    private var tail = 0..<0
    private var delay: UInt32 = 0
    private var expiry: Timestamp?
    private var qos: UInt8 = 0
    private var flags: UInt8 = 0
    private var position: UInt64 = 0
    private var lists = DeliveryListWriter()
    private var finder = DeliveryFinder()

    private static let retained: UInt8 = 1
    private static let idRange = 8..<24

    /// The tables that keep messages, each with its columns in the order in which rows are bound and read here.
    enum Table: String {
        case message, retained, will

        var columns: [String] {
            switch self {
            case .message:
                ["position", "id", "topic", "payload", "qos", "flags", "properties", "expiry", "receivers", "checksum"]
            case .retained:
                ["topic", "id", "payload", "qos", "flags", "properties", "expiry", "checksum"]
            case .will:
                ["client_id", "id", "topic", "payload", "qos", "flags", "properties", "expiry", "delay", "checksum"]
            }
        }

        /// A select of what `decode` wants to stand on; a condition or an order may follow.
        var select: String { "SELECT \(columns.joined(separator: ", ")) FROM \(rawValue)" }

        /// What `insert` runs.
        var replace: String {
            let marks = columns.map { _ in "?" }.joined(separator: ", ")
            return "INSERT OR REPLACE INTO \(rawValue) (\(columns.joined(separator: ", "))) VALUES (\(marks))"
        }
    }

    /// When a message came to this node: its id begins with it. Nil for what is no id.
    static func came(_ id: UnsafeRawBufferPointer) -> Timestamp? {
        guard id.count == 16 else { return nil }
        return Timestamp(microseconds: UInt64(bigEndian: id.loadUnaligned(fromByteOffset: 0, as: UInt64.self)))
    }

    /// Takes a message in. `deliveries` is empty and the position 0 for a retained message.
    mutating func encode(_ message: Message, position: UInt64, deliveries: [Delivery]) {
        begin(message, position: position)
        lists.write(deliveries, to: &bytes)
        end()
    }

    /// Takes a will in.
    mutating func encode(_ will: WillRecord) {
        begin(will.message, position: 0)
        delay = will.delay
        bytes.writeInteger(will.delay)
        bytes.writeString(will.clientID.string)
        end()
    }

    /// Everything before the tail.
    private mutating func begin(_ message: Message, position: UInt64) {
        qos = message.qos.rawValue
        flags = message.isRetained ? Self.retained : 0
        expiry = message.expiry
        self.position = position
        begin(idHigh: message.id.high, idLow: message.id.low)
        bytes.writeString(message.topic.string)
        topic = Self.headCount..<bytes.writerIndex
        bytes.writeImmutableBuffer(message.payload)
        payload = topic.upperBound..<bytes.writerIndex
        MessageProperties.write(message.properties, to: &bytes)
        if let publisher = message.publisher { MessageProperties.write(publisher: publisher, to: &bytes) }
        if let mark = message.mark { MessageProperties.write(mark, to: &bytes) }
        properties = payload.upperBound..<bytes.writerIndex
    }

    /// The tail is written.
    private mutating func end() {
        tail = properties.upperBound..<bytes.writerIndex
        writeLengths()
    }

    /// Writes the row with the `replace` statement of `table`.
    func insert(with statement: SQLStatement, into table: Table) throws(SpoolError) {
        let result: Result<Void, SpoolError> = bytes.withUnsafeReadableBytes { all in
            let checksum = XXHash64.hash(all)
            func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: all[range]) }
            switch table {
            case .message:
                statement.bind(position, at: 1)
                statement.bind(borrowing: part(Self.idRange), at: 2)
                statement.bind(borrowingText: part(topic), at: 3)
                statement.bind(borrowing: part(payload), at: 4)
                statement.bind(Int64(qos), at: 5)
                statement.bind(Int64(flags), at: 6)
                statement.bind(borrowing: part(properties), at: 7)
                statement.bind(expiry, at: 8)
                statement.bind(borrowing: part(tail), at: 9)
                statement.bind(checksum, at: 10)
            case .retained:
                statement.bind(borrowingText: part(topic), at: 1)
                statement.bind(borrowing: part(Self.idRange), at: 2)
                statement.bind(borrowing: part(payload), at: 3)
                statement.bind(Int64(qos), at: 4)
                statement.bind(Int64(flags), at: 5)
                statement.bind(borrowing: part(properties), at: 6)
                statement.bind(expiry, at: 7)
                statement.bind(checksum, at: 8)
            case .will:
                statement.bind(borrowingText: part(tail.dropFirst(MemoryLayout<UInt32>.size)), at: 1)
                statement.bind(borrowing: part(Self.idRange), at: 2)
                statement.bind(borrowingText: part(topic), at: 3)
                statement.bind(borrowing: part(payload), at: 4)
                statement.bind(Int64(qos), at: 5)
                statement.bind(Int64(flags), at: 6)
                statement.bind(borrowing: part(properties), at: 7)
                statement.bind(expiry, at: 8)
                statement.bind(Int64(delay), at: 9)
                statement.bind(checksum, at: 10)
            }
            return Result { () throws(SpoolError) in try statement.run() }
        }
        try result.get()
    }

    /// Takes the row that a select of all columns of `table` stands on. Nil when its form or checksum is wrong.
    mutating func decode(_ statement: SQLStatement, from table: Table) -> Message? {
        let idColumn: Int32 = 1
        let (topicColumn, payloadColumn, qosColumn): (Int32, Int32, Int32) =
            switch table {
            case .message, .will: (2, 3, 4)
            case .retained: (0, 2, 3)
            }
        position = table == .message ? statement.number(0) : 0
        qos = UInt8(truncatingIfNeeded: statement.integer(qosColumn))
        flags = UInt8(truncatingIfNeeded: statement.integer(qosColumn + 1))
        expiry = statement.timestamp(qosColumn + 3)
        let id = statement.bytes(idColumn) { id in
            id.count == 16
                ? MessageID(
                    high: UInt64(bigEndian: id.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                    low: UInt64(bigEndian: id.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                )
                : nil
        }
        guard let id else { return nil }
        begin(idHigh: id.high, idLow: id.low)
        topic = append(statement, topicColumn)
        payload = append(statement, payloadColumn)
        properties = append(statement, qosColumn + 2)
        tail = appendTail(statement, of: table)
        writeLengths()
        let checksum = statement.number(table == .retained ? 7 : 9)
        guard bytes.withUnsafeReadableBytes({ XXHash64.hash($0) }) == checksum,
            let qos = QoS(rawValue: qos),
            let (properties, publisher, mark) = MessageProperties.read(copy(properties))
        else { return nil }
        return Message(
            id: id,
            topic: MQTTString(String(decoding: copy(topic).readableBytesView, as: UTF8.self)),
            payload: copy(payload),
            qos: qos,
            isRetained: flags & Self.retained != 0,
            properties: properties,
            expiry: expiry,
            publisher: publisher,
            mark: mark
        )
    }

    /// Takes the row that a select of all columns of the wills stands on. Nil when its form or checksum is wrong.
    mutating func decodeWill(_ statement: SQLStatement) -> WillRecord? {
        guard let message = decode(statement, from: .will) else { return nil }
        return WillRecord(clientID: MQTTString(statement.string(0)), message: message, delay: delay)
    }

    /// How the row that was decoded last goes to one receiver.
    mutating func delivery(to receiver: ReceiverID) -> Delivery? {
        bytes.withUnsafeReadableBytes { all in
            finder.find(receiver, in: UnsafeRawBufferPointer(rebasing: all[tail]))
        }
    }

    /// Where the four lengths stand in the head of the bytes, and where the topic begins.
    private static let lengthsStart = 8 + 16 + 2 + 8
    private static let headCount = lengthsStart + 16

    /// Begins the bytes with their head, as yet without the lengths. One write each, since every write to a `ByteBuffer`
    /// looks at its capacity and its ownership.
    private mutating func begin(idHigh: UInt64, idLow: UInt64) {
        bytes.clear()
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.headCount) { head in
            head.storeBytes(of: position.bigEndian, as: UInt64.self)
            head.storeBytes(of: idHigh.bigEndian, toByteOffset: 8, as: UInt64.self)
            head.storeBytes(of: idLow.bigEndian, toByteOffset: 16, as: UInt64.self)
            head.storeBytes(of: qos, toByteOffset: 24, as: UInt8.self)
            head.storeBytes(of: flags, toByteOffset: 25, as: UInt8.self)
            head.storeBytes(of: (expiry?.microseconds ?? .max).bigEndian, toByteOffset: 26, as: UInt64.self)
            return Self.headCount
        }
    }

    private mutating func writeLengths() {
        bytes.withUnsafeMutableReadableBytes { all in
            func store(_ part: Range<Int>, at index: Int) {
                let count = UInt32(truncatingIfNeeded: part.count).bigEndian
                all.storeBytes(of: count, toByteOffset: Self.lengthsStart + 4 * index, as: UInt32.self)
            }
            store(topic, at: 0)
            store(payload, at: 1)
            store(properties, at: 2)
            store(tail, at: 3)
        }
    }

    private mutating func appendTail(_ statement: SQLStatement, of table: Table) -> Range<Int> {
        switch table {
        case .message:
            return append(statement, 8)
        case .retained:
            return bytes.writerIndex..<bytes.writerIndex
        case .will:
            let start = bytes.writerIndex
            delay = UInt32(truncatingIfNeeded: statement.integer(8))
            bytes.writeInteger(delay)
            return start..<append(statement, 0).upperBound
        }
    }

    private mutating func append(_ statement: SQLStatement, _ column: Int32) -> Range<Int> {
        let start = bytes.writerIndex
        statement.bytes(column) { _ = bytes.writeBytes($0) }
        return start..<bytes.writerIndex
    }

    /// Bytes of their own, so that a small part does not hold the whole row.
    private func copy(_ range: Range<Int>) -> ByteBuffer {
        bytes.withUnsafeReadableBytes { ByteBuffer(bytes: UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}
