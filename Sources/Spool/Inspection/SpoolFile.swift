import Foundation

/// A spool that no node is running on, opened by a command: looked at, compacted or copied.
///
/// It holds the same lock as a running node for as long as it lives, so that neither starts under the other. A file
/// with another name than `spool.sqlite`, such as a copy, is locked itself.
package final class SpoolFile {
    package let path: String
    private let directory: SpoolDirectory?
    /// Closed last: closing a descriptor of the database drops the locks of SQLite on it.
    private let lock: Int32?

    /// - Parameter path: a database, or the directory that holds `spool.sqlite`.
    /// - Throws: when it is missing, in use, not a spool, or of a newer version.
    package init(_ path: String) throws(SpoolToolError) {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let file = exists && isFolder.boolValue ? path + "/spool.sqlite" : path
        guard exists, FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue else {
            throw .missing(path: file)
        }
        self.path = file
        if URL(filePath: file).lastPathComponent == "spool.sqlite" {
            do throws(SpoolError) {
                directory = try SpoolDirectory(SpoolDirectory.parent(of: file))
            } catch {
                throw .spool(error)
            }
            lock = nil
        } else {
            directory = nil
            let descriptor = open(file, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                throw .spool(.notWritable(path: file, reason: String(cString: strerror(errno))))
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                throw .spool(.locked(path: file, by: nil))
            }
            lock = descriptor
        }
        try identify()
    }

    deinit {
        directory?.release()
        if let lock { close(lock) }
    }

    /// Is it a spool at all, and does this program know its schema?
    private func identify() throws(SpoolToolError) {
        try connect(as: .reader) { (connection) throws(SpoolError) in
            guard try connection.integer("PRAGMA application_id") == SpoolSchema.applicationID else {
                throw .corrupt(detail: "\(path) is not a spool")
            }
            let found = Int(try connection.integer("PRAGMA user_version") ?? 0)
            guard found <= SpoolSchema.version else { throw .newerSchema(found: found, known: SpoolSchema.version) }
        }
    }

    func connect<Result>(
        as role: SQLConnection.Role,
        _ work: (SQLConnection) throws(SpoolError) -> Result
    ) throws(SpoolToolError) -> Result {
        do throws(SpoolError) {
            let connection = try SQLConnection(path: path, role: role)
            defer { connection.close() }
            return try work(connection)
        } catch {
            throw .spool(error)
        }
    }

    /// Rewrites the file without its free space and empties the log.
    ///
    /// - Returns: bytes of file and log before and after.
    package func compact() throws(SpoolToolError) -> (before: Int, after: Int) {
        let before = bytesOnDisk
        // What is damaged stays as it is: rewriting it would lose what a specialist may still read.
        try connect(as: .reader) { (connection) throws(SpoolError) in try SpoolSchema.check(connection) }
        try connect(as: .writer) { (connection) throws(SpoolError) in
            try connection.run("VACUUM", while: "compacting")
            try connection.checkpoint(.truncate)
        }
        return (before, bytesOnDisk)
    }

    /// The same copy that a running node makes.
    package func copy(to target: String) throws(SpoolToolError) -> SpoolCopy {
        try SpoolCopy.make(of: path, at: target)
    }

    private var bytesOnDisk: Int { FileSize.bytes(path) + FileSize.bytes(path + "-wal") }
}
