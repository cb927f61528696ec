import BrokerCore
import Foundation

/// Sets a damaged file aside and puts a new one, with all that is sound, in its place.
///
///     note -> rename the old files -> salvage into spool.salvage -> rename it to spool.sqlite -> remove the note
///
/// The note holds the new name of the old file, so that a start that was cut off in the middle is finished by the next.
struct Quarantine {
    private let folder: String
    private let database: String
    private var note: String { folder + "/spool.salvaging" }
    private var target: String { folder + "/spool.salvage" }
    private static let companions = ["-wal", "-shm"]

    init(_ directory: SpoolDirectory) {
        folder = directory.path
        database = directory.databasePath
    }

    /// True when a start before this one was cut off. An empty note was written by nobody who had gone further.
    var isUnfinished: Bool { FileSize.bytes(note) > 0 }

    func run(reason: String, now: Timestamp) throws(SpoolError) -> QuarantineReport {
        let kept = try setAside(now)
        for name in [target] + Self.companions.map({ target + $0 }) where exists(name) { unlink(name) }
        var salvage = try Salvage(into: target)
        if exists(kept) { try salvage.copy(from: kept) }
        try salvage.finish()
        try rename(target, database)
        try SpoolDirectory.synchronize(folder: folder)
        // Should the note come back after a power cut, the old file would replace what was stored since.
        unlink(note)
        try SpoolDirectory.synchronize(folder: folder)
        return QuarantineReport(path: exists(kept) ? kept : nil, reason: reason, tables: salvage.tables)
    }

    /// - Returns: the path of the old file.
    private func setAside(_ now: Timestamp) throws(SpoolError) -> String {
        let kept: String
        if isUnfinished {
            do {
                kept = folder + "/" + (try String(contentsOfFile: note, encoding: .utf8))
            } catch {
                throw .notWritable(path: note, reason: "it cannot be read")
            }
        } else {
            kept = freeName(now)
            try write(note: URL(filePath: kept).lastPathComponent)
            try SpoolDirectory.synchronize(folder: folder)
        }
        // An empty file is no file. In an unfinished quarantine the file may be moved already.
        if !exists(kept), FileSize.bytes(database) > 0 { try rename(database, kept) }
        for suffix in Self.companions where exists(database + suffix) && !exists(kept + suffix) {
            try rename(database + suffix, kept + suffix)
        }
        try SpoolDirectory.synchronize(folder: folder)
        return kept
    }

    /// On disk before anything is renamed.
    private func write(note text: String) throws(SpoolError) {
        let descriptor = open(note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .notWritable(path: note, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        let written = Array(text.utf8).withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
        guard written == text.utf8.count, fsync(descriptor) == 0 else {
            throw .notWritable(path: note, reason: String(cString: strerror(errno)))
        }
    }

    private func freeName(_ now: Timestamp) -> String {
        var number = now.microseconds / 1_000_000
        while true {
            let name = "\(folder)/spool.corrupt-\(number)"
            if !exists(name), !Self.companions.contains(where: { exists(name + $0) }) { return name }
            number += 1
        }
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private func rename(_ old: String, _ new: String) throws(SpoolError) {
        guard Foundation.rename(old, new) == 0 else {
            throw .notWritable(path: new, reason: String(cString: strerror(errno)))
        }
    }
}
