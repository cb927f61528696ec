/// A file of users: one `name:hash` a line; empty lines and lines that begin with `#` say nothing.
///
/// It is read as a whole or not at all: a line that cannot be read stops the start, and on a reload keeps the old file.
package struct UserFile: Sendable {
    /// By the bytes of the name: Swift would take canonically equivalent names for one.
    private let hashes: [[UInt8]: PasswordHash]
    /// The hashes in the order of the file.
    private let inOrder: [PasswordHash]
    /// Names in the order of the file.
    package let names: [String]

    package init() {
        hashes = [:]
        inOrder = []
        names = []
    }

    /// - Parameters:
    ///   - text: of the whole file.
    ///   - path: for the problems.
    /// - Throws: every line that is wrong.
    package init(_ text: String, path: String) throws(ConfigurationProblems) {
        var problems: [ConfigurationProblem] = []
        var hashes: [[UInt8]: PasswordHash] = [:]
        var inOrder: [PasswordHash] = []
        var names: [String] = []
        var lines: [[UInt8]: Int] = [:]
        for (index, line) in UserFileLine.lines(of: text).enumerated() {
            do throws(PasswordHash.Problem) {
                guard let user = try UserFileLine.user(line) else { continue }
                let key = Array(user.name.utf8)
                if let earlier = lines[key] {
                    throw PasswordHash.Problem(message: "this user stands in line \(earlier) already")
                }
                let hash = try PasswordHash(user.hash)
                lines[key] = index + 1
                hashes[key] = hash
                inOrder.append(hash)
                names.append(user.name)
            } catch {
                problems.append(ConfigurationProblem(file: path, line: index + 1, message: error.message))
            }
        }
        guard problems.isEmpty else { throw ConfigurationProblems(problems: problems) }
        self.hashes = hashes
        self.inOrder = inOrder
        self.names = names
    }

    /// The hash of a user; nil when there is none of that name.
    package func hash(of name: String) -> PasswordHash? { hashes[Array(name.utf8)] }

    /// Users of this file who are not the same in the other: gone, or with another password.
    package func changed(in other: UserFile) -> [String] {
        names.filter { hash(of: $0) != other.hash(of: $0) }
    }

    /// What the password of an unknown user is hashed with: the cost of one of the users, always the same one for a
    /// name, so that a file with several kinds of hashes does not tell by its time who is in it.
    package func standIn(for name: String) -> PasswordHash {
        guard !inOrder.isEmpty else { return PasswordHash(standInFor: PasswordHash.cost) }
        var hasher = Hasher()
        hasher.combine(name)
        return PasswordHash(standInFor: inOrder[Int(hasher.finalize().magnitude % UInt(inOrder.count))].method)
    }

    /// What SCRAM says to a name: the user's own, or something stable for who is unknown here, so that whoever asks
    /// twice learns nothing. It is made from what the first user of SCRAM has, which changes as seldom as that line.
    ///
    /// - Parameter otherwise: a secret for files without such a user.
    package func scram(for name: String, otherwise: [UInt8]) -> SCRAMCredentials {
        if let known = hash(of: name)?.scram { return known }
        let first = inOrder.lazy.compactMap(\.scram).first
        return SCRAMCredentials.standIn(
            for: name,
            secret: first.map { $0.storedKey + $0.serverKey } ?? otherwise,
            iterations: first?.iterations ?? PasswordHash.scramIterations
        )
    }

    /// Reads the file at `path`.
    package static func load(
        path: String,
        files: ConfigurationFiles = .disk
    ) throws(ConfigurationProblems) -> (file: UserFile, isReadableByAll: Bool) {
        let content: ConfigurationFiles.Content
        do throws(ConfigurationFiles.Unreadable) {
            content = try files.content(path)
        } catch {
            throw ConfigurationProblems(problems: [
                ConfigurationProblem(file: path, message: "cannot be read: \(error.reason)")
            ])
        }
        guard let text = String(validating: content.bytes, as: UTF8.self) else {
            throw ConfigurationProblems(problems: [ConfigurationProblem(file: path, message: "is not UTF-8 text")])
        }
        return (try UserFile(text, path: path), content.isReadableByAll)
    }
}

/// One line of a file of users.
enum UserFileLine {
    static func lines(of text: String) -> [Substring] {
        // By bytes: Swift takes CR and LF together for one character.
        text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
            var line = line
            while let last = line.last, last == UInt8(ascii: "\r") || last == UInt8(ascii: " ") { line.removeLast() }
            return Substring(line)
        }
    }

    /// - Returns: nil for a line that says nothing.
    static func user(_ line: Substring) throws(PasswordHash.Problem) -> (name: String, hash: Substring)? {
        guard !line.utf8.isEmpty, !line.hasPrefix("#") else { return nil }
        guard let colon = line.utf8.firstIndex(of: UInt8(ascii: ":")) else {
            throw PasswordHash.Problem(message: "a line is `name:hash`, and this one has no colon")
        }
        let name = String(line[..<colon])
        if let problem = problem(inName: name) { throw PasswordHash.Problem(message: problem) }
        return (name, line[line.utf8.index(after: colon)...])
    }

    /// What a name may not be; nil when it is fine.
    static func problem(inName name: String) -> String? {
        if name.isEmpty { return "a user needs a name" }
        if name.hasPrefix("#") { return "a name that begins with # would be a comment" }
        if name.utf8.count > 1024 { return "a name has at most 1024 bytes" }
        if name.utf8.contains(UInt8(ascii: ":")) { return "a name cannot hold a colon" }
        if name.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }) {
            return "a name cannot hold control characters"
        }
        return nil
    }
}
