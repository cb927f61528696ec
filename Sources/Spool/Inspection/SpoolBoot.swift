import Foundation

/// The small file beside the spool, `spool.boot`, that remembers which spool ran here last and how far it had come.
///
/// Whoever puts an old copy of `spool.sqlite` back into its place does not put this file back, and so the next start
/// sees that the spool is older than what was here. What can be told, and what cannot:
///
/// - a copy from an earlier start is always seen: starts are counted in the spool and here;
/// - a copy from the same start is seen when the node ended in good order: the last batch was noted here then;
/// - a copy from the same start, put back after a crash, is not seen, unless `drawbridge spool backup` made it: such a
///   copy says so itself;
/// - a copy of the whole directory agrees with itself and is not seen.
struct SpoolBoot: Equatable {
    /// The random number that the spool was given at its first start.
    var spool: UInt64
    /// Starts, the one that wrote this included.
    var starts: UInt64
    /// The last batch that was on disk when this was written: at a start, and at an end in good order.
    var batch: UInt64

    /// What `is_open` of the node row says of a copy that `drawbridge spool backup` made. It counts as open, so that
    /// the first start skips positions: some were given after the copy was made.
    static let copyMark: Int64 = 2

    /// What an operator must know about the spool that is about to be opened; nothing when it is the one that ran here
    /// last. Called before the start is counted.
    static func notices(_ connection: SQLConnection, noted: SpoolBoot?) throws(SpoolError) -> [String] {
        let row = try connection.prepare("SELECT number, boot_count, batch, is_open FROM node")
        defer { row.reset() }
        guard try row.step() else {
            return noted == nil
                ? [] : ["the spool that ran here last is gone; this one is new: what waited in the old one is not here"]
        }
        let found = SpoolBoot(spool: row.number(0), starts: row.number(1), batch: row.number(2))
        if row.integer(3) == copyMark {
            return ["this spool is a copy that `drawbridge spool backup` made; \(consequence)"]
        }
        guard let noted else { return [] }
        if noted.spool != found.spool {
            return ["this is not the spool that ran here last"]
        }
        let older = "this spool is older than the one that ran here last, by"
        if noted.starts > found.starts {
            let starts = noted.starts - found.starts
            return ["\(older) \(starts) start\(starts == 1 ? "" : "s"): \(consequence)"]
        }
        if noted.starts == found.starts, noted.batch > found.batch {
            let batches = noted.batch - found.batch
            return ["\(older) \(batches) batch\(batches == 1 ? "" : "es"): \(consequence)"]
        }
        return []
    }

    private static let consequence =
        "what came after it was made is gone, and what was delivered after it was made may be delivered again"

    // MARK: The file

    private static func path(_ folder: String) -> String { folder + "/spool.boot" }

    /// Nil when there is no such file or it cannot be read: then nothing can be told.
    static func read(in folder: String) -> SpoolBoot? {
        guard let bytes = FileManager.default.contents(atPath: path(folder)) else { return nil }
        var values: [Substring: UInt64] = [:]
        let text = String(decoding: bytes.prefix(1024), as: UTF8.self)
        for word in text.split(whereSeparator: \.isWhitespace) {
            let parts = word.split(separator: "=", maxSplits: 1)
            if parts.count == 2, let value = UInt64(parts[1]) { values[parts[0]] = value }
        }
        guard let spool = values["spool"], let starts = values["starts"], let batch = values["batch"] else {
            return nil
        }
        return SpoolBoot(spool: spool, starts: starts, batch: batch)
    }

    /// Replaces the file in one step. A disk that does not take it costs a warning at a later start, never a message,
    /// so there is nobody to tell.
    func write(in folder: String) {
        let path = Self.path(folder)
        let fresh = path + ".new"
        let descriptor = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        let text = "spool=\(spool) starts=\(starts) batch=\(batch)\n"
        let written = Array(text.utf8).withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
        let isSafe = written == text.utf8.count && fsync(descriptor) == 0
        close(descriptor)
        if isSafe { rename(fresh, path) }
    }

    /// The spool ends in good order: everything up to this batch is on disk.
    static func ended(in folder: String, batch: UInt64) {
        guard var noted = read(in: folder) else { return }
        noted.batch = batch
        noted.write(in: folder)
    }
}
