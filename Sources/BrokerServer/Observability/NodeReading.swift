import BrokerCore
import Foundation
import Spool

/// What the shard says of the node and its links at one moment.
struct ShardReading: Sendable {
    var figures: SystemFigures
    var links: [LinkAccount]
}

/// What a node and its process are like at one moment, for metrics. The parts are asked one after the other, so under
/// load they are of moments that are milliseconds apart.
package struct NodeReading: Sendable {
    let name: String
    let shard: ShardReading
    let statistics: SpoolStatistics
    let isSpoolHealthy: Bool
    /// New messages are refused.
    let isRefusing: Bool
    /// The database and its write-ahead log on disk.
    let diskBytes: (database: Int, log: Int)
    /// When the oldest messages of links came.
    let arrivals: [ReceiverID: Timestamp]
    let certificates: [CertificateStatus]
    /// Nil where the system does not tell.
    let usage: ProcessUsage?
    let now: Timestamp

    /// Asks the spool. Blocking.
    init(
        _ shard: ShardReading,
        _ spool: Spool,
        node name: String,
        _ certificates: [CertificateStatus],
        now: Timestamp
    ) {
        self.name = name
        self.shard = shard
        self.certificates = certificates
        self.now = now
        statistics = spool.statistics
        isSpoolHealthy = spool.state == .ok
        isRefusing = spool.refusal != nil
        diskBytes = spool.diskBytes
        do throws(SpoolError) {
            arrivals = try spool.arrivals(of: shard.links.map(\.receiver))
        } catch {
            // The spool says what is wrong with it; nothing is known of the ages.
            arrivals = [:]
        }
        usage = ProcessUsage(of: [Int(getpid())])
    }
}

/// One link of it.
package struct LinkReading: Sendable {
    let account: LinkAccount
    /// As the API has it.
    let link: LinksOverview.Link

    init(_ account: LinkAccount, of reading: NodeReading) {
        self.account = account
        link = LinksOverview.Link(account, oldest: reading.arrivals[account.receiver], now: reading.now)
    }
}
