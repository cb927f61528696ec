import ArgumentParser
import BrokerServer
import Foundation

/// From options to an exit code, for `pub` and `sub`.
enum ClientCommand {
    /// Runs `body`, and says what is wrong with the command line as mosquitto's programs do.
    static func run(_ name: String, isQuiet: Bool, _ body: () async throws -> Int32) async throws {
        let status: Int32
        do {
            status = try await body()
        } catch let problem as UsageProblem {
            if !isQuiet {
                Console.error("Error: \(problem.text)\n\nUse 'drawbridge \(name) --help' to see usage.")
            }
            status = 1
        } catch let problem as TLSProblem {
            if !isQuiet { Console.error("Error: \(problem)") }
            status = 1
        }
        guard status == 0 else { throw ExitCode(status) }
    }

    static func complaints(isQuiet: Bool) -> @Sendable (String) -> Void {
        { text in if !isQuiet { Console.error(text) } }
    }

    /// Where `-d` talks.
    static func talk(_ settings: ClientSettings) -> (@Sendable (String) -> Void)? {
        guard settings.isTalkative else { return nil }
        let id = settings.name
        return { text in _ = StandardOutput.write(Array("Client \(id) \(text)\n".utf8)) }
    }
}

/// Bytes to standard output at once, past the buffers of the C library.
enum StandardOutput {
    /// - Returns: false when nobody reads any more.
    static func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// A message's bytes from a file or from standard input.
enum MessageFile {
    static func content(_ path: String) throws(UsageProblem) -> [UInt8] {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw UsageProblem("Unable to open file \"\(path)\".")
        }
        return try content(handle, called: "\"\(path)\"")
    }

    static func standardInput() throws(UsageProblem) -> [UInt8] {
        try content(.standardInput, called: "standard input")
    }

    private static func content(_ handle: FileHandle, called name: String) throws(UsageProblem) -> [UInt8] {
        do {
            return Array(try handle.readToEnd() ?? Data())
        } catch {
            throw UsageProblem("Unable to read \(name).")
        }
    }
}
