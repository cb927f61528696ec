import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge check`: every problem of a configuration at once.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration and print every problem with file, line and key.",
        discussion: """
            Given the files of several nodes, it also looks for rings: ways on which a message would come back to a link \
            that it has crossed.
            """
    )

    @Option(name: [.short, .long], help: "The TOML file to check; once more for each other node.")
    var config: [String]

    func validate() throws {
        if config.isEmpty { throw ValidationError("Missing expected argument '--config <config>'") }
    }

    func run() throws {
        let files = try config.map { path in try load(path) }
        for file in files { say(file) }
        guard files.count > 1 else { return }
        for ring in LinkMap(files.map(\.configuration)).rings() where ring.links.count > 1 && !ring.isStopped {
            print("warning: messages go round: \(ring.steps.joined(separator: ", "))")
        }
    }

    private func load(_ path: String) throws -> ConfigurationFile {
        try Console.orExit("") { () throws(ConfigurationProblems) in
            try ConfigurationFile.load(path: path, environment: ProcessInfo.processInfo.environment)
        }
    }

    private func say(_ file: ConfigurationFile) {
        for warning in file.warnings { print("warning: \(warning)") }
        print(file.configuration.durability.advice)
        for certificate in file.certificates { print(certificate.summary) }
        print("\(file.paths.joined(separator: ", ")): ok")
    }
}
