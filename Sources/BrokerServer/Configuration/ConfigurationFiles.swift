import FileStatus

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The files that reading a configuration may touch: the disk, or a dictionary in tests.
package struct ConfigurationFiles: Sendable {
    package struct Content: Sendable {
        package var bytes: [UInt8]
        /// Whether every user of the machine may read it; said about files that hold secrets.
        package var isReadableByAll: Bool

        package init(bytes: [UInt8], isReadableByAll: Bool = false) {
            self.bytes = bytes
            self.isReadableByAll = isReadableByAll
        }
    }

    package struct Unreadable: Error {
        /// In the words of the system, such as `No such file or directory`.
        package var reason: String

        package init(reason: String) { self.reason = reason }
    }

    /// The whole file at a path.
    package var content: @Sendable (_ path: String) throws(Unreadable) -> Content
    /// The paths that match a pattern with `*`, `?` and `[...]`, in order of their names.
    package var matches: @Sendable (_ pattern: String) throws(Unreadable) -> [String]

    package init(
        content: @escaping @Sendable (_ path: String) throws(Unreadable) -> Content,
        matches: @escaping @Sendable (_ pattern: String) throws(Unreadable) -> [String]
    ) {
        self.content = content
        self.matches = matches
    }

    package static var disk: ConfigurationFiles { ConfigurationFiles(content: readFile, matches: matchingPaths) }

    /// No configuration and no password is larger; it keeps a wrong path (a log, a device) from filling the memory.
    package static let bytesMax = 4 << 20
}

/// Where a path leads that stands in a file.
enum FilePath {
    /// - Returns: `path` itself when absolute, else `path` beside the file `other`.
    static func resolve(_ path: String, besides other: String) -> String {
        guard !path.hasPrefix("/"), let slash = other.lastIndex(of: "/") else { return path }
        return String(other[...slash]) + path
    }

    static func isPattern(_ path: String) -> Bool { path.contains { $0 == "*" || $0 == "?" || $0 == "[" } }
}

private let silenceMilliseconds: Int32 = 5_000

@Sendable private func readFile(_ path: String) throws(ConfigurationFiles.Unreadable) -> ConfigurationFiles.Content {
    // A pipe may be given (`<(...)`), but nobody waits for one that stays silent.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw systemReason() }
    defer { close(descriptor) }
    guard let status = FileStatus.of(descriptor: descriptor) else { throw systemReason() }
    var bytes: [UInt8] = []
    var page = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &page, page.count)
        if count < 0, errno == EINTR { continue }
        if count < 0, errno == EAGAIN {
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wanted, 1, silenceMilliseconds) != 0 else { throw .init(reason: "nothing comes out of it") }
            continue
        }
        guard count >= 0 else { throw systemReason() }
        if count == 0 { break }
        bytes += page[..<count]
        guard bytes.count <= ConfigurationFiles.bytesMax else {
            throw ConfigurationFiles.Unreadable(reason: "larger than \(ConfigurationFiles.bytesMax) bytes")
        }
    }
    guard !bytes.isEmpty || status.isRegular else { throw .init(reason: "nothing comes out of it") }
    return ConfigurationFiles.Content(bytes: bytes, isReadableByAll: status.isReadableByAll)
}

private func systemReason() -> ConfigurationFiles.Unreadable {
    guard let text = strerror(errno) else { return ConfigurationFiles.Unreadable(reason: "error \(errno)") }
    return ConfigurationFiles.Unreadable(reason: String(cString: text))
}

@Sendable private func matchingPaths(_ pattern: String) throws(ConfigurationFiles.Unreadable) -> [String] {
    var found = glob_t()
    defer { globfree(&found) }
    // A folder that is there and cannot be read is not an empty one: rules may stand in it.
    let outcome = glob(pattern, 0, { _, code in code == ENOENT || code == ENOTDIR ? 0 : code }, &found)
    guard outcome == 0 || outcome == GLOB_NOMATCH else {
        throw ConfigurationFiles.Unreadable(
            reason: outcome == GLOB_NOSPACE ? "out of memory" : "its folder cannot be read")
    }
    guard outcome == 0, let paths = found.gl_pathv else { return [] }
    return (0..<Int(found.gl_pathc)).compactMap { index in paths[index].map { String(cString: $0) } }
}
