import BrokerCore
import Spool

/// What a shard says of a receiver: the spool knows what waits, the shard knows who is there.
struct ReceiverPresence: Sendable, Equatable {
    var receiver: ReceiverID
    var isConnected: Bool
    /// The state of a link.
    var state: String?
}

/// What a shard says of its receivers, and what it counted.
struct ShardAccount: Sendable {
    var presences: [ReceiverPresence]
    var refusals: [ReceiverID: (refused: UInt64, heldBack: UInt64)]
    var counters: Counters
    /// Of messages that are not in the spool.
    var drops: [ReceiverDrops]

    var present: [ReceiverID: ReceiverPresence] {
        var present: [ReceiverID: ReceiverPresence] = [:]
        for presence in presences { present[presence.receiver] = presence }
        return present
    }
}

extension SpoolOverview {
    /// Puts together what the file, the threads of the spool and the shard say. They are asked one after the other, so
    /// under load they are of moments that are milliseconds apart.
    init(_ survey: SpoolSurvey, _ spool: Spool, _ account: ShardAccount, limit: Int?, now: Timestamp) {
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
        refusing = spool.refusal?.rawValue
        high = spool.isHigh
        notices = (spool.quarantine.map { [$0.description] } ?? []) + spool.notices
        durability = spool.durability.rawValue
        starts = spool.bootCount
        fileBytes = survey.fileBytes
        logBytes = survey.logBytes
        freeBytes = survey.freeBytes
        totals = Totals(
            messages: survey.messages,
            bytes: survey.bytes,
            oldestSeconds: age(survey.oldest),
            waiting: survey.total.waiting,
            sessions: survey.receivers.count { $0.kind == .session },
            groups: survey.receivers.count { $0.kind == .group },
            links: survey.receivers.count { $0.kind == .link },
            retained: survey.retained
        )
        let counted = spool.statistics
        sinceStart = SinceStart(
            commits: counted.commits,
            rowsWritten: counted.rowsWritten,
            rowsElided: counted.rowsElided,
            messagesDropped: survey.total.dropped.total,
            failures: counted.failures,
            damagedRows: counted.damagedRows,
            ledger: Ledger(survey.total),
            refused: account.counters.refused,
            heldBack: account.counters.heldBack,
            unstored: Unstored(qos0: account.counters.qos0Dropped, oldest: account.counters.queueDropped)
        )
        let present = account.present
        receivers = survey.receivers.prefix(limit ?? survey.receivers.count).map { receiver in
            Receiver(
                name: receiver.name,
                kind: receiver.kind.word,
                connected: present[receiver.receiver]?.isConnected ?? false,
                state: present[receiver.receiver]?.state,
                depth: receiver.tally.waiting,
                bytes: receiver.tally.bytes,
                oldestSeconds: age(receiver.oldest),
                high: receiver.tally.isHigh,
                ledger: Ledger(receiver.tally),
                refused: account.refusals[receiver.receiver]?.refused ?? 0,
                heldBack: account.refusals[receiver.receiver]?.heldBack ?? 0
            )
        }
    }
}

extension SpoolOverview.Ledger {
    fileprivate init(_ tally: ReceiverTally) {
        restored = tally.restored
        taken = tally.taken
        delivered = tally.delivered
        waiting = UInt64(clamping: tally.waiting)
        dropped = SpoolOverview.Dropped(tally.dropped)
    }
}

extension SpoolOverview.Dropped {
    init(_ counts: DropCounts) {
        self.init(
            oldest: counts[.oldest],
            newest: counts[.newest],
            aged: counts[.aged],
            holes: counts[.holes],
            away: counts[.away],
            buffer: counts[.buffer],
            expired: counts[.expired],
            tooLarge: counts[.tooLarge],
            rejected: counts[.rejected],
            denied: counts[.denied],
            noIdentifier: counts[.noIdentifier],
            unnamed: counts[.unnamed],
            damaged: counts[.damaged],
            setAside: counts[.setAside],
            ended: counts[.ended],
            removed: counts[.removed],
            exported: counts[.exported],
            replayed: counts[.replayed]
        )
    }
}
