import BrokerCore
import MQTTCodec
import Spool

/// What `GET /admin/v1/drops` answers and `drawbridge ctl drops` shows: which messages receivers did not get, and why,
/// since the node was started; those of the spool and those that were never in it together.
package struct DropsOverview: AdminDocument {
    package struct Receiver: Codable, Sendable, Equatable {
        /// The client id of a session, the name of a link, the filter of a share group.
        package var name: String
        /// "session", "link" or "group".
        package var kind: String
        package var connected: Bool
        /// The sum of the reasons.
        package var total: UInt64
        package var reasons: SpoolOverview.Dropped
    }

    /// The sum of the reasons.
    package var total: UInt64
    /// Of all receivers, those included that are gone by now.
    package var reasons: SpoolOverview.Dropped
    /// How many receivers there are that did not get something.
    package var count: Int
    /// Those that lost most first; as many as were asked for.
    package var receivers: [Receiver]
}

extension DropsOverview {
    /// Adds up, for each receiver, what the spool and the shard say.
    init(_ survey: SpoolSurvey, _ account: ShardAccount, limit: Int?) {
        var all = survey.total.dropped
        all.add(account.counters.drops)
        total = all.total
        reasons = SpoolOverview.Dropped(all)

        var lost: [Receiver] = []
        var unstored: [ReceiverID: DropCounts] = [:]
        for drops in account.drops {
            if let receiver = drops.receiver { unstored[receiver] = drops.counts }
        }
        let present = account.present
        var known: Set<ReceiverID> = []
        for stored in survey.receivers {
            known.insert(stored.receiver)
            var counts = stored.tally.dropped
            if let more = unstored[stored.receiver] { counts.add(more) }
            lost.append(
                Receiver(
                    stored.name, stored.kind.word, isConnected: present[stored.receiver]?.isConnected ?? false, counts)
            )
        }
        // Those that the spool does not know, or not yet.
        for drops in account.drops where drops.receiver.map({ !known.contains($0) }) ?? true {
            lost.append(
                Receiver(drops.name.string, drops.kind.rawValue, isConnected: drops.isConnected, drops.counts)
            )
        }
        let losers = lost.filter { $0.total > 0 }
            .sorted { $0.total != $1.total ? $0.total > $1.total : $0.name < $1.name }
        count = losers.count
        receivers = Array(losers.prefix(limit ?? losers.count))
    }
}

extension DropsOverview.Receiver {
    fileprivate init(_ name: String, _ kind: String, isConnected: Bool, _ counts: DropCounts) {
        self.init(
            name: name,
            kind: kind,
            connected: isConnected,
            total: counts.total,
            reasons: SpoolOverview.Dropped(counts)
        )
    }
}
