import ArgumentParser
import BrokerServer
import Foundation

/// Subcommands in the manner of git.
@main
struct Drawbridge: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drawbridge",
        abstract: "MQTT edge gateway and broker bridge.",
        discussion: "Without a subcommand it runs: MQTT on port 1883, WebSocket, HTTP and the chat page on port 8083.",
        version: Version.text,
        subcommands: [
            RunCommand.self, CheckCommand.self, CertificateCommand.self, PasswordCommand.self, AccessCommand.self,
            LinkCommand.self, ControlCommand.self, SpoolCommand.self, ImportCommand.self, PublishCommand.self,
            SubscribeCommand.self, BenchCommand.self, SimulateCommand.self, VersionCommand.self,
        ],
        defaultSubcommand: RunCommand.self
    )

    static func main() async {
        Console.failWithoutOutput()
        if let problem = HelpTopic.problem(in: ProcessInfo.processInfo.arguments) {
            Self.exit(withError: Console.failure("drawbridge: \(problem)", status: ExitCode.validationFailure.rawValue))
        }
        await main(nil)
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    func run() { print(Version.text) }
}
