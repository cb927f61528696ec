import BrokerCore
import Logging
import NIOCore

/// What the shard wants done on a loop. Handlers and dials are named by it and touched by their loop.
enum LoopOrder: @unchecked Sendable {
    case send(ConnectionHandler, ByteBuffer)
    /// One packet, whose payload others are sent as well.
    indirect case sendLarge(ConnectionHandler, head: ByteBuffer, payload: ByteBuffer)
    /// Reads from the connection, or leaves it unread.
    case read(ConnectionHandler, Bool)
    /// What was handed over is taken: the rest may follow.
    case `continue`(ConnectionHandler)
    /// Tells the shard of it when the time is over: the connection sends too fast.
    case pause(ConnectionHandler, Duration)
    case close(ConnectionHandler, lingering: Bool, isGoingAway: Bool)
    case dial(Outbox.Dial, LinkConnector)
    /// Tells the shard what time it is.
    case wake(Duration)
    case log(Notice, Logger.Level)
}
