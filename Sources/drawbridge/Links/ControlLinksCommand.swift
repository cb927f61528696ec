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
        if json { return Console.write(answer) }
        print(LinkTable.text(try LinkTable.read(answer)))
    }
}

/// `drawbridge ctl link`: what one link is doing, or what it is to do, or what it makes of a topic.
struct ControlLinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link",
        abstract: "Show a link of a running node, tell it what to do, or handle its queue.",
        discussion: """
            `drawbridge ctl link NAME` shows it; behind the name:

            start   connect now, whatever `start` in the configuration says of when
            stop    hang up and stay away; what is for the link waits in the spool
            pause   send nothing more; the connection stays, and what comes in comes in
            resume  send again what waits

            All of this lasts until the node is started again. With its queue:

            peek    show what waits, the oldest first
            drop    take messages out for good: --filter, --older-than, or --all
            drain   wait until it is empty
            export FILE   move messages to a file, to be carried to another node
            import FILE   take in what such a file holds
            replay  put what the upstream refused into the queue again, if it was kept: `keep_refused`

            `drawbridge ctl link help tell` lists the options of each.
            """,
        subcommands: [ControlExplainLinkCommand.self, ControlNamedLinkCommand.self],
        // So that the name of a link may stand where that of a subcommand does.
        defaultSubcommand: ControlNamedLinkCommand.self
    )
}

/// `drawbridge ctl link NAME [ACTION] [FILE]`
struct ControlNamedLinkCommand: ParsableCommand {
    enum Action: String, ExpressibleByArgument, CaseIterable {
        case status, start, stop, pause, resume
        case peek, drop, drain, export
        case takeIn = "import"
        case replay
    }

    static let configuration = CommandConfiguration(
        commandName: "tell",
        abstract: "Show the link with this name, whatever it is, tell it what to do, or handle its queue."
    )

    @OptionGroup var directory: DataDirectory

    @Argument(help: "The name of the link in the configuration.")
    var name: String

    @Argument(help: "status, start, stop, pause, resume, peek, drop, drain, export, import or replay.")
    var action = Action.status

    @Argument(help: "With export and import: the file.")
    var file: String?

    @Flag(help: "With status: print it as one JSON document; with peek: one JSON object a line.")
    var json = false

    @OptionGroup(title: "Handling the queue") var queue: LinkQueueOptions

    func validate() throws {
        try queue.validate(action, file: file)
        if json, action != .status, action != .peek { throw ValidationError("--json goes with status and peek.") }
    }

    func run() throws {
        let path = try directory.path()
        switch action {
        case .status: try show(path)
        case .start, .stop, .pause, .resume:
            let order = try JSONEncoder().encode(LinkOrder(link: name, action: action.rawValue))
            _ = try Control.ask("POST", "/admin/v1/links", body: order, in: path)
        case .peek: try LinkPeek(name, queue, path).run(asJSON: json)
        case .drop: try LinkDrop(name, queue, path).run()
        case .drain: try LinkDrain(name, path, timeout: queue.timeoutSeconds).run()
        case .export: try LinkCarrying(name, queue, path, file: file ?? "").export()
        case .takeIn: try LinkCarrying(name, queue, path, file: file ?? "").takeIn()
        case .replay: try LinkCarrying(name, queue, path, file: "").replay()
        }
    }

    private func show(_ path: String) throws {
        let link = try LinkTable.link(name, in: path)
        if json { return Console.write(try LinksOverview(links: [link]).encoded() + Data("\n".utf8)) }
        print(LinkTable.detail(link))
    }
}
