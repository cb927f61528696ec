import BrokerCore
import MQTTCodec

/// A row of the table of files that carry messages of links.
enum CarriedRow {
    static let columns = ["number", "file", "way", "link", "parts", "messages", "offset"]
    static let select = "SELECT \(columns.joined(separator: ", ")) FROM carried"

    /// A row keeps its number for as long as its file has parts to come.
    static let upsert = """
        INSERT INTO carried (file, way, link, parts, messages, offset) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (file, way) DO UPDATE SET parts = excluded.parts, messages = excluded.messages,
        offset = excluded.offset
        """

    /// As many files are remembered.
    static let filesMax = 10_000
    static let forget = "DELETE FROM carried WHERE number <= (SELECT max(number) FROM carried) - \(filesMax)"

    /// Binds the first six parameters of `upsert`.
    static func bind(_ file: CarriedFile, to statement: SQLStatement) {
        statement.bind(copyOf: MessageIDList.write([file.id]), at: 1)
        statement.bind(file.way.rawValue, at: 2)
        statement.bind(file.link, at: 3)
        statement.bind(file.parts, at: 4)
        statement.bind(file.messages, at: 5)
        statement.bind(file.offset, at: 6)
    }

    /// - Parameter row: a statement that has all columns, at a row.
    /// - Returns: nil for what is no such row.
    static func file(_ row: SQLStatement) -> CarriedFile? {
        let ids = row.bytes(1) { MessageIDList.read($0) }
        guard ids.count == 1, let way = CarriedFile.Way(rawValue: row.integer(2)), row.integer(4) >= 0,
            row.integer(5) >= 0, row.integer(6) >= 0
        else { return nil }
        return CarriedFile(
            id: ids[0],
            way: way,
            link: MQTTString(row.string(3)),
            parts: row.number(4),
            messages: row.number(5),
            offset: row.number(6)
        )
    }
}
