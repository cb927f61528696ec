import BrokerCore
import FileStatus
import MQTTCodec

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Changes of a file of users by `drawbridge passwd`: other lines and comments stay as they are.
package struct UserFileEdit: Sendable {
    /// Why it was not changed, in one line.
    package struct Problem: Error, CustomStringConvertible {
        package var description: String
    }

    package let path: String

    package init(path: String) { self.path = path }

    /// - Throws: when nobody can have this name, or what is there is no file of users.
    package func check(_ name: String) throws {
        if let problem = UserFileLine.problem(inName: name) { throw Problem(description: problem) }
        _ = try status(of: target())
    }

    /// Whether this name may not stand for `%u` in access rules.
    package static func isOddInPatterns(_ name: String) -> Bool { !MQTTString(name).isSafeInPatterns }

    /// Sets the password of a user, who is added if need be; makes the file if there is none.
    ///
    /// - Parameter method: how it is kept.
    /// - Returns: true when the user is new.
    package func set(
        _ name: String,
        password: [UInt8],
        method: PasswordHash.Method = PasswordHash.cost
    ) throws -> Bool {
        try check(name)
        guard !password.isEmpty else { throw Problem(description: "the password is empty") }
        guard password.count <= PasswordHash.passwordBytesMax else {
            throw Problem(description: "a password has at most \(PasswordHash.passwordBytesMax) bytes")
        }
        if case .scram = method, !SCRAMServer.isPlain(name.utf8) || !SCRAMServer.isPlain(password) {
            throw Problem(
                description: """
                    SCRAM takes a name and a password of printable ASCII only: clients do not agree about the bytes of \
                    others (RFC 4013)
                    """)
        }
        let line = "\(name):\(try PasswordHash(password: password, method: method).text)"
        return try change { lines in
            if let index = Self.index(of: name, in: lines) {
                lines[index] = line
                return false
            }
            if lines.last?.isEmpty == true { lines.removeLast() }
            lines += [line, ""]
            return true
        }
    }

    /// - Throws: also when there is no such user.
    package func delete(_ name: String) throws {
        try change { lines in
            guard let index = Self.index(of: name, in: lines) else {
                throw Problem(description: "\(path): there is no user \"\(name)\"")
            }
            lines.remove(at: index)
        }
    }

    /// Also finds a user whose hash cannot be read, for setting it anew is how that is mended.
    private static func index(of name: String, in lines: [String]) -> Int? {
        lines.firstIndex { line in Array(line.utf8).starts(with: Array("\(name):".utf8)) }
    }

    /// Two that change the file at once do it one after the other; whoever reads it sees the old file or the new one.
    private func change<Result>(_ body: (inout [String]) throws -> Result) throws -> Result {
        let path = try target()
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard lock >= 0 else { throw Problem(description: "\(folder): \(reason())") }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw Problem(description: "\(folder): \(reason())") }

        let status = try status(of: path)
        var lines: [String] = []
        if status != nil {
            let content: ConfigurationFiles.Content
            do throws(ConfigurationFiles.Unreadable) {
                content = try ConfigurationFiles.disk.content(path)
            } catch {
                throw Problem(description: "\(path): \(error.reason)")
            }
            guard let text = String(validating: content.bytes, as: UTF8.self) else {
                throw Problem(description: "\(path): is not UTF-8 text")
            }
            lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map {
                String(Substring($0))
            }
        }
        let result = try body(&lines)
        try replace(path, with: lines.joined(separator: "\n"), like: status)
        fsync(lock)
        return result
    }

    /// - Returns: nil when there is no such file.
    /// - Throws: when it is a device, a pipe or a folder: a file put in its place would be the end of it.
    private func status(of path: String) throws -> FileStatus? {
        guard let status = FileStatus.of(path) else { return nil }
        guard status.isRegular else { throw Problem(description: "\(path): is no regular file") }
        return status
    }

    /// The file itself when `path` is a link to it, so that the link stays one.
    private func target() throws -> String {
        guard let resolved = realpath(path, nil) else {
            guard errno == ENOENT else { throw Problem(description: "\(path): \(reason())") }
            var byte: CChar = 0
            guard readlink(path, &byte, 1) < 0 else { throw Problem(description: "\(path): is a link to nothing") }
            return path
        }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Beside the file first, then in its place. A new file is for its owner only; an old one keeps its rights, since a
    /// service may read it through its group.
    private func replace(_ path: String, with text: String, like status: FileStatus?) throws {
        let temporary = "\(path).\(getpid()).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Problem(description: "\(temporary): \(reason())") }
        var isDone = false
        defer {
            close(descriptor)
            if !isDone { unlink(temporary) }
        }
        if let status {
            // Only root may give files away; others keep what they own.
            _ = fchown(descriptor, status.owner, status.group)
            guard fchmod(descriptor, status.mode & 0o777) == 0 else {
                throw Problem(description: "\(temporary): \(reason())")
            }
        }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Problem(description: "\(temporary): \(reason())") }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0, rename(temporary, path) == 0 else {
            throw Problem(description: "\(path): \(reason())")
        }
        isDone = true
    }

    private func reason() -> String {
        guard let text = strerror(errno) else { return "error \(errno)" }
        return String(cString: text)
    }
}
