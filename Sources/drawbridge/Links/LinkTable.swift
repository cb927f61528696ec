import BrokerServer
import Foundation

/// Links as people read them.
enum LinkTable {
    static func read(_ answer: Data) throws -> LinksOverview {
        do {
            return try LinksOverview.decoded(answer)
        } catch {
            throw Console.failure("drawbridge: this program does not understand the node; use the version that it runs")
        }
    }

    /// Asks for one link.
    static func link(_ name: String, in path: String) throws -> LinksOverview.Link {
        let overview = try read(try Control.ask("GET", "/admin/v1/links", in: path))
        guard let link = overview.links.first(where: { $0.name == name }) else {
            throw Console.failure("drawbridge: no link has the name \(name)")
        }
        return link
    }

    static func text(_ overview: LinksOverview) -> String {
        guard !overview.links.isEmpty else { return "no links" }
        let rows =
            [["LINK", "STATE", "FOR", "QUEUE", "SIZE", "OLDEST", "OUT/S", "IN/S", "DRAINED IN", "LAST ERROR"]]
            + overview.links.map { link in
                [
                    link.name, link.state, Plain.age(link.stateSeconds), "\(link.queue)", Plain.size(link.queueBytes),
                    link.oldestSeconds.map(Plain.age) ?? "", pace(link.sentPerSecond), pace(link.receivedPerSecond),
                    link.drainSeconds.map(Plain.age) ?? "", link.lastError ?? "",
                ]
            }
        return SpoolTable.columns(rows, rightAligned: [3, 4, 6, 7]).joined(separator: "\n")
    }

    static func detail(_ link: LinksOverview.Link) -> String {
        let lines: [(String, String?)] = [
            ("link", link.name),
            ("state", "\(link.state), for \(Plain.age(link.stateSeconds))"),
            ("address", link.address),
            ("last error", link.lastError),
            ("queue", "\(Plain.count(link.queue, "message")), \(Plain.size(link.queueBytes))"),
            ("oldest", link.oldestSeconds.map(Plain.age)),
            ("drained in", link.drainSeconds.map { "\(Plain.age($0)) at this pace" }),
            ("out", "\(pace(link.sentPerSecond))/s, \(link.sent) sent, \(link.delivered) acknowledged from the spool"),
            ("in", "\(pace(link.receivedPerSecond))/s, \(link.received) received"),
            ("dropped", link.dropped > 0 ? "\(link.dropped), see `drawbridge ctl drops`" : nil),
            ("probe", link.probeMilliseconds.map { "returns in \($0) ms" }),
        ]
        let rows = lines.compactMap { name, value in value.map { [name, $0] } }
        return SpoolTable.columns(rows, rightAligned: []).joined(separator: "\n")
    }

    private static func pace(_ value: Double) -> String { String(format: "%.1f", value) }
}
