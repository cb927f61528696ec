import BrokerServer
import Foundation

/// What receivers did not get, for people: a line for all of them, then a table.
enum DropsTable {
    static func text(_ drops: DropsOverview) -> String {
        let reasons = SpoolTable.reasons(drops.reasons)
        var lines = ["dropped  \(drops.total)" + (reasons.isEmpty ? "" : " (\(reasons))")]
        guard !drops.receivers.isEmpty else { return lines[0] }
        lines.append("")
        let rows = drops.receivers.map { receiver in
            [
                LogText.escaped(receiver.name), receiver.kind, receiver.connected ? "connected" : "away",
                String(receiver.total), SpoolTable.reasons(receiver.reasons),
            ]
        }
        lines += SpoolTable.columns([["NAME", "KIND", "STATE", "DROPPED", "WHY"]] + rows, rightAligned: [3])
        let more = drops.count - drops.receivers.count
        if more > 0 { lines.append("... and \(more) more; --limit shows more of them") }
        return lines.joined(separator: "\n")
    }
}
