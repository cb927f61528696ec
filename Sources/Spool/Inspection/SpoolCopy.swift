import Foundation
import GRDBSQLite
import MQTTCodec

/// Why a copy was not made, or a file not looked at. One line each: what is wrong and what to do.
package enum SpoolToolError: Error, Sendable, Hashable, CustomStringConvertible {
    case missing(path: String)
    case targetExists(path: String)
    case target(path: String, reason: String)
    case copying
    case notAbsolute(path: String)
    case spool(SpoolError)

    package var description: String {
        switch self {
        case .missing(let path): "there is no spool at \(path)"
        case .targetExists(let path): "\(path) exists already; choose another name, nothing was overwritten"
        case .target(let path, let reason): "cannot write \(path): \(reason)"
        case .copying: "a copy is being made already; wait for it to end"
        case .notAbsolute(let path): "\(path) is not an absolute path"
        case .spool(let error): error.description
        }
    }
}

/// What a copy holds.
package struct SpoolCopy: Sendable {
    package var path: String
    package var bytes: Int
    package var messages: Int

    /// Writes a consistent copy of the database at `source` to `target`: one snapshot, compacted, mode 0600, on disk
    /// when this returns, and marked as a copy. The target appears under its name only when it is whole.
    static func make(of source: String, at target: String) throws(SpoolToolError) -> SpoolCopy {
        guard !FileSize.exists(target) else { throw .targetExists(path: target) }
        let partial = target + ".partial"
        // Left behind by a copy that was interrupted.
        for leftover in [partial, partial + "-wal", partial + "-shm", partial + "-journal"] { unlink(leftover) }
        // SQLite takes a file that is there and empty, and leaves its permissions as they are.
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .target(path: target, reason: String(cString: strerror(errno))) }
        close(descriptor)
        do throws(SpoolToolError) {
            let messages = try fill(partial, from: source)
            try synchronize(partial)
            try publish(partial, as: target)
            return SpoolCopy(path: target, bytes: FileSize.bytes(target), messages: messages)
        } catch {
            unlink(partial)
            throw error
        }
    }

    /// - Returns: the number of message rows.
    private static func fill(_ partial: String, from source: String) throws(SpoolToolError) -> Int {
        do throws(SpoolError) {
            let reader = try SQLConnection(path: source, role: .reader)
            defer { reader.close() }
            // It forbids writing to the copy as well.
            try reader.run("PRAGMA query_only = 0", while: "copying")
            let copy = try reader.prepare("VACUUM INTO ?")
            copy.bind(MQTTString(partial), at: 1)
            try copy.run()
            reader.close()

            let writer = try SQLConnection(path: partial, role: .writer)
            defer { writer.close() }
            try writer.run("UPDATE node SET is_open = \(SpoolBoot.copyMark)", while: "marking the copy")
            let messages = try writer.integer("SELECT count(*) FROM message") ?? 0
            // One file that stands alone: what is in a log beside it would be forgotten by whoever copies it on.
            try writer.checkpoint(.truncate)
            _ = try writer.text("PRAGMA journal_mode = DELETE")
            return Int(messages)
        } catch {
            throw .spool(error)
        }
    }

    private static func synchronize(_ path: String) throws(SpoolToolError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .target(path: path, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .target(path: path, reason: String(cString: strerror(errno))) }
    }

    /// A hard link fails when the name is taken, which a rename does not.
    private static func publish(_ partial: String, as target: String) throws(SpoolToolError) {
        if link(partial, target) == 0 {
            unlink(partial)
        } else if errno == EEXIST {
            throw .targetExists(path: target)
        } else if rename(partial, target) != 0 {
            // A file system without hard links still renames.
            throw .target(path: target, reason: String(cString: strerror(errno)))
        }
        do throws(SpoolError) {
            try SpoolDirectory.synchronize(folder: SpoolDirectory.parent(of: target))
        } catch {
            throw .spool(error)
        }
    }
}
