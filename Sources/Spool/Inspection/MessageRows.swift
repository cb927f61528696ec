import BrokerCore
import MQTTCodec

/// The rows of the queue, one after the other, each checked.
struct MessageRows: ~Copyable {
    struct Found {
        var position: UInt64
        /// Nil when the row's checksum or form is wrong.
        var message: Message?
        /// Empty when nobody can tell.
        var deliveries: [Delivery]
    }

    private let rows: SQLStatement
    private var row = MessageRow()

    init(_ connection: SQLConnection) throws(SpoolError) {
        rows = try connection.prepare("\(MessageRow.Table.message.select) ORDER BY position")
    }

    mutating func next() throws(SpoolError) -> Found? {
        guard try rows.step() else { return nil }
        return Found(
            position: rows.number(0),
            message: row.decode(rows, from: .message),
            deliveries: DeliveryList.read(rows.buffer(8)) ?? []
        )
    }
}
