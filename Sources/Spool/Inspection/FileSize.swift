import Foundation

/// Sizes of files, asked of their folder: a file of the spool is never opened beside SQLite, because closing it would
/// drop the locks that SQLite holds.
enum FileSize {
    /// 0 when there is no such file.
    static func bytes(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Whether the name is taken, be it by a link to nowhere.
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }
}
