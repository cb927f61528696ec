#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the system knows of a file without reading it.
///
/// Two that are equal stand for one state of a file: another file in its place, other contents and other permissions
/// all make a difference. A target of its own, since it needs the C library and nothing else: beside NIO, Foundation and
/// BoringSSL the compiler is of several minds about which module `struct stat` comes from.
package struct FileStatus: Sendable, Equatable {
    package let bytes: Int64
    /// The permissions with the type, as `st_mode` has them.
    package let mode: UInt32
    /// Neither a folder nor a pipe nor a device.
    package var isRegular: Bool { mode & 0o170_000 == 0o100_000 }
    package let owner: UInt32
    package let group: UInt32
    private let device: UInt64
    private let inode: UInt64
    /// Seconds and nanoseconds of the last writing, then of the last change of owner, permissions or name: tools that
    /// keep the first as it was exist.
    private let times: [Int]

    /// Follows links, so a folder of links that is switched as a whole, as orchestrators do it, is noticed.
    ///
    /// - Returns: nil when there is no such file; `errno` says why.
    package static func of(_ path: String) -> FileStatus? {
        var status = stat()
        return stat(path, &status) == 0 ? FileStatus(status) : nil
    }

    /// - Returns: nil when it cannot be told; `errno` says why.
    package static func of(descriptor: Int32) -> FileStatus? {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? FileStatus(status) : nil
    }

    package var isReadableByAll: Bool { mode & 0o004 != 0 }
    package var isSocket: Bool { mode & UInt32(S_IFMT) == UInt32(S_IFSOCK) }

    private init(_ status: stat) {
        #if canImport(Darwin)
            let (modified, changed) = (status.st_mtimespec, status.st_ctimespec)
        #else
            let (modified, changed) = (status.st_mtim, status.st_ctim)
        #endif
        bytes = Int64(status.st_size)
        mode = UInt32(status.st_mode)
        owner = UInt32(status.st_uid)
        group = UInt32(status.st_gid)
        device = UInt64(truncatingIfNeeded: status.st_dev)
        inode = UInt64(truncatingIfNeeded: status.st_ino)
        times = [Int(modified.tv_sec), Int(modified.tv_nsec), Int(changed.tv_sec), Int(changed.tv_nsec)]
    }
}
