/// Where a password comes from, or a token that stands for one. It is read again for each connection, so that one that
/// was changed needs no reload.
package enum CredentialSource: Sendable, Equatable {
    /// `"text"`, which may hold `${NAME}`.
    case text(Secret)
    /// `{ file = "path" }`.
    case file(String)
    /// `{ env = "NAME" }`.
    case environment(String)
    /// `{ command = ["program", "argument"] }`: what it prints.
    case command([String])
}

extension CredentialSource {
    /// How long a command may take, and how long a file that hangs is waited for.
    package static let patience = Duration.seconds(10)
    /// A field of CONNECT has no more (§3.1.3.6).
    package static let bytesMax = 65_535

    /// Why there is no password, without what was found.
    package struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
    }

    /// Asks. Files and commands take the time that they take: on a thread that may wait.
    package func read(environment: (String) -> String?, files: ConfigurationFiles) throws(Failure) -> Secret {
        switch self {
        case .text(let secret): return secret
        case .file(let path):
            let bytes: [UInt8]
            do throws(ConfigurationFiles.Unreadable) {
                bytes = try files.content(path).bytes
            } catch {
                throw Failure("\(path) cannot be read: \(error.reason)")
            }
            return try Self.checked(bytes, from: path)
        case .environment(let name):
            guard let value = environment(name) else { throw Failure("the environment variable \(name) is not set") }
            return try Self.checked(Array(value.utf8), from: name)
        case .command(let arguments):
            let bytes: [UInt8]
            do throws(CommandOutput.Failure) {
                bytes = try CommandOutput(arguments, patience: Self.patience, bytesMax: Self.bytesMax + 2).run()
            } catch {
                throw Failure(error.description)
            }
            return try Self.checked(bytes, from: arguments.first ?? "")
        }
    }

    /// Editors, `echo` and most programs end the last line, and the line end is no part of the password.
    private static func checked(_ bytes: [UInt8], from source: String) throws(Failure) -> Secret {
        var bytes = bytes
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        if bytes.isEmpty { throw Failure("the password is empty: \(source)") }
        guard bytes.count <= bytesMax else {
            throw Failure("a password has at most \(bytesMax) bytes, \(source) has \(bytes.count)")
        }
        return Secret(bytes: bytes)
    }
}
