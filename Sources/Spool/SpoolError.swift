import GRDBSQLite

/// What can be wrong with a spool, and what the operator should do about it. Never contains payloads.
package enum SpoolError: Error, Sendable, Hashable {
    /// The folder of the spool does not exist and could not be made.
    case cannotCreate(path: String, reason: String)
    /// The folder or a file of the spool exists but may not be written.
    case notWritable(path: String, reason: String)
    /// Another process, or another part of this one, holds the spool. The process id is known if it wrote it down.
    case locked(path: String, by: Int32?)
    /// The file is not what a spool wrote.
    case corrupt(detail: String)
    /// A newer Drawbridge made this file.
    case newerSchema(found: Int, known: Int)
    /// SQLite did not take a setting that the promises rest on.
    case pragma(name: String, found: String, wanted: String)
    /// SQLite or the system reported an error: an extended result code of SQLite, and what was being done.
    case io(code: Int32, context: String)
}

extension SpoolError {
    /// True when SQLite did not take a record for a reason that is the record's own: it will not take it on any disk.
    var isOfTheRecord: Bool {
        guard case .io(let code, _) = self else { return false }
        switch code & 0xFF {
        case SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH, SQLITE_RANGE: return true
        default: return false
        }
    }
}

extension SpoolError: CustomStringConvertible {
    /// One line: what was wrong and what to do.
    package var description: String {
        switch self {
        case .cannotCreate(let path, let reason):
            "cannot create the spool directory \(path): \(reason); choose another directory or create it for this user"
        case .notWritable(let path, let reason):
            "cannot write \(path): \(reason); give this user the right to write there, or choose another directory"
        case .locked(let path, .some(let process)):
            "the spool \(path) is in use by process \(process); stop that process or choose another directory"
        case .locked(let path, .none):
            "the spool \(path) is in use by another process; stop it or choose another directory"
        case .corrupt(let detail):
            "the spool is damaged: \(detail); move the directory away, keep it, and start with an empty one"
        case .newerSchema(let found, let known):
            "the spool has schema \(found), this program knows \(known); run the newer version that made it"
        case .pragma(let name, let found, let wanted):
            "SQLite has \(name) = \(found) where \(wanted) is needed; put the spool on a local file system"
        case .io(let code, let context):
            "the spool cannot use its disk: SQLite error \(code) while \(context); check its space, health and mount"
        }
    }
}
