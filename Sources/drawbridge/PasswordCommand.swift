import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge passwd`: the users of a file, without anybody seeing their passwords.
struct PasswordCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "passwd",
        abstract: "Add, change, delete and list the users of a file.",
        discussion: """
            The password is asked for twice without showing it, or is the first line of standard input when that is \
            not a terminal. The file is made if need be, for its owner only; other lines and comments stay as they \
            are. A running node notices the change within seconds. Files of mosquitto_passwd are read and extended.
            """
    )

    @Argument(help: "The file of users, as in [auth.users] of the configuration.")
    var file: String

    @Argument(help: "The name of the user.")
    var user: String?

    @Flag(help: "Delete the user.")
    var delete = false

    @Flag(
        help: "Keep what SCRAM-SHA-256 needs, for clients of version 5 that prove the password instead of sending it.")
    var scram = false

    @Flag(help: "Print the names of all users.")
    var list = false

    func validate() throws {
        if delete, list { throw ValidationError("--delete and --list exclude each other.") }
        if !list, user == nil { throw ValidationError("Missing expected argument '<user>'") }
        if list, user != nil { throw ValidationError("--list takes no user.") }
    }

    func run() throws {
        try Console.orExit { try work() }
    }

    private func work() throws {
        if list {
            for name in try UserFile.load(path: file).file.names { Console.say(name) }
            return
        }
        let name = user ?? ""
        let edit = UserFileEdit(path: file)
        if delete { return try edit.delete(name) }
        try edit.check(name)
        if UserFileEdit.isOddInPatterns(name) {
            Console.error("warning: with this name, access rules that hold %u do not let the user in")
        }
        let password = try PasswordPrompt.read(for: name)
        let isNew = try edit.set(name, password: password, method: scram ? PasswordHash.scramCost : PasswordHash.cost)
        Console.error("\(file): \(isNew ? "added" : "changed") \(name)")
    }
}

/// Asks for a new password.
enum PasswordPrompt {
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    static func read(for name: String) throws -> [UInt8] {
        guard isatty(STDIN_FILENO) == 1 else { return try line() }
        let first = try ask("Password of \(name): ")
        let second = try ask("Again: ")
        guard first == second else { throw Problem(description: "the two passwords differ; nothing was changed") }
        return first
    }

    private static func ask(_ prompt: String) throws -> [UInt8] {
        Console.tell(prompt)
        var before = termios()
        guard tcgetattr(STDIN_FILENO, &before) == 0 else { throw Problem(description: "the terminal does not answer") }
        var silent = before
        // Signals are off too: Ctrl-C would leave a terminal that shows nothing. It arrives as a byte instead.
        silent.c_lflag &= ~tcflag_t(ECHO | ISIG)
        guard tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0 else {
            throw Problem(description: "the terminal cannot be made silent")
        }
        defer {
            tcsetattr(STDIN_FILENO, TCSAFLUSH, &before)
            Console.tell("\n")
        }
        let bytes = try line()
        if bytes.contains(0x03) { throw Problem(description: "nothing was changed") }
        return bytes
    }

    /// The next line of standard input, without its end.
    private static func line() throws -> [UInt8] {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            let count = Foundation.read(STDIN_FILENO, &byte, 1)
            if count < 0, errno == EINTR { continue }
            guard count > 0, byte != UInt8(ascii: "\n") else { break }
            bytes.append(byte)
            // More than any password has; the edit says how many those are.
            guard bytes.count <= 65_536 else { break }
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard !bytes.isEmpty else { throw Problem(description: "the password is empty; nothing was changed") }
        return bytes
    }
}
