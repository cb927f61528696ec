import ArgumentParser
import BrokerServer
import Foundation

/// `drawbridge ctl`: asks a node that runs, over the socket in its data directory.
struct ControlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ctl",
        abstract: "Ask a running node.",
        subcommands: [
            ControlSpoolCommand.self, ControlDropsCommand.self, ControlLinksCommand.self, ControlLinkCommand.self,
        ]
    )
}

/// `drawbridge ctl spool`: what waits, for whom, since when.
struct ControlSpoolCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "spool",
        abstract: "Show what waits in the spool of a running node, the deepest queue first."
    )

    @OptionGroup var list: ReceiverList

    func run() throws { try list.show("/admin/v1/spool", SpoolTable.text) }
}

/// `drawbridge ctl drops`: what receivers did not get, and why.
struct ControlDropsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drops",
        abstract: "Show which sessions, links and share groups did not get messages, and why, the worst first."
    )

    @OptionGroup var list: ReceiverList

    func run() throws { try list.show("/admin/v1/drops", DropsTable.text) }
}

/// What a node says of its receivers: as a table for people, or as the document that it answered.
struct ReceiverList: ParsableArguments {
    @OptionGroup var directory: DataDirectory

    @Flag(help: "Print the answer of the node as one JSON document.")
    var json = false

    @Option(help: "How many sessions, links and groups to list (default: 20; with --json: all).")
    var limit: Int?

    func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is 0 or more.") }
    }

    func show<Document: AdminDocument>(_ path: String, _ table: (Document) -> String) throws {
        let limit = limit ?? (json ? nil : 20)
        let query = limit.map { "?limit=\($0)" } ?? ""
        let answer = try Control.ask("GET", path + query, in: try directory.path())
        if json { return Console.write(answer) }
        do {
            print(table(try Document.decoded(answer)))
        } catch {
            throw Console.failure("drawbridge: this program does not understand the node; use the version that it runs")
        }
    }
}

/// A question to the running node, with its refusals as one line each.
enum Control {
    static func ask(_ method: String, _ path: String, body: Data = Data(), in directory: String) throws -> Data {
        guard let answer = try askIfRunning(method, path, body: body, in: directory) else {
            throw Console.failure("drawbridge: \(ControlCall.Failure.notRunning(directory: directory))")
        }
        return answer
    }

    /// Nil when no node is running there.
    static func askIfRunning(_ method: String, _ path: String, body: Data, in directory: String) throws -> Data? {
        let answer: (status: Int, body: Data)
        do throws(ControlCall.Failure) {
            answer = try ControlCall.ask(method, path, body: body, in: directory)
        } catch {
            if case .notRunning = error { return nil }
            throw Console.failure("drawbridge: \(error)")
        }
        guard answer.status == 200 else {
            throw Console.failure("drawbridge: \(Problem.detail(answer.body) ?? "the node answered \(answer.status)")")
        }
        return answer.body
    }

    /// RFC 9457: the sentence for people.
    private struct Problem: Decodable {
        let detail: String

        static func detail(_ body: Data) -> String? {
            do {
                return try JSONDecoder().decode(Problem.self, from: body).detail
            } catch {
                return nil
            }
        }
    }
}
