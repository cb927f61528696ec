import Foundation

/// Sizes of files, asked of their folder: a file of the spool is never opened beside SQLite, because closing it would
/// drop the locks that SQLite holds.
enum FileSize {
    /// 0 when there is no such file.
    static func bytes(_ path: String) -> Int {
        var status = stat()
        guard lstat(path, &status) == 0 else { return 0 }
        return Int(status.st_size)
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }
}
