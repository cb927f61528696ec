import BrokerCore

/// A row of the table of receivers: where its columns are. Each is read when it is asked for.
struct ReceiverRow {
    /// In the order of the schema.
    static let columns = ["number", "kind", "name", "expiry", "disconnected_at", "low_water", "exceptions"]
    static let list = columns.joined(separator: ", ")
    static let select = "SELECT \(list) FROM receiver ORDER BY number"

    private let row: SQLStatement

    /// - Parameter row: a statement that has all columns, at a row.
    init(_ row: SQLStatement) { self.row = row }

    var receiver: ReceiverID { ReceiverID(row.number(0)) }
    /// Nil when it is of no known kind.
    var kind: ReceiverKind? { ReceiverKind(rawValue: row.integer(1)) }
    /// The client id of a session, the name of a link, the filter of a share group.
    var name: String { row.string(2) }
    var expiryInterval: UInt32 { UInt32(truncatingIfNeeded: row.integer(3)) }
    var disconnectedAt: Timestamp? { row.timestamp(4) }
    var lowWater: UInt64 { row.number(5) }
    /// Nil when they cannot be read.
    var exceptions: [UInt64]? { PositionList.read(row.buffer(6), above: lowWater) }

    /// Whether it can be told from wreckage.
    var isSound: Bool { kind != nil && receiver.number < UInt64(Int64.max) && exceptions != nil }
}
