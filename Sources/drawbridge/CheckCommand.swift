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
        let file = try Console.orExit("") { () throws(ConfigurationProblems) in
            try ConfigurationFile.load(path: config, environment: ProcessInfo.processInfo.environment)
        }
        for warning in file.warnings { print("warning: \(warning)") }
        print(file.configuration.durability.advice)
        for certificate in file.certificates { print(certificate.summary) }
        print("\(file.paths.joined(separator: ", ")): ok")
    }
}
