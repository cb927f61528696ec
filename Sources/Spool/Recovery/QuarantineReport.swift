/// What became of a file that was damaged or foreign when the spool opened.
package struct QuarantineReport: Sendable, Hashable {
    /// Rows of one table.
    package struct Table: Sendable, Hashable {
        package var name: String
        /// Sound, and in the new file.
        package var salvaged = 0
        /// Read, but their checksum or form was wrong.
        package var damaged = 0
        /// False when pages of the table could not be read: nobody knows what was on them.
        package var isComplete = true
    }

    /// Where the old file is now; nil when there was none although there had been a spool.
    package var path: String?
    /// What was wrong with it.
    package var reason: String
    package var tables: [Table]
}

extension QuarantineReport: CustomStringConvertible {
    /// One line for the log.
    package var description: String {
        let place = path.map { "is kept as \($0)" } ?? "is gone"
        let counts = tables.map { table in
            "\(table.name) \(table.salvaged)" + (table.damaged > 0 ? " (\(table.damaged) damaged)" : "")
                + (table.isComplete ? "" : " (pages lost)")
        }
        return "the spool was not sound (\(reason)); the old file \(place); salvaged: "
            + (counts.isEmpty ? "nothing" : counts.joined(separator: ", "))
    }
}
