import DequeModule
import MQTTCodec

/// What was handed to the spool and is not on disk yet, in bytes. The spool takes everything at once and never makes
/// anyone wait, so a disk that is slow or sick would fill the memory: above the limit publishers are not read from.
///
/// Clients that come go on to be let in, whose sessions are stored too, until it is four times as much.
///
///     keeping up --(more than bytesMax)--> behind --(half of it or less)--> keeping up
struct SpoolBacklog {
    private let bytesMax: Int
    private(set) var bytes = 0
    /// True from the moment that there is too much until half of it is on disk.
    private(set) var isBehind = false
    /// A disk that does not come back: not even what others hold up may become more.
    var isFull: Bool { bytes > 4 * bytesMax }
    private var turnBytes = 0
    private var turns: Deque<(ticket: Ticket, bytes: Int)> = []

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    mutating func stored(_ record: SpoolRecord) {
        turnBytes += record.bytes
        bytes += record.bytes
        if bytes > bytesMax { isBehind = true }
    }

    /// The records of this turn were appended.
    mutating func appended(_ ticket: Ticket) {
        turns.append((ticket, turnBytes))
        turnBytes = 0
    }

    mutating func committed(_ ticket: Ticket) {
        while let first = turns.first, first.ticket <= ticket {
            turns.removeFirst()
            bytes -= first.bytes
        }
        if bytes <= bytesMax / 2 { isBehind = false }
    }
}

extension SpoolRecord {
    /// About what a record holds in memory until it is written; a record without content is not free either.
    var bytes: Int {
        switch self {
        case .message(let message, let deliveries): 256 + message.bytes + 64 * deliveries.count
        case .retain(let message): 256 + message.bytes
        case .subscribe(_, let record): 256 + record.filter.count
        case .unsubscribe(_, let filter): 256 + filter.count
        case .retainGone(let topic): 256 + topic.count
        case .will(let record): 256 + record.message.bytes
        case .willGone(let clientID): 256 + clientID.count
        case .removed(_, let positions, _): 256 + 8 * positions.count
        case .acknowledged, .givenUp, .outboundPublish, .outboundShared, .outboundRelease, .outboundComplete,
            .inboundPublish, .inboundRelease, .streamSeen, .receiver, .receiverGone, .demandsSync, .carried:
            256
        }
    }
}
