/// Plain integers of one shard, summed by whoever asks.
package struct Counters: Sendable, Equatable {
    /// PUBLISH packets and gateway publishes that were accepted.
    package var received: UInt64 = 0
    /// PUBLISH packets that were handed to a connection.
    package var sent: UInt64 = 0
    /// QoS 0 messages that a slow or absent receiver did not get.
    package var qos0Dropped: UInt64 = 0
    /// QoS 1 and 2 messages that a full queue in memory gave up; the spool counts those of its own.
    package var queueDropped: UInt64 = 0
    /// Messages that expired before they were sent to a receiver.
    package var expired: UInt64 = 0
    /// Messages larger than the receiver's Maximum Packet Size [5:MQTT-3.1.2-25].
    package var tooLarge: UInt64 = 0
    /// Publishes that were refused because a queue or the spool had no room: 0x97, or 507 over HTTP.
    package var refused: UInt64 = 0
    /// Publishes of version 3, which has no refusal, that waited for room.
    package var heldBack: UInt64 = 0
    /// Publishes and wills that the access rules denied.
    package var publishesDenied: UInt64 = 0
    /// Filters of SUBSCRIBE that the access rules denied.
    package var subscribesDenied: UInt64 = 0
    /// Messages that waited for a receiver, or were retained, and that it may not have (any more).
    package var deliveriesDenied: UInt64 = 0
}
