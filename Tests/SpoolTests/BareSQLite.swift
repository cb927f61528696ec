import Foundation
import GRDB
import GRDBSQLite

/// SQLite alone, as fast as it goes with the same rows, pages and promises as the spool: what the spool is measured
/// against.
final class BareSQLite {
    let folder = SpoolFixture.freshFolder()
    private let handle: OpaquePointer
    private let insert: OpaquePointer
    private var position: Int64 = 0

    struct Failure: Error {
        var code: Int32
    }

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var handle: OpaquePointer?
        guard sqlite3_open("\(folder)/bare.sqlite", &handle) == SQLITE_OK, let handle else { throw Failure(code: 14) }
        self.handle = handle
        var insert: OpaquePointer?
        let code = sqlite3_exec(
            handle,
            """
            PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096;
            CREATE TABLE message (position INTEGER PRIMARY KEY, id BLOB NOT NULL, topic TEXT NOT NULL,
            payload BLOB NOT NULL, qos INTEGER NOT NULL, flags INTEGER NOT NULL, properties BLOB NOT NULL,
            expiry INTEGER, receivers BLOB NOT NULL, checksum INTEGER NOT NULL);
            """,
            nil, nil, nil)
        guard code == SQLITE_OK else { throw Failure(code: code) }
        sqlite3_prepare_v2(handle, "INSERT INTO message VALUES (?, ?, ?, ?, 1, 0, x'', NULL, ?, 1)", -1, &insert, nil)
        guard let insert else { throw Failure(code: 1) }
        self.insert = insert
    }

    deinit {
        sqlite3_finalize(insert)
        sqlite3_close(handle)
        do { try FileManager.default.removeItem(atPath: folder) } catch { print("left behind: \(folder)") }
    }

    /// One transaction.
    func write(rows: Int, payload: [UInt8]) throws {
        let id = [UInt8](repeating: 7, count: 16)
        let receivers: [UInt8] = [1, 1]
        try run(sqlite3_exec(handle, "BEGIN IMMEDIATE", nil, nil, nil))
        for _ in 0..<rows {
            position += 1
            sqlite3_bind_int64(insert, 1, position)
            sqlite3_bind_blob(insert, 2, id, 16, nil)
            sqlite3_bind_text(insert, 3, "room/1", 6, nil)
            sqlite3_bind_blob(insert, 4, payload, Int32(payload.count), nil)
            sqlite3_bind_blob(insert, 5, receivers, 2, nil)
            let code = sqlite3_step(insert)
            guard code == SQLITE_DONE else { throw Failure(code: code) }
            sqlite3_reset(insert)
        }
        try run(sqlite3_exec(handle, "COMMIT", nil, nil, nil))
    }

    private func run(_ code: Int32) throws {
        guard code == SQLITE_OK else { throw Failure(code: code) }
    }
}
