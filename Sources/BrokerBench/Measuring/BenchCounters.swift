/// What one loop has counted so far. One writer; readers get copies.
package struct BenchCounters: Sendable, Equatable {
    /// Connected and, where that is asked for, subscribed.
    package var ready = 0
    /// Never became ready: nobody answered, or the broker refused.
    package var failed = 0
    /// Ended by the broker or the network when we did not want it.
    package var dropped = 0
    /// Ended in good order.
    package var left = 0
    /// Connections that began with a session that the broker had kept.
    package var sessionsPresent = 0
    /// Times that a connection became ready; connections that come again count again.
    package var connects: UInt64 = 0

    package var sent: UInt64 = 0
    /// Of QoS 1 and 2: PUBACK and PUBCOMP.
    package var acknowledged: UInt64 = 0
    /// Acknowledgements that refuse (MQTT 5).
    package var rejected: UInt64 = 0
    /// Messages for the first time.
    package var received: UInt64 = 0
    package var duplicates: UInt64 = 0
    package var reordered: UInt64 = 0
    package var corrupted: UInt64 = 0
    /// Messages without a stamp of a load generator.
    package var foreign: UInt64 = 0
    /// Acknowledgements of nothing that was sent, and QoS 2 messages sent again before their release.
    package var misplacedIDs: UInt64 = 0
    /// Publishers that heard nothing for a second with a full window.
    package var stalls: UInt64 = 0

    package var bytesRead: UInt64 = 0
    package var bytesWritten: UInt64 = 0
    package var reads: UInt64 = 0
    package var writes: UInt64 = 0

    package init() {}

    /// Grows as long as messages move.
    var progress: Int { Int(truncatingIfNeeded: sent &+ received &+ acknowledged &+ duplicates &+ corrupted) }

    package static func += (sum: inout BenchCounters, other: BenchCounters) {
        sum.ready += other.ready
        sum.failed += other.failed
        sum.dropped += other.dropped
        sum.left += other.left
        sum.sessionsPresent += other.sessionsPresent
        sum.connects += other.connects
        sum.sent += other.sent
        sum.acknowledged += other.acknowledged
        sum.rejected += other.rejected
        sum.received += other.received
        sum.duplicates += other.duplicates
        sum.reordered += other.reordered
        sum.corrupted += other.corrupted
        sum.foreign += other.foreign
        sum.misplacedIDs += other.misplacedIDs
        sum.stalls += other.stalls
        sum.bytesRead += other.bytesRead
        sum.bytesWritten += other.bytesWritten
        sum.reads += other.reads
        sum.writes += other.writes
    }
}
