import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge link`: questions about the links of a configuration.
struct LinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link",
        abstract: "Ask what the links of a configuration do.",
        subcommands: [ExplainLinkCommand.self]
    )
}

/// `drawbridge link explain`: what a node with this configuration would make of a topic.
struct ExplainLinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say what becomes of a topic over a link, both ways: by which rule, under which name, or why not.",
        discussion: "Exit codes: 0, it travels in one direction at least; 1, in none; 2, it cannot be said."
    )

    @Option(name: [.short, .long], help: "The TOML file with the link.")
    var config: String

    @OptionGroup var question: LinkQuestion

    func run() throws {
        let file = try Console.orExit("", status: 2) { () throws(ConfigurationProblems) in
            try ConfigurationFile.load(path: config, environment: ProcessInfo.processInfo.environment)
        }
        let explanation = try Console.orExit("", status: 2) { () throws(LinkExplanation.Unaskable) in
            try LinkExplanation(
                file.configuration, link: question.link, topic: question.topic, clientID: question.client)
        }
        try question.say(explanation)
    }
}

/// `drawbridge ctl link explain`: the same of the rules with which a node runs.
struct ControlExplainLinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say what becomes of a topic over a link, both ways: by which rule, under which name, or why not.",
        discussion: "Exit codes: 0, it travels in one direction at least; 1, in none, or it cannot be said."
    )

    @OptionGroup var directory: DataDirectory

    @Flag(help: "Print the answer of the node as one JSON document.")
    var json = false

    @OptionGroup var question: LinkQuestion

    func run() throws {
        let body = LinkExplanationRoute.Question(
            link: question.link, topic: question.topic, clientID: question.client)
        let answer = try Control.ask(
            "POST", LinkExplanationRoute.path, body: try body.encoded(), in: try directory.path())
        if json { return Console.write(answer) }
        let explanation: LinkExplanation
        do {
            explanation = try LinkExplanation.decoded(answer)
        } catch {
            throw Console.failure("drawbridge: this program does not understand the node; use the version that it runs")
        }
        try question.say(explanation)
    }
}

/// Which topic of which link.
struct LinkQuestion: ParsableArguments {
    @Option(name: [.customShort("i"), .long], help: "The client id of who publishes it, for {clientid}.")
    var client: String?

    @Argument(help: "The name of the link.")
    var link: String

    @Argument(help: "The topic: as one of this node, and as one of the upstream.")
    var topic: String

    func say(_ explanation: LinkExplanation) throws {
        for line in explanation.lines { Console.say(line) }
        if explanation.stays { throw ExitCode(1) }
    }
}
