/// What a look at a whole file found.
package struct SpoolCheck: Sendable {
    /// A sentence for each thing that is wrong; empty when the file is sound.
    package var damage: [String] = []
    /// The counts, in the order in which people want them.
    package var counts: [(name: String, count: Int)] = []
    package var schema = 0
    package var starts: UInt64 = 0
    /// True when the last owner did not end in good order, or has not ended.
    package var isOpen = false
    /// True for a copy that no node has been started on.
    package var isCopy = false
    package var fileBytes = 0
    package var logBytes = 0
    package var freeBytes = 0

    /// Beyond this many, damaged rows are counted and not listed.
    static let listedMax = 20
}

extension SpoolFile {
    /// Looks for damage in the pages and in every row: form, checksum, and whether rows agree with each other.
    package func check() throws(SpoolToolError) -> SpoolCheck {
        var check = SpoolCheck()
        try connect(as: .reader) { (connection) throws(SpoolError) in
            check.schema = Int(try connection.integer("PRAGMA user_version") ?? 0)
            check.fileBytes = FileSize.bytes(path)
            check.logBytes = FileSize.bytes(path + "-wal")
            try connection.run("BEGIN", while: "checking")
            defer { connection.rollBack() }
            check.part("the pages of the file") { (check) throws(SpoolError) in
                try Self.checkPages(connection, &check)
            }
            // Each part on its own: damage in one must not hide what the others hold.
            check.part("the node row") { (check) throws(SpoolError) in try Self.checkNode(connection, &check) }
            check.part("the messages") { (check) throws(SpoolError) in try Self.checkMessages(connection, &check) }
            check.part("the retained messages") { (check) throws(SpoolError) in
                try Self.checkRetained(connection, &check)
            }
            check.part("the exchanges of QoS 2") { (check) throws(SpoolError) in
                try Self.count("subscriptions", "subscription", connection, &check)
                try Self.count("QoS 2 exchanges of senders", "inbound", connection, &check)
                try Self.count("QoS 2 exchanges of receivers", "outbound", connection, &check)
            }
            // Schema 2 brought both.
            guard check.schema >= 2 else { return }
            check.part("the wills") { (check) throws(SpoolError) in try Self.checkWills(connection, &check) }
            check.part("what was set aside") { (check) throws(SpoolError) in
                try Self.count("set aside", "aside", connection, &check)
            }
        }
        return check
    }

    private static func checkPages(_ connection: SQLConnection, _ check: inout SpoolCheck) throws(SpoolError) {
        let found = try connection.prepare("PRAGMA integrity_check(\(SpoolCheck.listedMax))")
        defer { found.reset() }
        while try found.step() {
            let line = found.string(0)
            if line != "ok" { check.damage.append("page: " + line.split(separator: "\n").joined(separator: "; ")) }
        }
        let pageBytes = Int(try connection.integer("PRAGMA page_size") ?? 0)
        check.freeBytes = Int(try connection.integer("PRAGMA freelist_count") ?? 0) * pageBytes
    }

    private static func checkNode(_ connection: SQLConnection, _ check: inout SpoolCheck) throws(SpoolError) {
        let row = try connection.prepare("SELECT next_position, next_receiver, boot_count, is_open FROM node")
        defer { row.reset() }
        guard try row.step() else {
            check.damage.append("the node row is missing")
            return
        }
        check.starts = row.number(2)
        check.isOpen = row.integer(3) == 1
        check.isCopy = row.integer(3) == SpoolBoot.copyMark
        if let last = try connection.integer("SELECT max(position) FROM message"), last >= row.integer(0) {
            check.damage.append("position \(last) is in use and would be given again")
        }
        if let last = try connection.integer("SELECT max(number) FROM receiver"), last >= row.integer(1) {
            check.damage.append("receiver \(last) is in use and its number would be given again")
        }
    }

    private static func checkMessages(_ connection: SQLConnection, _ check: inout SpoolCheck) throws(SpoolError) {
        let roll = try ReceiverRoll(connection)
        check.counts.append(("sessions", roll.entries.count { $0.kind == .session }))
        check.counts.append(("share groups", roll.entries.count { $0.kind == .group }))
        check.counts.append(("links", roll.entries.count { $0.kind == .link }))
        check.damage += roll.damage
        var reader = try MessageRows(connection)
        var (messages, waiting, damaged) = (0, 0, 0)
        while let found = try reader.next() {
            messages += 1
            if found.message == nil {
                damaged += 1
                if damaged <= SpoolCheck.listedMax {
                    check.damage.append("message at position \(found.position): its checksum or form is wrong")
                }
            }
            waiting += roll.waiting(for: found.position, among: found.deliveries).count
        }
        if damaged > SpoolCheck.listedMax {
            check.damage.append("\(damaged - SpoolCheck.listedMax) more messages whose checksum or form is wrong")
        }
        check.counts.insert(("messages", messages), at: 0)
        check.counts.insert(("deliveries that wait", waiting), at: 1)
    }

    private static func checkRetained(_ connection: SQLConnection, _ check: inout SpoolCheck) throws(SpoolError) {
        let rows = try connection.prepare("\(MessageRow.Table.retained.select) ORDER BY topic")
        defer { rows.reset() }
        var row = MessageRow()
        var (count, damaged) = (0, 0)
        while try rows.step() {
            count += 1
            guard row.decode(rows, from: .retained) == nil else { continue }
            damaged += 1
            // The topic may be what is damaged: its place in the order says where to look.
            if damaged <= SpoolCheck.listedMax {
                check.damage.append("retained message \(count): its checksum or form is wrong")
            }
        }
        if damaged > SpoolCheck.listedMax {
            check.damage.append("\(damaged - SpoolCheck.listedMax) more retained messages that are damaged")
        }
        check.counts.append(("retained messages", count))
    }

    private static func checkWills(_ connection: SQLConnection, _ check: inout SpoolCheck) throws(SpoolError) {
        let rows = try connection.prepare("\(MessageRow.Table.will.select) ORDER BY client_id")
        defer { rows.reset() }
        var row = MessageRow()
        var count = 0
        while try rows.step() {
            count += 1
            if row.decodeWill(rows) == nil { check.damage.append("will \(count): its checksum or form is wrong") }
        }
        check.counts.append(("wills", count))
    }

    private static func count(
        _ name: String,
        _ table: String,
        _ connection: SQLConnection,
        _ check: inout SpoolCheck
    ) throws(SpoolError) {
        check.counts.append((name, Int(try connection.integer("SELECT count(*) FROM \(table)") ?? 0)))
    }
}

extension SpoolCheck {
    /// Does a part of the check; that it could not be read is damage, too.
    fileprivate mutating func part(_ name: String, _ work: (inout SpoolCheck) throws(SpoolError) -> Void) {
        do throws(SpoolError) {
            try work(&self)
        } catch {
            let reason = if case .corrupt(let detail) = error { detail } else { error.description }
            damage.append("cannot read \(name): \(reason)")
        }
    }
}
