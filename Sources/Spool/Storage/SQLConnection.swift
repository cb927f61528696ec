import BrokerCore
import Foundation
import GRDB
import GRDBSQLite

/// One connection to the file of the spool, opened by GRDB and used through its raw handle by one thread.
///
/// It is not thread-safe: whoever holds it must be the only one who uses it.
final class SQLConnection {
    enum Role {
        /// Writes and checkpoints; there is one.
        case writer
        /// Reads only.
        case reader
        /// Reads what can be read of a file that is damaged.
        case salvager
    }

    let handle: OpaquePointer
    private let queue: DatabaseQueue
    private var prepared: [OpaquePointer] = []
    private var isClosed = false
    private let walSize = WALSize()

    private static let busyMilliseconds: Int32 = 5_000
    /// A log that had to grow beyond this, because somebody read an old state for long, is cut back once it begins
    /// anew. Twice what the writer lets come together: one of ordinary length is written over, which is cheaper.
    private static let logBytesMax = 32 << 20

    /// Pages in the write-ahead log after the last commit.
    var walPages: Int { walSize.pages }

    private final class WALSize {
        var pages = 0
    }

    init(path: String, role: Role, mode: DurabilityMode = .sync) throws(SpoolError) {
        do {
            if role == .writer { try WriteAheadLog.makeDurable(ofDatabase: path) }
            var configuration = Configuration()
            configuration.label = role == .writer ? "spool.writer" : "spool.reader"
            configuration.busyMode = .timeout(Double(Self.busyMilliseconds) / 1_000)
            // BEGIN and COMMIT are prepared statements of ours.
            configuration.allowsUnsafeTransactions = true
            switch role {
            case .writer:
                configuration.journalMode = .wal
                // Both are ignored once the file is in WAL mode or has a table, so they must come first; a file that is
                // there they would write to.
                guard FileSize.bytes(path) == 0 else { break }
                configuration.prepareDatabase { db in
                    try db.execute(sql: "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL")
                }
            case .reader:
                configuration.readonly = true
                configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA query_only = 1") }
            case .salvager:
                configuration.readonly = true
                // The only way to make SQLite read a file that is shorter than it says.
                configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA writable_schema = 1") }
            }
            // SQLite would read the rest as a URI, and open another file than the one that is locked.
            let path = path.hasPrefix("file:") ? "./" + path : path
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            guard let handle = queue.inDatabase({ $0.sqliteConnection }) else {
                throw SpoolError.io(code: SQLITE_CANTOPEN, context: "opening \(path)")
            }
            self.queue = queue
            self.handle = handle
        } catch let error as SpoolError {
            throw error
        } catch let error as DatabaseError {
            throw SpoolError(code: error.extendedResultCode.rawValue, message: error.message, while: "opening \(path)")
        } catch {
            throw .io(code: SQLITE_ERROR, context: "opening \(path)")
        }
        // From here on the handle is ours alone. GRDB's observation would trap on commits of statements that it did not
        // run itself.
        sqlite3_commit_hook(handle, nil, nil)
        sqlite3_rollback_hook(handle, nil, nil)
        sqlite3_update_hook(handle, nil, nil)
        if role == .writer {
            // GRDB sets NORMAL when it turns WAL on, after `prepareDatabase`: what is wanted must be set here, and is
            // read back.
            try run(
                """
                PRAGMA synchronous = \(mode.synchronous); PRAGMA wal_autocheckpoint = 0;
                PRAGMA journal_size_limit = \(Self.logBytesMax)
                """,
                while: "setting pragmas"
            )
            sqlite3_wal_hook(
                handle,
                { context, _, _, pages in
                    if let context { Unmanaged<WALSize>.fromOpaque(context).takeUnretainedValue().pages = Int(pages) }
                    return SQLITE_OK
                },
                Unmanaged.passUnretained(walSize).toOpaque()
            )
        }
    }

    /// The statement lives as long as the connection.
    func prepare(_ sql: String) throws(SpoolError) -> SQLStatement {
        var pointer: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &pointer, nil)
        guard code == SQLITE_OK, let pointer else { throw error(code, while: "preparing a statement") }
        prepared.append(pointer)
        return SQLStatement(pointer: pointer, connection: handle)
    }

    /// Runs statements that return nothing.
    func run(_ sql: String, while context: String) throws(SpoolError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw error(code, while: context) }
    }

    /// The first column of the first row as text, nil if there is no row.
    func text(_ sql: String) throws(SpoolError) -> String? {
        let statement = try prepare(sql)
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        return statement.string(0)
    }

    func integer(_ sql: String) throws(SpoolError) -> Int64? {
        let statement = try prepare(sql)
        defer { statement.reset() }
        guard try statement.step() else { return nil }
        return statement.integer(0)
    }

    /// A setting as it is now. Not with a statement that is kept: SQLite puts the answer into it when it is prepared.
    func setting(_ pragma: String) throws(SpoolError) -> Int64 {
        var pointer: OpaquePointer?
        let code = sqlite3_prepare_v2(handle, pragma, -1, &pointer, nil)
        defer { sqlite3_finalize(pointer) }
        guard code == SQLITE_OK, let pointer else { throw error(code, while: "reading a setting") }
        guard sqlite3_step(pointer) == SQLITE_ROW else { throw error(SQLITE_ERROR, while: "reading a setting") }
        return sqlite3_column_int64(pointer, 0)
    }

    /// Ends an open transaction, if any. What it says about errors is of no use: the connection is closed next.
    func rollBack() {
        if sqlite3_get_autocommit(handle) == 0 { _ = sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
    }

    func checkpoint(_ mode: CheckpointMode) throws(SpoolError) {
        // A backup reads for minutes: nobody waits here until it is through.
        sqlite3_busy_timeout(handle, 0)
        defer { sqlite3_busy_timeout(handle, Self.busyMilliseconds) }
        let code = sqlite3_wal_checkpoint_v2(handle, nil, mode.rawValue, nil, nil)
        // Busy means that a reader holds it back: it is tried again later.
        guard code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED else {
            throw error(code, while: "checkpointing")
        }
        if code == SQLITE_OK, mode == .truncate { walSize.pages = 0 }
    }

    enum CheckpointMode: Int32 {
        case passive = 0
        case truncate = 3
    }

    deinit { close() }

    /// Idempotent.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        for statement in prepared { sqlite3_finalize(statement) }
        prepared = []
        do {
            try queue.close()
        } catch {
            // Nothing can be done about a handle that does not close; all that was committed is on disk.
        }
    }

    private func error(_ code: Int32, while context: String) -> SpoolError {
        SpoolError(handle: handle, code: code, while: context)
    }
}

extension SpoolError {
    init(handle: OpaquePointer, code: Int32, while context: String) {
        let extended = sqlite3_extended_errcode(handle)
        let message = sqlite3_errmsg(handle).map { String(cString: $0) }
        self.init(code: extended & 0xFF == code & 0xFF ? extended : code, message: message, while: context)
    }

    init(code: Int32, message: String?, while context: String) {
        let message = message ?? "no message"
        switch code & 0xFF {
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            self = .corrupt(detail: "\(message) (\(context))")
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_CANTOPEN:
            self = .notWritable(path: "spool.sqlite", reason: "\(message) (\(context))")
        default:
            self = .io(code: code, context: "\(context): \(message)")
        }
    }
}
