/// A table of the spool, as salvaging sees it.
struct SalvageTable: Sendable {
    var name: String
    /// In the order of the schema.
    var columns: [String]
    /// How many of the first columns order the table.
    var keyColumns = 1
    /// Whether its rows can be told from wreckage.
    var isSound: @Sendable (SQLStatement, inout MessageRow) -> Bool

    var list: String { columns.joined(separator: ", ") }
    var order: String { columns.prefix(keyColumns).joined(separator: ", ") }
    var orderBackwards: String { columns.prefix(keyColumns).map { $0 + " DESC" }.joined(separator: ", ") }
    var insert: String {
        let marks = columns.map { _ in "?" }.joined(separator: ", ")
        return "INSERT OR IGNORE INTO \(name) (\(list)) VALUES (\(marks))"
    }

    static let receiver = SalvageTable(name: "receiver", columns: ReceiverRow.columns) { row, _ in
        ReceiverRow(row).isSound
    }

    static let subscription = SalvageTable(
        name: "subscription",
        columns: ["receiver", "filter", "options", "identifier"],
        keyColumns: 2
    ) { row, _ in !row.string(1).isEmpty }

    static let inbound = SalvageTable(name: "inbound", columns: ["receiver", "packet_id"], keyColumns: 2) { row, _ in
        (1...65_535).contains(row.integer(1))
    }

    static let outbound = SalvageTable(
        name: "outbound",
        columns: ["receiver", "packet_id", "position", "is_released", "source"],
        keyColumns: 2
    ) { row, _ in (1...65_535).contains(row.integer(1)) }

    /// As it was before schema 3.
    static var outboundBeforeGroups: SalvageTable {
        var table = outbound
        table.columns.removeLast()
        return table
    }

    static let stream = SalvageTable(
        name: "stream",
        columns: ["node", "receiver", "number", "ids"],
        keyColumns: 3
    ) { row, _ in row.bytes(3) { !$0.isEmpty && $0.count.isMultiple(of: 16) } }

    static let carried = SalvageTable(name: "carried", columns: CarriedRow.columns) { row, _ in
        CarriedRow.file(row) != nil
    }

    static let retained = messages(.retained) { $1.decode($0, from: .retained) != nil }
    static let will = messages(.will) { $1.decodeWill($0) != nil }
    static let message = messages(.message) { $1.decode($0, from: .message) != nil }

    private static func messages(
        _ table: MessageRow.Table,
        isSound: @escaping @Sendable (SQLStatement, inout MessageRow) -> Bool
    ) -> SalvageTable {
        SalvageTable(name: table.rawValue, columns: table.columns, isSound: isSound)
    }
}
