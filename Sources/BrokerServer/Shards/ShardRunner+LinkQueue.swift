import BrokerCore
import MQTTCodec

/// What an operator does with the queue of a link.
enum LinkQueueErrand: Sendable {
    case look(MQTTString)
    /// Nothing leaves over the link until it is let go.
    case hold(MQTTString)
    case letGo(MQTTString)
    /// - Parameter to: where the messages are now, if they are in a file.
    case remove([Position], from: MQTTString, RemovalReason, to: CarriedFile?)
    /// What came out of a file.
    case enqueue([CarriedMessage], CarriedFile)
    /// Puts what was put aside into the queue of its link again.
    case move([(position: Position, message: CarriedMessage)], from: MQTTString, to: MQTTString)
    /// Notes how far a file has come, and no more.
    case note(CarriedFile)

    fileprivate var link: MQTTString {
        switch self {
        case .look(let name), .hold(let name), .letGo(let name), .remove(_, let name, _, _): name
        case .enqueue(_, let file), .note(let file): file.link
        case .move(_, _, let name): name
        }
    }
}

/// How the queue of a link stands.
struct LinkQueueStanding: Sendable {
    var receiver: ReceiverID
    /// What the upstream may have, and has not settled.
    var inFlight: Set<Position>
    /// Whether the link is configured; what is not has a queue all the same.
    var isConfigured: Bool
    /// How it is sent, to tell the names that messages have at the upstream.
    var settings: LinkSettings
    /// The highest position that it was told of.
    var end: Position
}

/// Why an errand was not run.
enum LinkQueueFailure: Error {
    case unknownLink
    /// The node shuts down.
    case draining
}

/// An errand that waits for the disk, and its answer.
struct LinkQueueDone {
    let continuation: CheckedContinuation<LinkQueueStanding, any Error>
    let standing: LinkQueueStanding
}

extension ShardRunner {
    func run(
        _ errand: LinkQueueErrand,
        _ continuation: CheckedContinuation<LinkQueueStanding, any Error>,
        _ now: Now
    ) {
        guard let link = shard.link(named: errand.link) else {
            return continuation.resume(throwing: LinkQueueFailure.unknownLink)
        }
        var standing = LinkQueueStanding(
            receiver: link.receiver,
            inFlight: shard.inFlight(over: link),
            isConfigured: shard.isConfigured(link),
            settings: link.settings,
            end: shard.end(of: link)
        )
        // Whoever held the queue may let it go while the node shuts down, and looks harm nobody.
        switch errand {
        case .look: return continuation.resume(returning: standing)
        case .letGo:
            shard.releaseQueue(of: link, now: now)
            return continuation.resume(returning: standing)
        case .hold, .remove, .enqueue, .note, .move: break
        }
        guard !isDraining else { return continuation.resume(throwing: LinkQueueFailure.draining) }
        nextToken &+= 1
        switch errand {
        case .hold: standing.inFlight = shard.holdQueue(of: link, errand: nextToken)
        case .remove(let positions, _, let reason, let file):
            shard.remove(positions, from: link, reason, to: file, errand: nextToken)
        case .enqueue(let messages, let file):
            shard.enqueue(messages, for: link, from: file, errand: nextToken)
        case .move(let messages, let name, _):
            guard let origin = shard.link(named: name) else {
                return continuation.resume(throwing: LinkQueueFailure.unknownLink)
            }
            shard.move(messages, from: origin, to: link, errand: nextToken)
        case .note(let file): shard.remove([], from: link, .exported, to: file, errand: nextToken)
        case .look, .letGo: break
        }
        errands[nextToken] = LinkQueueDone(continuation: continuation, standing: standing)
    }

    func finish(errand token: UInt64) {
        guard let done = errands.removeValue(forKey: token) else { return }
        done.continuation.resume(returning: done.standing)
    }

    /// The node ends before they are on disk.
    func giveUpErrands() {
        for (_, done) in errands { done.continuation.resume(throwing: LinkQueueFailure.draining) }
        errands = [:]
    }
}
