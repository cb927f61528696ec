import BrokerCore
import Foundation
import GRDBSQLite
import MQTTCodec
import NIOCore

/// A prepared statement. Parameters count from 1, columns from 0, as in SQLite.
struct SQLStatement {
    let pointer: OpaquePointer
    let connection: OpaquePointer

    /// Tells SQLite to copy what is bound.
    private static var transient: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

    /// True when there is a row.
    func step() throws(SpoolError) -> Bool {
        switch sqlite3_step(pointer) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        case let code: throw SpoolError(handle: connection, code: code, while: "running \(verb)")
        }
    }

    /// Runs a statement that returns nothing and makes it ready for the next time.
    func run() throws(SpoolError) {
        let code = sqlite3_step(pointer)
        guard code == SQLITE_DONE || code == SQLITE_ROW else {
            let error = SpoolError(handle: connection, code: code, while: "running \(verb)")
            sqlite3_reset(pointer)
            throw error
        }
        sqlite3_reset(pointer)
    }

    func reset() { sqlite3_reset(pointer) }

    /// The statement without its values: the first words of its text.
    private var verb: String {
        guard let sql = sqlite3_sql(pointer) else { return "a statement" }
        return String(cString: sql).split(separator: " ").prefix(3).joined(separator: " ")
    }

    func bind(_ value: Int64, at index: Int32) { sqlite3_bind_int64(pointer, index, value) }

    func bind(_ value: UInt64, at index: Int32) { bind(Int64(bitPattern: value), at: index) }

    func bind(_ position: Position, at index: Int32) { bind(position.number, at: index) }

    func bind(_ receiver: ReceiverID, at index: Int32) { bind(receiver.number, at: index) }

    func bind(_ receiver: ReceiverID?, at index: Int32) {
        if let receiver { bind(receiver.number, at: index) } else { sqlite3_bind_null(pointer, index) }
    }

    func bind(_ time: Timestamp?, at index: Int32) {
        if let time { bind(time.microseconds, at: index) } else { sqlite3_bind_null(pointer, index) }
    }

    func bind(_ identifier: UInt32?, at index: Int32) {
        if let identifier { bind(Int64(identifier), at: index) } else { sqlite3_bind_null(pointer, index) }
    }

    func bind(_ text: MQTTString, at index: Int32) {
        var string = text.string
        string.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                // An empty string has no address, and SQLite would take nil for NULL.
                _ =
                    characters.isEmpty
                    ? sqlite3_bind_text(pointer, index, "", 0, Self.transient)
                    : sqlite3_bind_text(pointer, index, characters.baseAddress, Int32(characters.count), Self.transient)
            }
        }
    }

    /// Binds a copy.
    func bind(copyOf bytes: ByteBuffer, at index: Int32) {
        bytes.withUnsafeReadableBytes { bind(blob: $0, at: index, Self.transient) }
    }

    /// Binds without a copy: the bytes must stay where they are until the statement was run.
    func bind(borrowing bytes: UnsafeRawBufferPointer, at index: Int32) { bind(blob: bytes, at: index, nil) }

    /// As `bind(borrowing:at:)`, for text.
    func bind(borrowingText bytes: UnsafeRawBufferPointer, at index: Int32) {
        guard let start = bytes.baseAddress, !bytes.isEmpty else {
            sqlite3_bind_text(pointer, index, "", 0, Self.transient)
            return
        }
        sqlite3_bind_text(pointer, index, start.assumingMemoryBound(to: CChar.self), Int32(bytes.count), nil)
    }

    private func bind(blob bytes: UnsafeRawBufferPointer, at index: Int32, _ owner: sqlite3_destructor_type?) {
        // SQLite takes a blob without an address for NULL, so what is empty gets one that nobody follows. Zeros that
        // SQLite makes itself (`sqlite3_bind_zeroblob`), and copies, it would allocate for each row.
        guard let start = bytes.baseAddress, !bytes.isEmpty else {
            sqlite3_bind_blob(pointer, index, UnsafeRawPointer(bitPattern: 1), 0, nil)
            return
        }
        sqlite3_bind_blob(pointer, index, start, Int32(bytes.count), owner)
    }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(pointer, column) == SQLITE_NULL }
    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(pointer, column) }
    func number(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }
    func timestamp(_ column: Int32) -> Timestamp? {
        isNull(column) ? nil : Timestamp(microseconds: number(column))
    }

    func string(_ column: Int32) -> String {
        bytes(column) { String(decoding: $0, as: UTF8.self) }
    }

    /// Calls `body` with the bytes of a blob or text, which are gone after the next step.
    func bytes<Result>(_ column: Int32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        // The order matters: asking for the length first could convert and move the value.
        let start = sqlite3_column_blob(pointer, column)
        let count = Int(sqlite3_column_bytes(pointer, column))
        return body(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count))
    }

    func buffer(_ column: Int32) -> ByteBuffer { bytes(column) { ByteBuffer(bytes: $0) } }
}
