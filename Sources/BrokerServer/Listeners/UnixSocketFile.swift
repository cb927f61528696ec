import FileStatus
import Foundation

/// The file of a Unix socket that clients connect to. Its folder and its mode say who may: the mode is what the umask of
/// the process leaves of 0777, as for every file that a program makes.
enum UnixSocketFile {
    /// Why it could not be made: the call of the system and what it said.
    struct Failure: Error, CustomStringConvertible {
        let call: String
        let reason: String
        var description: String { "\(call): \(reason)" }
    }

    /// Bytes that the system has for a path, without the zero at its end.
    static let pathBytesMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    /// Binds, and replaces a socket that nobody listens on any more: a process that was killed leaves its own behind.
    ///
    /// - Returns: a descriptor for `withBoundSocket`.
    static func bind(_ path: String) throws(Failure) -> Int32 {
        if try isAbandonedSocket(path) { unlink(path) }
        let descriptor = try newSocket()
        guard call(path, descriptor, Foundation.bind) == 0 else {
            let failure = Failure("bind")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// Takes the file away when the node stops.
    static func remove(_ path: String) { unlink(path) }

    /// - Throws: when there is a socket and somebody answers on it. What is no socket stays, and `bind` says so.
    private static func isAbandonedSocket(_ path: String) throws(Failure) -> Bool {
        guard FileStatus.of(path)?.isSocket == true else { return false }
        let probe = try newSocket()
        defer { close(probe) }
        if call(path, probe, connect) == 0 || errno == EAGAIN {
            throw Failure(call: "bind", reason: "somebody listens on this socket already")
        }
        return errno == ECONNREFUSED
    }

    private static func newSocket() throws(Failure) -> Int32 {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw Failure("socket") }
        return descriptor
    }

    private static func call(
        _ path: String,
        _ descriptor: Int32,
        _ body: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(pathBytesMax)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

extension UnixSocketFile.Failure {
    /// Of the call that failed just now.
    fileprivate init(_ call: String) { self.init(call: call, reason: String(cString: strerror(errno))) }
}
