import BrokerCore
import GRDBSQLite

/// Copies what is sound out of a damaged spool into a new one, table by table. Pages that cannot be read are skipped:
/// every table is read from its front and from its back, and that of the messages from the middle of each gap too.
struct Salvage: ~Copyable {
    private let target: SQLConnection
    private(set) var tables: [QuarantineReport.Table] = []
    private var row: MessageRow
    private var nextPosition: UInt64 = 1
    private var nextReceiver: UInt64 = 1
    /// Reads that may still fail: a damaged page near the root would otherwise be asked for each of its rows.
    private var failuresLeft = 100_000

    init(into path: String) throws(SpoolError) {
        try SpoolDirectory.makeFile(path)
        let target = try SQLConnection(path: path, role: .writer)
        try SpoolSchema.migrate(target)
        self.target = target
        row = MessageRow()
    }

    mutating func copy(from path: String) throws(SpoolError) {
        let source: SQLConnection
        do throws(SpoolError) {
            source = try SQLConnection(path: path, role: .salvager)
        } catch {
            // Nothing of it is a database.
            return
        }
        defer { source.close() }
        try target.run("BEGIN", while: "salvaging")
        let hasNode = try copyNode(from: source)
        let knowsGroups =
            sound({ () throws(SpoolError) in try source.prepare("SELECT source FROM outbound").reset() }) != nil
        let knowsStreams =
            sound({ () throws(SpoolError) in try source.prepare("SELECT ids FROM stream").reset() }) != nil
        let knowsFiles =
            sound({ () throws(SpoolError) in try source.prepare("SELECT file FROM carried").reset() }) != nil
        for table in [
            SalvageTable.receiver, .subscription, .inbound, knowsGroups ? .outbound : .outboundBeforeGroups,
            .retained, .will, .message,
        ] + (knowsStreams ? [.stream] : []) + (knowsFiles ? [.carried] : []) {
            try copy(table, from: source)
        }
        if !hasNode {
            let number = UInt64.random(in: 1...0xFFFF_FFFF_FFFF)
            try target.run("INSERT INTO node VALUES (1, \(number), 1, 1, 0, 0, 0, 1)", while: "making the node row")
        }
        // Open, so that the positions that may have been given meanwhile are skipped.
        try target.run(
            """
            UPDATE node SET is_open = 1, next_position = max(next_position, \(nextPosition)),
            next_receiver = max(next_receiver, \(nextReceiver))
            """,
            while: "salvaging"
        )
        try target.run("COMMIT", while: "salvaging")
    }

    /// Brings the new file to disk.
    func finish() throws(SpoolError) {
        try target.checkpoint(.truncate)
        target.close()
    }

    private func copyNode(from source: SQLConnection) throws(SpoolError) -> Bool {
        let columns = "id, number, next_position, next_receiver, batch, wall_mark, boot_count, is_open"
        guard let read = sound({ () throws(SpoolError) in try source.prepare("SELECT \(columns) FROM node") }),
            sound({ () throws(SpoolError) in try read.step() }) == true,
            (1..<Int64.max).contains(read.integer(2)), (1..<Int64.max).contains(read.integer(3))
        else { return false }
        try insert(read, with: try target.prepare("INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?)"), columns: 8)
        read.reset()
        return true
    }

    private mutating func copy(_ table: SalvageTable, from source: SQLConnection) throws(SpoolError) {
        let insert = try target.prepare(table.insert)
        var report = QuarantineReport.Table(name: table.name)
        defer { tables.append(report) }
        // A file of an older schema, or of another program, does not have every table.
        let wanted = "SELECT \(table.list) FROM \(table.name)"
        let isNumbered = table.name == SalvageTable.message.name
        let part = isNumbered ? " WHERE position BETWEEN ? AND ?" : ""
        guard
            let forwards = sound({ () throws(SpoolError) in
                try source.prepare("\(wanted)\(part) ORDER BY \(table.order)")
            }),
            let backwards = sound({ () throws(SpoolError) in
                try source.prepare("\(wanted)\(part) ORDER BY \(table.orderBackwards)")
            })
        else {
            report.isComplete = false
            return
        }
        if isNumbered {
            var gaps = [UInt64(1)...UInt64(Int64.max) - 1]
            while let gap = gaps.popLast(), failuresLeft > 0 {
                forwards.bind(gap.lowerBound, at: 1)
                forwards.bind(gap.upperBound, at: 2)
                let front = try read(forwards, table, insert, &report)
                if front.isWhole { continue }
                let low = front.last.map { $0 + 1 } ?? gap.lowerBound
                guard low <= gap.upperBound else { continue }
                backwards.bind(low, at: 1)
                backwards.bind(gap.upperBound, at: 2)
                let back = try read(backwards, table, insert, &report)
                report.isComplete = false
                if back.isWhole { continue }
                let high = back.last.map { $0 - 1 } ?? gap.upperBound
                guard low < high else { continue }
                let middle = low + (high - low) / 2
                // The lower half is looked at first: there are the messages, while the end may be far beyond them.
                gaps.append(middle + 1...high)
                gaps.append(low...middle)
            }
        } else if try !read(forwards, table, insert, &report).isWhole {
            report.isComplete = false
            _ = try read(backwards, table, insert, &report)
        }
    }

    /// Copies rows until there are no more or one cannot be read.
    private mutating func read(
        _ rows: SQLStatement,
        _ table: SalvageTable,
        _ insert: SQLStatement,
        _ report: inout QuarantineReport.Table
    ) throws(SpoolError) -> (isWhole: Bool, last: UInt64?) {
        defer { rows.reset() }
        var last: UInt64?
        while true {
            guard let isRow = sound({ () throws(SpoolError) in try rows.step() }) else {
                failuresLeft -= 1
                return (false, last)
            }
            guard isRow else { return (true, last) }
            last = rows.number(0)
            guard table.isSound(rows, &row) else {
                report.damaged += 1
                continue
            }
            try self.insert(rows, with: insert, columns: table.columns.count)
            report.salvaged += Int(sqlite3_changes(target.handle))
            if table.name == SalvageTable.message.name { nextPosition = max(nextPosition, rows.number(0) + 1) }
            if table.name == SalvageTable.receiver.name { nextReceiver = max(nextReceiver, rows.number(0) + 1) }
        }
    }

    /// What the old file says, or nil if it cannot: its errors are what is expected here.
    private func sound<Value>(_ body: () throws(SpoolError) -> Value) -> Value? {
        do throws(SpoolError) {
            return try body()
        } catch {
            return nil
        }
    }

    /// Copies the row that `rows` stands on.
    private func insert(_ rows: SQLStatement, with insert: SQLStatement, columns: Int) throws(SpoolError) {
        for column in 0..<Int32(columns) {
            sqlite3_bind_value(insert.pointer, column + 1, sqlite3_column_value(rows.pointer, column))
        }
        do throws(SpoolError) {
            try insert.run()
        } catch {
            // A row that breaks the rules of its table was never written by this program.
            guard error.isOfTheRecord else { throw error }
        }
    }
}
