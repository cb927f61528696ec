#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What tells one state of a file from another without reading it: another file in its place, or another time.
struct FileStamp: Sendable, Equatable {
    private var device: UInt64
    private var inode: UInt64
    private var bytes: Int64
    private var modified: [Int]

    /// - Returns: nil when there is no such file.
    static func of(_ path: String) -> FileStamp? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        #if canImport(Darwin)
            let (modification, change) = (status.st_mtimespec, status.st_ctimespec)
        #else
            let (modification, change) = (status.st_mtim, status.st_ctim)
        #endif
        return FileStamp(
            device: UInt64(truncatingIfNeeded: status.st_dev),
            inode: UInt64(truncatingIfNeeded: status.st_ino),
            bytes: Int64(status.st_size),
            // The time of the last change of owner, rights or name, too: tools that keep the first one exist.
            modified: [modification.tv_sec, modification.tv_nsec, change.tv_sec, change.tv_nsec]
        )
    }
}
