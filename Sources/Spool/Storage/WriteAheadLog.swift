import Foundation

/// SQLite's log, before SQLite sees it.
enum WriteAheadLog {
    private static let chunkBytes = 1 << 20

    /// Writes the log of a database once more, byte for byte, and syncs it, so that what SQLite recovers from it is on
    /// the disk. Blocking; before the writer opens the database, at the start and after every failure.
    ///
    /// SQLite recovers what it can *read*, and never syncs it. What can be read may be in memory only:
    ///
    /// - After a failed fsync the kernel takes the pages for clean, and no later fsync writes them. The commit that
    ///   failed would be found to be there, be announced, and be gone with the next power cut; and with it everything
    ///   that was committed behind it, for the log ends at its first gap.
    /// - After a kill it is the same with a commit that had been written and not yet synced.
    ///
    /// Pages that are written again are dirty again. Others may read the log meanwhile, since no byte changes.
    static func makeDurable(ofDatabase path: String) throws(SpoolError) {
        let logPath = path + "-wal"
        let descriptor = open(logPath, O_RDWR | O_CLOEXEC)
        if descriptor < 0, errno == ENOENT { return }
        guard descriptor >= 0 else { throw .notWritable(path: logPath, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var chunk = [UInt8](repeating: 0, count: chunkBytes)
        var offset: off_t = 0
        while true {
            let count = pread(descriptor, &chunk, chunk.count, offset)
            guard count >= 0 else { throw .io(code: errno, context: "reading \(logPath)") }
            guard count > 0 else { break }
            guard pwrite(descriptor, chunk, count, offset) == count else {
                throw .io(code: errno, context: "writing \(logPath) again")
            }
            offset += off_t(count)
        }
        guard offset == 0 || fdatasync(descriptor) == 0 else { throw .io(code: errno, context: "syncing \(logPath)") }
    }
}
