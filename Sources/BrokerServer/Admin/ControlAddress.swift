import Foundation

/// The address of `control.sock` in a data directory, for who listens and for who calls.
///
/// A Unix socket takes some hundred bytes of path. A longer one is reached through a descriptor of its directory, so
/// that no directory is too deep for a node.
enum ControlAddress {
    static let name = "control.sock"

    /// Calls `body` with the address of a file in `directory`. On failure `errno` says why.
    ///
    /// - Returns: what `body` returns, -1 when the address cannot be made.
    static func with(
        _ name: String,
        in directory: String,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var path = directory + "/" + name
        var folder: Int32 = -1
        defer { if folder >= 0 { close(folder) } }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        if path.utf8.count > room {
            folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard folder >= 0 else { return -1 }
            path = "/proc/self/fd/\(folder)/\(name)"
        }
        withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            bytes.copyBytes(from: path.utf8.prefix(room))
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
