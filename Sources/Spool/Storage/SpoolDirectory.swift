import Foundation
import Synchronization

/// The folder of a spool and the lock that makes its owner the only one, for life.
final class SpoolDirectory: Sendable {
    let path: String
    let databasePath: String
    /// True when the database is missing or empty although a spool was here: somebody, or the file system, lost it.
    let isDatabaseLost: Bool
    /// The descriptor that holds the lock; nil once released.
    private let lock: Mutex<Int32?>

    /// Makes the folder (0700) if it is missing, takes the lock and makes the database file (0600) if it is missing.
    ///
    /// `flock` belongs to the open file, not to the process, so a second attempt in this process fails as well. It is
    /// taken before the database is touched: closing any other descriptor of the database in this process would drop
    /// the locks that SQLite holds on it.
    init(_ path: String) throws(SpoolError) {
        self.path = path
        databasePath = path + "/spool.sqlite"
        try Self.makeFolder(path)
        let lockPath = path + "/spool.lock"
        let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .notWritable(path: lockPath, reason: Self.reason()) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let holder = Self.readProcessID(descriptor)
            close(descriptor)
            throw .locked(path: path, by: holder)
        }
        lock = Mutex(descriptor)
        let wasMade = Self.read(descriptor).contains(Self.madeMark)
        isDatabaseLost = wasMade && FileSize.bytes(databasePath) == 0
        Self.write(descriptor, wasMade: wasMade)
        do {
            if !isDatabaseLost { try Self.makeFile(databasePath) }
            try Self.synchronize(folder: path)
        } catch {
            release()
            throw error
        }
    }

    deinit { release() }

    /// Lets go of the lock. Idempotent.
    func release() {
        let descriptor = lock.withLock { lock in
            defer { lock = nil }
            return lock
        }
        guard let descriptor else { return }
        // Unlocked aloud: a child process that is just being started may still hold a copy of the descriptor.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func makeFolder(_ path: String) throws(SpoolError) {
        var isDirectory: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) {
            guard isDirectory.boolValue else { throw .cannotCreate(path: path, reason: "a file has this name") }
            return
        }
        do {
            try FileManager.default.createDirectory(
                atPath: path,
                withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700]
            )
        } catch {
            throw .cannotCreate(path: path, reason: Self.reason())
        }
        try synchronize(folder: parent(of: path))
    }

    /// Remembers that there is a spool, so that its absence is never taken for a first start.
    func rememberDatabase() {
        lock.withLock { if let descriptor = $0 { Self.write(descriptor, wasMade: true) } }
    }

    private static let madeMark = "made"

    /// SQLite gives its log the permissions of the database, so the database gets them before SQLite sees it.
    static func makeFile(_ path: String) throws(SpoolError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .notWritable(path: path, reason: reason()) }
        defer { close(descriptor) }
        guard fchmod(descriptor, 0o600) == 0 else { throw .notWritable(path: path, reason: reason()) }
    }

    /// The folder that a path lies in, "." if it names none. `NSString` knows it too, but traps on a path of one character.
    static func parent(of path: String) -> String { URL(filePath: path).deletingLastPathComponent().relativePath }

    /// A new name is durable only when its folder is.
    static func synchronize(folder path: String) throws(SpoolError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw .io(code: errno, context: "syncing \(path)") }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }

    private static func write(_ descriptor: Int32, wasMade: Bool) {
        let text = "\(getpid())\n" + (wasMade ? madeMark + "\n" : "")
        // The process is only a hint for whoever finds the lock taken. Written before it is cut, so that the mark is
        // never missing in between.
        _ = text.utf8.withContiguousStorageIfAvailable { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        _ = ftruncate(descriptor, off_t(text.utf8.count))
    }

    private static func read(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : ""
    }

    private static func readProcessID(_ descriptor: Int32) -> Int32? {
        read(descriptor).split(separator: "\n").first.flatMap { Int32($0) }
    }
}
