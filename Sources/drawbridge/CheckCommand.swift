import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge check`: every problem of a configuration at once.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration and print every problem with file, line and key."
    )

    @Option(name: [.short, .long], help: "The TOML file to check.")
    var config: String

    func run() throws {
        do throws(ConfigurationProblems) {
            let file = try ConfigurationFile.load(path: config, environment: ProcessInfo.processInfo.environment)
            for warning in file.warnings { print("warning: \(warning)") }
            print(file.configuration.durability.advice)
            for certificate in file.certificates { print(certificate.summary) }
            print("\(file.paths.joined(separator: ", ")): ok")
        } catch {
            Console.error(error.description)
            throw ExitCode(1)
        }
    }
}

/// Where a command tells people what went wrong.
enum Console {
    static func error(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    /// Standard output is a pipe more often than a terminal: what is printed has to arrive.
    static func say(_ text: String) {
        print(text)
        fflush(nil)
    }
}
