import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge acl`: questions about access rules.
struct AccessCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "acl",
        abstract: "Ask what access rules say.",
        subcommands: [ExplainCommand.self]
    )
}

/// `drawbridge acl explain`: the decision of a node with this configuration, and the rule that makes it.
struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say whether somebody may publish or subscribe, and which rule decides.",
        discussion: "The exit code is 0 when it is allowed, 1 when it is denied, 2 when it cannot be said."
    )

    @Option(name: [.short, .long], help: "The TOML file with the rules.")
    var config: String

    @Option(name: [.short, .long], help: "The user name; without it the client is anonymous.")
    var user: String?

    @Option(name: [.customShort("i"), .long], help: "The client id; empty for HTTP.")
    var client: String = ""

    @Option(name: [.short, .long], help: "The address that the client comes from, without a port.")
    var address: String?

    @Argument(help: "publish or subscribe")
    var action: AccessExplanation.Action

    @Argument(help: "The topic, or the topic filter.")
    var topic: String

    func run() throws {
        let file = try Console.orExit("", status: 2) { () throws(ConfigurationProblems) in
            try ConfigurationFile.load(path: config, environment: ProcessInfo.processInfo.environment)
        }
        let explanation = try Console.orExit("", status: 2) { () throws(AccessExplanation.Unaskable) in
            try AccessExplanation(
                file.configuration.access,
                username: user,
                clientID: client,
                address: address,
                action,
                topic
            )
        }
        for line in explanation.lines { Console.say(line) }
        if !explanation.isAllowed { throw ExitCode(1) }
    }
}

extension AccessExplanation.Action: ExpressibleByArgument {}
