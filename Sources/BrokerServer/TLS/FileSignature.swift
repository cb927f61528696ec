// `struct stat` comes from whichever module the compiler met first, Foundation's own C part among them.
#if canImport(CoreFoundation)
    import CoreFoundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Tells whether a file was replaced or written since one last looked, without reading it. The change time is part of
/// it, so that a file whose permissions were mended counts as changed.
struct FileSignature: Equatable, Sendable {
    private var numbers: [Int64]

    /// Links are followed, so a folder of links that is switched as a whole, as orchestrators do it, is noticed.
    init(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            numbers = []
            return
        }
        #if canImport(Darwin)
            let modified = status.st_mtimespec
            let changed = status.st_ctimespec
        #else
            let modified = status.st_mtim
            let changed = status.st_ctim
        #endif
        numbers = [
            Int64(truncatingIfNeeded: status.st_dev), Int64(truncatingIfNeeded: status.st_ino), Int64(status.st_size),
            Int64(modified.tv_sec), Int64(modified.tv_nsec), Int64(changed.tv_sec), Int64(changed.tv_nsec),
        ]
    }
}
