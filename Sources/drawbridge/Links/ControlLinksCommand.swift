import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge ctl links`: what every link is doing.
struct ControlLinksCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "links",
        abstract: "Show the links of a running node: state, queue, pace."
    )

    @OptionGroup var directory: DataDirectory

    @Flag(help: "Print the answer of the node as one JSON document.")
    var json = false

    func run() throws {
        let answer = try Control.ask("GET", "/admin/v1/links", in: try directory.path())
        if json { return FileHandle.standardOutput.write(answer) }
        print(LinkTable.text(try LinkTable.read(answer)))
    }
}

/// `drawbridge ctl link NAME`: what one link is doing, or what it is to do.
struct ControlLinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link",
        abstract: "Show a link of a running node, or tell it what to do.",
        discussion: """
            status  show it (the default)
            start   connect now, whatever `start` in the configuration says of when
            stop    hang up and stay away; what is for the link waits in the spool
            pause   send nothing more; the connection stays, and what comes in comes in
            resume  send again what waits

            All of this lasts until the node is started again. `drawbridge ctl link explain NAME TOPIC` says what becomes
            of a topic.
            """,
        subcommands: [ControlLinkActionCommand.self, ControlExplainLinkCommand.self],
        // Arguments of its own would be asked for before any subcommand.
        defaultSubcommand: ControlLinkActionCommand.self
    )
}

/// `drawbridge ctl link NAME ACTION`.
struct ControlLinkActionCommand: ParsableCommand {
    enum Action: String, ExpressibleByArgument, CaseIterable {
        case status, start, stop, pause, resume
    }

    static let configuration = CommandConfiguration(commandName: "act", shouldDisplay: false)

    @OptionGroup var directory: DataDirectory

    @Argument(help: "The name of the link in the configuration.")
    var name: String

    @Argument(help: "status, start, stop, pause or resume.")
    var action = Action.status

    @Flag(help: "With status: print it as one JSON document.")
    var json = false

    func run() throws {
        let path = try directory.path()
        guard action == .status else {
            let order = try JSONEncoder().encode(LinkOrder(link: name, action: action.rawValue))
            _ = try Control.ask("POST", "/admin/v1/links", body: order, in: path)
            return
        }
        let overview = try LinkTable.read(try Control.ask("GET", "/admin/v1/links", in: path))
        guard let link = overview.links.first(where: { $0.name == name }) else {
            throw Console.failure("drawbridge: no link has the name \(name)")
        }
        if json { return FileHandle.standardOutput.write(try LinksOverview(links: [link]).encoded() + Data("\n".utf8)) }
        print(LinkTable.detail(link))
    }
}
