import BrokerCore
import MQTTCodec
import NIOCore

/// What the shard is told: by the loops, of their connections, and by other threads.
///
/// A reader, a link or a continuation in here is named and not touched by whoever sends it; they are the shard's. That
/// is why this may cross threads although they may not.
enum Mail: @unchecked Sendable {
    // Of one connection, in the order in which it happened.
    case opened(ConnectionReader, ConnectionReader.Opening)
    /// - Parameter owesMore: the rest waits until this is taken; it is asked for by `LoopOrder.continue`.
    case bytes(ConnectionReader, ByteBuffer, owesMore: Bool)
    /// The peer sends nothing more; orderly when it said so with the close frame of a WebSocket.
    case inputEnded(ConnectionReader, isOrderly: Bool)
    case writable(ConnectionReader, Bool)
    /// It was sent too much in too short a time, and that time is over.
    case unthrottled(ConnectionReader)
    case closed(ConnectionReader, reason: String?)

    case timer
    case dialFailed(LinkConnector.Attempt, String)

    case spool([SpoolEvent])
    /// The verdict on a login that took its time.
    case authenticated(UInt64, AuthenticationVerdict)
    /// Users whose passwords were changed or who are gone.
    case revoked(Set<MQTTString>)
    indirect case publish(GatewayPublish, CheckedContinuation<GatewayReceipt, any Error>)
    case health(CheckedContinuation<NodeHealth, Never>)
    case account(CheckedContinuation<ShardAccount, Never>)
    /// - Parameter onWebPort: answered with nil when web ports do not tell metrics.
    case metrics(onWebPort: Bool, CheckedContinuation<ShardReading?, Never>)
    case links(CheckedContinuation<[LinkAccount], Never>)
    /// Answered with false when there is no such link.
    case linkAction(LinkAction, MQTTString, CheckedContinuation<Bool, Never>)
    /// What an operator does with the queue of a link; answered when it is on disk.
    indirect case linkQueue(LinkQueueErrand, CheckedContinuation<LinkQueueStanding, any Error>)
    /// When the oldest messages of links came.
    case arrivals([ReceiverID: Timestamp])
    /// With which rules links run.
    case linkSettings(CheckedContinuation<[LinkSettings], Never>)
    indirect case reconfigure(ShardRunner.Reconfiguration)
    /// Succeeds when every connection is closed and the last records are appended.
    case drain(EventLoopPromise<Void>)
    case giveUpDraining

    /// What it holds, about.
    var bytes: Int {
        switch self {
        case .bytes(_, let bytes, _): bytes.readableBytes
        case .publish(let request, _): request.payload.readableBytes
        default: 0
        }
    }
}
