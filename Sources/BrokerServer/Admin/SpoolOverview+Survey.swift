import BrokerCore
import Spool

/// What a shard says of a receiver: the spool knows what waits, the shard knows who is there.
struct ReceiverPresence: Sendable, Equatable {
    var receiver: ReceiverID
    var isConnected: Bool
    /// The state of a link.
    var state: String?
}

extension SpoolOverview {
    /// Puts together what the file, the threads of the spool and the shard say. They are asked one after the other, so
    /// under load they are of moments that are milliseconds apart.
    init(_ survey: SpoolSurvey, _ spool: Spool, _ presences: [ReceiverPresence], limit: Int?, now: Timestamp) {
        func age(_ came: Timestamp?) -> Int? {
            came.map { now > $0 ? Int(clamping: (now.microseconds - $0.microseconds) / 1_000_000) : 0 }
        }
        switch spool.state {
        case .ok:
            state = "ok"
        case .failing(let since, let reason):
            state = "failing"
            self.reason = reason
            failingSeconds = age(since)
        }
        refusing = spool.refusal.map { refusal in
            switch refusal {
            case .full: "full"
            case .diskFull: "disk full"
            case .sick: "sick"
            }
        }
        notices = (spool.quarantine.map { [$0.description] } ?? []) + spool.notices
        durability =
            switch spool.durability["synchronous"] {
            case "0": "off"
            case "1": "normal"
            default: "sync"
            }
        starts = spool.bootCount
        fileBytes = survey.fileBytes
        logBytes = survey.logBytes
        freeBytes = survey.freeBytes
        totals = Totals(
            messages: survey.messages,
            bytes: survey.bytes,
            oldestSeconds: age(survey.oldest),
            waiting: survey.receivers.reduce(0) { $0 + $1.depth },
            sessions: survey.receivers.count { $0.isSession },
            links: survey.receivers.count { !$0.isSession },
            retained: survey.retained
        )
        let counted = spool.statistics
        sinceStart = SinceStart(
            commits: counted.commits,
            rowsWritten: counted.rowsWritten,
            rowsElided: counted.rowsElided,
            messagesDropped: counted.messagesDropped,
            failures: counted.failures,
            damagedRows: counted.damagedRows
        )
        var present: [ReceiverID: ReceiverPresence] = [:]
        for presence in presences { present[presence.receiver] = presence }
        // The deepest first, then the elder: the same order every time.
        let sorted = survey.receivers.sorted {
            $0.depth != $1.depth ? $0.depth > $1.depth : $0.receiver < $1.receiver
        }
        receivers = sorted.prefix(limit ?? sorted.count).map { receiver in
            Receiver(
                name: receiver.name,
                kind: receiver.isSession ? "session" : "link",
                connected: present[receiver.receiver]?.isConnected ?? false,
                state: present[receiver.receiver]?.state,
                depth: receiver.depth,
                bytes: receiver.bytes,
                oldestSeconds: age(receiver.oldest)
            )
        }
    }
}
