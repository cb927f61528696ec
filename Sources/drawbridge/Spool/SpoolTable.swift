import BrokerServer
import Foundation

/// The overview of a spool for people: a few lines of facts, then a table.
enum SpoolTable {
    static func text(_ spool: SpoolOverview) -> String {
        var lines: [String] = []
        for notice in spool.notices { lines.append("warning: \(LogText.escaped(notice))") }
        var state = spool.state
        if let seconds = spool.failingSeconds { state += " for \(Plain.age(seconds))" }
        if let reason = spool.reason { state += ": \(LogText.escaped(reason))" }
        if let refusing = spool.refusing { state += "; new messages are refused: \(refusing)" }
        if spool.high { state += "; above its high watermark" }
        lines.append("state       \(state)")
        lines.append("durability  \(spool.durability)")
        lines.append(
            "file        \(Plain.size(spool.fileBytes)), \(Plain.size(spool.freeBytes)) of it free; "
                + "log \(Plain.size(spool.logBytes)); opened \(Plain.count(Int(clamping: spool.starts), "time"))"
        )
        let totals = spool.totals
        lines.append(
            "messages    \(totals.messages), \(Plain.size(totals.bytes))"
                + (totals.oldestSeconds.map { ", oldest \(Plain.age($0))" } ?? "")
        )
        lines.append(
            "waiting     \(totals.waiting) for \(Plain.count(totals.sessions, "session"))"
                + (totals.groups > 0 ? ", \(Plain.count(totals.groups, "share group"))" : "")
                + " and \(Plain.count(totals.links, "link")); retained \(totals.retained)"
        )
        let counted = spool.sinceStart
        lines.append(
            "since start \(counted.commits) commits, \(counted.rowsWritten) rows written, \(counted.rowsElided) elided, "
                + "\(counted.messagesDropped) messages dropped, \(counted.failures) failures, "
                + "\(counted.damagedRows) damaged rows"
        )
        let ledger = counted.ledger
        lines.append(
            "ledger      \(ledger.restored) restored + \(ledger.taken) taken = \(ledger.delivered) delivered + "
                + "\(ledger.waiting) waiting + \(ledger.dropped.total) dropped"
                + (ledger.dropped.total > 0 ? " (\(reasons(ledger.dropped)))" : "")
        )
        if counted.refused + counted.heldBack > 0 {
            lines.append("no room     \(counted.refused) publishes refused, \(counted.heldBack) held back")
        }
        if counted.unstored.qos0 + counted.unstored.oldest > 0 {
            lines.append(
                "not stored  \(counted.unstored.qos0) of QoS 0 dropped, "
                    + "\(counted.unstored.oldest) dropped for sessions that end with their connection"
            )
        }
        guard !spool.receivers.isEmpty else { return lines.joined(separator: "\n") }
        lines.append("")
        let rows = spool.receivers.map { receiver in
            [
                LogText.escaped(receiver.name), receiver.kind,
                receiver.state ?? (receiver.connected ? "connected" : "away"),
                String(receiver.depth), Plain.size(receiver.bytes), receiver.oldestSeconds.map(Plain.age) ?? "-",
                String(receiver.ledger.delivered), String(receiver.ledger.dropped.total), remarks(receiver),
            ]
        }
        lines += columns([headings] + rows, rightAligned: [3, 4, 5, 6, 7])
        let more = totals.sessions + totals.groups + totals.links - spool.receivers.count
        if more > 0 { lines.append("... and \(more) more; --limit shows more of them") }
        return lines.joined(separator: "\n")
    }

    private static let headings = [
        "NAME", "KIND", "STATE", "DEPTH", "BYTES", "OLDEST", "DELIVERED", "DROPPED", "WHY",
    ]

    /// Why messages were dropped, for one receiver, and what its full queue made publishers do.
    private static func remarks(_ receiver: SpoolOverview.Receiver) -> String {
        var parts: [String] = []
        if receiver.high { parts.append("above its high watermark") }
        if receiver.ledger.dropped.total > 0 { parts.append(reasons(receiver.ledger.dropped)) }
        if receiver.refused > 0 { parts.append("refused \(receiver.refused)") }
        if receiver.heldBack > 0 { parts.append("held back \(receiver.heldBack)") }
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }

    static func reasons(_ dropped: SpoolOverview.Dropped) -> String {
        let named = [
            ("oldest", dropped.oldest), ("newest", dropped.newest), ("aged", dropped.aged),
            ("holes", dropped.holes), ("away", dropped.away), ("buffer", dropped.buffer),
            ("expired", dropped.expired), ("too large", dropped.tooLarge), ("rejected", dropped.rejected),
            ("denied", dropped.denied), ("no identifier", dropped.noIdentifier), ("no name", dropped.unnamed),
            ("damaged", dropped.damaged), ("set aside", dropped.setAside), ("session ended", dropped.ended),
            ("removed", dropped.removed), ("exported", dropped.exported), ("replayed", dropped.replayed),
        ]
        return named.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    }

    static func columns(_ rows: [[String]], rightAligned: Set<Int>) -> [String] {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.count)
            }
        }
        return rows.map { row in
            let cells = row.enumerated().map { index, cell in
                let padding = String(repeating: " ", count: widths[index] - cell.count)
                return rightAligned.contains(index) ? padding + cell : cell + padding
            }
            return cells.joined(separator: "  ").replacing(/[ ]+$/, with: "")
        }
    }
}

/// Numbers and names as people read them.
enum Plain {
    /// The units of the configuration: 1024 bytes are a KiB.
    static func size(_ bytes: Int) -> String {
        if bytes < 1024 { return "\(bytes) B" }
        var value = Double(bytes) / 1024
        for unit in ["KiB", "MiB", "GiB"] {
            if value < 1024 { return String(format: "%.1f \(unit)", value) }
            value /= 1024
        }
        return String(format: "%.1f TiB", value)
    }

    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// The two largest units.
    static func age(_ seconds: Int) -> String {
        switch seconds {
        case ..<60: "\(seconds) s"
        case ..<3_600: "\(seconds / 60) min \(seconds % 60) s"
        case ..<86_400: "\(seconds / 3_600) h \(seconds % 3_600 / 60) min"
        default: "\(seconds / 86_400) d \(seconds % 86_400 / 3_600) h"
        }
    }
}
