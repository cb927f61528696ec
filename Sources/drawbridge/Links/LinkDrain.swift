import BrokerServer
import Foundation

/// `drawbridge ctl link NAME drain`: waits until the queue is empty, and says how that goes. The link sends as fast as it
/// does anyway; what comes meanwhile is waited for as well.
///
/// The status is 0 when the queue is empty, 1 when it cannot become so by itself, 2 when time is up.
struct LinkDrain {
    private let link: String
    private let path: String
    private let timeout: Double?

    private static let interval = 0.5
    /// For how long the line may be down before that is an answer; with a timeout, as long as that.
    private static let patience = 10.0

    init(_ link: String, _ path: String, timeout: Double?) {
        self.link = link
        self.path = path
        self.timeout = timeout
    }

    func run() throws {
        let begin = ContinuousClock.now
        var seenConnected = begin
        var progress = ProgressLine()
        var first: LinksOverview.Link?
        while true {
            let now = try LinkTable.link(link, in: path)
            let seconds = (ContinuousClock.now - begin) / .seconds(1)
            if now.queue == 0 {
                progress.clear()
                let sent = first.map { now.delivered &- $0.delivered } ?? 0
                print("drained: \(sent) sent in \(Plain.age(Int(seconds.rounded(.up)))), nothing waits")
                return
            }
            if let obstacle = Self.obstacle(now) {
                progress.clear()
                throw Console.failure("drawbridge: \(Plain.count(now.queue, "message")) wait, and \(obstacle)")
            }
            if now.connected { seenConnected = ContinuousClock.now }
            if timeout == nil, (ContinuousClock.now - seenConnected) / .seconds(1) >= Self.patience {
                progress.clear()
                let reason = now.lastError.map { ": \($0)" } ?? ""
                throw Console.failure(
                    "drawbridge: \(Plain.count(now.queue, "message")) wait, and the link is \(now.state)\(reason); "
                        + "--timeout waits for longer"
                )
            }
            if let timeout, seconds >= timeout {
                progress.clear()
                let reason = now.connected ? "" : now.lastError.map { ": \($0)" } ?? ""
                throw Console.failure(
                    "drawbridge: \(Plain.count(now.queue, "message")) still wait, and the link is \(now.state)\(reason)",
                    status: 2
                )
            }
            let start = first ?? now
            progress.show(Self.text(now, since: start, seconds))
            first = start
            Thread.sleep(forTimeInterval: min(Self.interval, max(0.01, (timeout ?? .infinity) - seconds)))
        }
    }

    /// Why it will not become empty without somebody's doing.
    private static func obstacle(_ link: LinksOverview.Link) -> String? {
        switch link.state {
        case "paused": "the link is paused; `drawbridge ctl link \(link.name) resume` lets it go on"
        case "disabled": "the link is stopped; `drawbridge ctl link \(link.name) start` starts it"
        case "idle":
            "it is not the time of the link, or nobody started it; `drawbridge ctl link \(link.name) start` starts it"
        default: nil
        }
    }

    private static func text(_ now: LinksOverview.Link, since first: LinksOverview.Link, _ seconds: Double) -> String {
        let settled = Double(now.delivered &- first.delivered)
        let rate = seconds > 0 ? settled / seconds : 0
        // What comes meanwhile counts: the queue shrinks by the difference.
        let shrinks = seconds > 0 ? Double(first.queue - now.queue) / seconds : 0
        let end = shrinks > 0 ? ", empty in \(Plain.age(Int(min(1e9, Double(now.queue) / shrinks).rounded(.up))))" : ""
        let queue = "\(Plain.count(now.queue, "message")), \(Plain.size(now.queueBytes))"
        return "\(now.state): \(queue) wait, \(String(format: "%.0f", rate))/s\(end)"
    }
}
