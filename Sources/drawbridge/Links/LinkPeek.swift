import BrokerServer
import Foundation

/// `drawbridge ctl link NAME peek`: what waits, the oldest first; read in parts, so that a queue of a million costs what is
/// shown of it.
struct LinkPeek {
    private let order: LinkQueueOrder
    private let options: LinkQueueOptions
    private let path: String

    /// Of one answer.
    private static let partMax = 500
    private static let excerptBytes = 48

    init(_ link: String, _ options: LinkQueueOptions, _ path: String) {
        order = options.order(for: link)
        self.options = options
        self.path = path
    }

    func run(asJSON: Bool) throws {
        var left = options.limit ?? 20
        var rows: [[String]] = []
        var damaged = 0
        var order = order
        order.payloadBytes = options.payload ?? (asJSON ? 0 : Self.excerptBytes)
        repeat {
            order.limit = min(left, Self.partMax)
            let page: LinkQueuePage = try Control.ask("peek", order, in: path)
            damaged += page.damaged
            for entry in page.messages.prefix(left) {
                if asJSON { print(Self.line(entry)) } else { rows.append(Self.row(entry)) }
            }
            left -= min(left, page.messages.count)
            order.after = page.next
        } while left > 0 && order.after != nil
        if !asJSON { show(rows) }
        if damaged > 0 {
            Console.error("drawbridge: \(Plain.count(damaged, "damaged row")) on the way; the log says more")
        }
    }

    private func show(_ rows: [[String]]) {
        guard !rows.isEmpty else { return print(options.filter == nil ? "nothing waits" : "nothing of that waits") }
        let names = ["POSITION", "AGE", "QOS", "SIZE", "TOPIC", "SENT AS", "STATE", "PAYLOAD"]
        for line in SpoolTable.columns([names] + rows, rightAligned: [0, 3]) { print(line) }
    }

    private static func row(_ entry: LinkQueuePage.Entry) -> [String] {
        var payload = LogText.escaped(entry.payload ?? entry.payloadBase64.map { "base64:" + $0 } ?? "")
        let shown = entry.payload?.utf8.count ?? entry.payloadBase64.map { $0.utf8.count * 3 / 4 } ?? 0
        if shown < entry.bytes, !payload.isEmpty { payload += "..." }
        return [
            "\(entry.position)", Plain.age(entry.ageSeconds), "\(entry.qos)" + (entry.retained ? " r" : ""),
            Plain.size(entry.bytes), LogText.escaped(entry.topic), LogText.escaped(entry.sentAs ?? "="),
            entry.inFlight ? "in flight" : "waits", payload,
        ]
    }

    /// With the names of `drawbridge spool dump`.
    private static func line(_ entry: LinkQueuePage.Entry) -> String {
        var json = JSONText()
        json.object { json in
            json.member("position", Int(clamping: entry.position))
            json.member("id", entry.id)
            json.member("topic", entry.topic)
            json.member("sent_as", entry.sentAs ?? entry.topic)
            json.member("qos", entry.qos)
            json.member("retained", entry.retained)
            json.member("bytes", entry.bytes)
            json.member("came", DumpLine.time(entry.came))
            json.member("age_seconds", entry.ageSeconds)
            if let expiry = entry.expiry { json.member("expiry", DumpLine.time(expiry)) }
            json.member("in_flight", entry.inFlight)
            if let payload = entry.payload { json.member("payload", payload) }
            if let payload = entry.payloadBase64 { json.member("payload_base64", payload) }
        }
        return json.text
    }
}
