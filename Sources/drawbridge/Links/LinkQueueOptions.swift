import ArgumentParser
import BrokerServer
import Foundation

/// What the commands for the queue of a link may be told; each takes some of it.
struct LinkQueueOptions: ParsableArguments {
    @Option(help: "With peek, drop, export and replay: only messages whose topic on this node matches this filter.")
    var filter: String?

    @Flag(help: "With drop: everything that waits.")
    var all = false

    @Option(help: "With drop and export: only messages that came at least so long ago: 30m, 2h, 7d.")
    var olderThan: String?

    @Option(help: "With peek: how many messages at most (default: 20).")
    var limit: Int?

    @Option(help: "With peek: bytes of each payload to show (default: 48; with --json: none).")
    var payload: Int?

    @Flag(help: "With drop: say what would go, and drop nothing.")
    var dryRun = false

    @Flag(help: "With drop: do not ask.")
    var yes = false

    @Option(help: "With drain: give up, with status 2, when it is not empty by then: 90s, 10m.")
    var timeout: String?

    @Flag(help: "With export: the messages stay in the queue as well, and the file is a copy.")
    var keep = false

    @Flag(help: "With import: take in a copy, although its messages may have gone out already.")
    var copy = false

    @Flag(help: "With import: leave out what is damaged in the file.")
    var skipDamaged = false

    func validate(_ action: ControlNamedLinkCommand.Action, file: String?) throws {
        let isCarrying = action == .export || action == .takeIn
        if isCarrying, file == nil { throw ValidationError("\(action.rawValue) needs the name of a file.") }
        if !isCarrying, let file { throw ValidationError("\(action.rawValue) takes no file: \(file)") }
        try allow(filter != nil, "--filter", with: [.peek, .drop, .export, .replay], action)
        try allow(all, "--all", with: [.drop], action)
        try allow(olderThan != nil, "--older-than", with: [.drop, .export], action)
        try allow(limit != nil, "--limit", with: [.peek], action)
        try allow(payload != nil, "--payload", with: [.peek], action)
        try allow(dryRun, "--dry-run", with: [.drop], action)
        try allow(yes, "--yes", with: [.drop], action)
        try allow(timeout != nil, "--timeout", with: [.drain], action)
        try allow(keep, "--keep", with: [.export], action)
        try allow(copy, "--copy", with: [.takeIn], action)
        try allow(skipDamaged, "--skip-damaged", with: [.takeIn], action)
        if let limit, limit < 1 { throw ValidationError("--limit is 1 or more.") }
        if let payload, payload < 0 { throw ValidationError("--payload is 0 or more.") }
        for (name, text) in [("--older-than", olderThan), ("--timeout", timeout)] {
            guard let text, DurationText.duration(in: text) == nil else { continue }
            throw ValidationError("\(name) is a duration such as 30s, 10m, 2h or 7d: \(text)")
        }
        guard action == .drop else { return }
        if all, filter != nil || olderThan != nil {
            throw ValidationError("--all is everything; leave it out, or --filter and --older-than.")
        }
        if !all, filter == nil, olderThan == nil {
            throw ValidationError("drop needs --filter FILTER, --older-than TIME, or --all.")
        }
    }

    var timeoutSeconds: Double? { timeout.flatMap { DurationText.duration(in: $0) }.map { $0 / .seconds(1) } }

    /// What a node is asked, but for the file.
    func order(for link: String) -> LinkQueueOrder {
        var order = LinkQueueOrder(link: link)
        order.filter = filter
        order.olderThanSeconds = olderThan.flatMap { DurationText.duration(in: $0) }
            .map { Int(clamping: $0.components.seconds) }
        return order
    }

    private func allow(
        _ isGiven: Bool,
        _ option: String,
        with actions: [ControlNamedLinkCommand.Action],
        _ action: ControlNamedLinkCommand.Action
    ) throws {
        guard isGiven, !actions.contains(action) else { return }
        let names = actions.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("\(option) goes with \(names), not with \(action.rawValue).")
    }
}

extension Control {
    /// One step with the queue of a link.
    static func ask<Answer: AdminDocument>(_ step: String, _ order: LinkQueueOrder, in path: String) throws -> Answer {
        let answer = try ask("POST", "/admin/v1/links/queue/" + step, body: try order.encoded(), in: path)
        do {
            return try Answer.decoded(answer)
        } catch {
            throw Console.failure("drawbridge: this program does not understand the node; use the version that it runs")
        }
    }
}
