import DequeModule
import MQTTCodec

/// What waits for a commit, in the order of tickets: answers, deliveries of QoS 2 and receipts. One queue a shard, so
/// that a commit releases exactly what it may, in the order in which it was asked for.
struct AckGate {
    enum Held {
        /// The next answer of this connection.
        case answer(Connection)
        /// A message and its receivers, to be delivered after its commit.
        case deliver(StoredMessage)
        /// A QoS 2 PUBLISH whose packet identifier is being stored.
        case publish(Session, packetID: UInt16, Message, Delivery, epoch: UInt64)
        case receipt(Outbox.Receipt)
        /// Something that an operator wants done, and on disk.
        case errand(UInt64)
    }

    private var waiting: Deque<Held> = []
    /// What each of them waits for. Apart, so that they are looked at without taking hold of messages and receivers.
    private var tickets: Deque<Ticket> = []
    /// The highest ticket that is on disk.
    private(set) var committed = Ticket.none
    /// Messages among what waits: while there are some, later ones queue behind them, so that every receiver sees
    /// positions grow.
    private(set) var deliveries = 0

    mutating func hold(_ held: Held, until ticket: Ticket) {
        if case .deliver = held { deliveries += 1 }
        waiting.append(held)
        tickets.append(ticket)
    }

    mutating func commit(_ ticket: Ticket) { committed = max(committed, ticket) }

    /// The next thing that waits no longer.
    mutating func release() -> Held? {
        guard let ticket = tickets.first, ticket <= committed, let held = waiting.popFirst() else { return nil }
        tickets.removeFirst()
        if case .deliver = held { deliveries -= 1 }
        return held
    }
}

/// A message that was handed to the spool, with its receivers on this shard.
struct StoredMessage {
    var message: Message
    /// Set once the spool has appended it.
    var position = Position.zero
    var audience: Audience
    /// True when those of the audience that are not durable wait with it: QoS 2.
    var includesTransient = false
    /// It came out of a file: until it is on disk here it may come again, so nobody gets it before that.
    var isCarried = false
}
