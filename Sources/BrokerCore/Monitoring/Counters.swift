/// Plain integers of the shard. They only grow.
package struct Counters: Sendable, Equatable {
    /// PUBLISH packets and gateway publishes that were accepted.
    package var received: UInt64 = 0
    /// PUBLISH packets that were handed to a connection.
    package var sent: UInt64 = 0
    /// Bytes of the payloads of `received`.
    package var payloadBytesReceived: UInt64 = 0
    /// Bytes of the payloads of `sent`.
    package var payloadBytesSent: UInt64 = 0
    /// Control packets of any type that came over a connection.
    package var packetsReceived: UInt64 = 0
    /// Control packets other than PUBLISH that were handed to a connection.
    package var answersSent: UInt64 = 0
    /// Bytes of MQTT from connections: without TLS, and without the frames of WebSocket.
    package var bytesReceived: UInt64 = 0
    /// Bytes of MQTT to connections.
    package var bytesSent: UInt64 = 0
    /// Network connections of clients.
    package var opened: UInt64 = 0
    /// CONNECT packets.
    package var connects: UInt64 = 0
    /// Sessions whose client did not return in time.
    package var sessionsExpired: UInt64 = 0
    /// Messages that receivers did not get, of those that are not in the spool, which counts its own.
    package var drops = DropCounts()
    /// Messages that expired before they were sent to a receiver.
    package var expired: UInt64 = 0
    /// Messages larger than the receiver's Maximum Packet Size [5:MQTT-3.1.2-25].
    package var tooLarge: UInt64 = 0
    /// Queues, or the spool as a whole, that came to their high watermark, and those that are below their low one again.
    package var alarmsRaised: UInt64 = 0
    package var alarmsCleared: UInt64 = 0
    /// Messages that a link sent again, and that were here already.
    package var repeatsOfLinks: UInt64 = 0
    /// Messages that came back to their node, came by a second way, or crossed too many links.
    package var loopsCut: UInt64 = 0
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

    /// QoS 0 messages that a slow or absent receiver did not get.
    package var qos0Dropped: UInt64 { drops[.away] &+ drops[.buffer] }
    /// QoS 1 and 2 messages that a full queue in memory gave up.
    package var queueDropped: UInt64 { drops[.oldest] }

    /// Control packets of any type that were handed to a connection.
    package var packetsSent: UInt64 { answersSent &+ sent }

    @inline(__always)
    mutating func sentPublish(payloadBytes: Int) {
        sent &+= 1
        payloadBytesSent &+= UInt64(truncatingIfNeeded: payloadBytes)
    }
}
