package import MQTTCodec

/// The 64-bit number that the spool gives each message as it appends it. It only grows and is never reused. Queues,
/// cursors and order are over positions. 0 stands before every message.
package struct Position: Sendable, Hashable, Comparable {
    package let number: UInt64

    package init(_ number: UInt64) { self.number = number }

    package static let zero = Position(0)
    package static func < (a: Position, b: Position) -> Bool { a.number < b.number }
}

/// What a shard stamps on everything that it hands to the spool in one turn. A committed ticket releases the answers
/// that wait for it. Tickets of one shard grow by one; 0 waits for nothing.
package struct Ticket: Sendable, Hashable, Comparable {
    package let number: UInt64

    package init(_ number: UInt64) { self.number = number }

    package static let none = Ticket(0)
    package static func < (a: Ticket, b: Ticket) -> Bool { a.number < b.number }
}

/// The number of a durable receiver: a session that outlives its connection, a share group or a link. Never reused.
package struct ReceiverID: Sendable, Hashable, Comparable {
    package let number: UInt64

    package init(_ number: UInt64) { self.number = number }

    package static func < (a: ReceiverID, b: ReceiverID) -> Bool { a.number < b.number }
}

/// How one durable receiver gets one message; decided at routing.
package struct Delivery: Sendable, Hashable {
    package var receiver: ReceiverID
    /// The lower of the published and the granted QoS [5:MQTT-3.8.4-8]; 1 or 2.
    package var qos: QoS
    /// The RETAIN flag that the receiver will see.
    package var isRetained: Bool
    /// Identifiers of the subscriptions that matched (§3.3.2.3.8).
    package var subscriptionIdentifiers: [UInt32]
    /// Of the rule by which a link takes it, 0 to 9: what waits goes in its order.
    package var priority: UInt8

    package init(
        receiver: ReceiverID,
        qos: QoS,
        isRetained: Bool = false,
        subscriptionIdentifiers: [UInt32] = [],
        priority: UInt8 = 0
    ) {
        self.receiver = receiver
        self.qos = qos
        self.isRetained = isRetained
        self.subscriptionIdentifiers = subscriptionIdentifiers
        self.priority = priority
    }
}

/// What the spool keeps of a durable receiver itself.
package struct ReceiverRecord: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// A session that outlives its connection, by client id.
        case session(clientID: MQTTString)
        /// A link, by its name in the configuration.
        case link(name: MQTTString)
        /// A share group, by the filter of its members: `$share/NAME/FILTER` (§4.8.2).
        case group(filter: MQTTString)
    }

    package var receiver: ReceiverID
    package var kind: Kind
    /// Seconds that the session outlives its connection; `UInt32.max` never expires (§3.1.2.11.2).
    package var expiryInterval: UInt32
    /// Nil while the client is connected.
    package var disconnectedAt: Timestamp?

    package init(receiver: ReceiverID, kind: Kind, expiryInterval: UInt32, disconnectedAt: Timestamp?) {
        self.receiver = receiver
        self.kind = kind
        self.expiryInterval = expiryInterval
        self.disconnectedAt = disconnectedAt
    }
}

/// One subscription of a durable session.
package struct SubscriptionRecord: Sendable, Hashable {
    package var filter: MQTTString
    package var options: SubscriptionOptions
    package var identifier: UInt32?

    package init(filter: MQTTString, options: SubscriptionOptions, identifier: UInt32?) {
        self.filter = filter
        self.options = options
        self.identifier = identifier
    }
}

/// Everything that a shard asks the spool to remember. The records of one append are committed together, in order.
package enum SpoolRecord: Sendable {
    /// A message and everyone durable who waits for it: one row, however many wait. Takes the next position.
    /// `deliveries` may be empty, then no row is kept.
    case message(Message, deliveries: [Delivery])
    /// The receiver has a message and said so. With its last reader the row goes.
    case acknowledged(ReceiverID, Position)
    /// The receiver will not get a message. With its last reader the row goes.
    case givenUp(ReceiverID, Position, GivenUpReason)

    /// Somebody took messages out of a receiver's queue: their positions, ascending. What is not there any more is passed
    /// over.
    case removed(ReceiverID, [Position], RemovalReason)
    /// How far a file with messages of a link has come, in or out.
    case carried(CarriedFile)

    /// An outbound QoS 2 packet identifier, before its PUBLISH is sent.
    case outboundPublish(ReceiverID, packetID: UInt16, Position)
    /// The same for a message that stands in the queue of a share group, of which the receiver is a member.
    case outboundShared(ReceiverID, packetID: UInt16, Position, of: ReceiverID)
    /// PUBREC came: the message is done for this receiver (as `acknowledged`), the identifier is not.
    case outboundRelease(ReceiverID, packetID: UInt16, Position)
    /// PUBCOMP came, or the exchange was given up: the identifier is free.
    case outboundComplete(ReceiverID, packetID: UInt16)

    /// An inbound QoS 2 packet identifier of a durable session or a link.
    case inboundPublish(ReceiverID, packetID: UInt16)
    /// PUBREL came: the identifier is free.
    case inboundRelease(ReceiverID, packetID: UInt16)

    /// A message of QoS 2 came by a stream, and is known when it comes again.
    case streamSeen(StreamID, MessageID)

    /// A receiver is new or has changed.
    case receiver(ReceiverRecord)
    /// The receiver and all that is kept for it go: subscriptions, queue, packet identifiers.
    case receiverGone(ReceiverID)
    case subscribe(ReceiverID, SubscriptionRecord)
    case unsubscribe(ReceiverID, filter: MQTTString)

    /// The message becomes the retained message of its topic [5:MQTT-3.3.1-5].
    case retain(Message)
    /// The topic's retained message goes [5:MQTT-3.3.1-6].
    case retainGone(topic: MQTTString)

    /// A client's will message, kept while its connection is open or its delay runs [5:MQTT-3.1.2-7]. Replaces the one
    /// of the same client id.
    case will(WillRecord)
    /// The will was published or deleted [5:MQTT-3.1.2-10].
    case willGone(clientID: MQTTString)

    /// The batch with this record is committed with fsync although the spool's mode is a weaker one.
    case demandsSync
}

/// Why a shard gives up a message that the spool has for a receiver: counted by reason (promise 2 of the design).
package enum GivenUpReason: Sendable, Hashable {
    case expired
    /// It is over the receiver's Maximum Packet Size.
    case tooLarge
    /// The receiver answered with a failure.
    case rejected
    /// Access rules keep it from the receiver.
    case denied
    /// The spool has it no longer: its queue gave it up, or its row was damaged.
    case vanished
    /// The member of a share group that it was sent to with QoS 2 is gone with its session [5:MQTT-4.8.2-5].
    case ended
}

/// Why somebody took a message out of a queue.
package enum RemovalReason: Sendable, Hashable {
    /// It was not wanted any more.
    case dropped
    /// It is in a file now.
    case exported
    /// It was put aside, and is in the queue of its link again.
    case replayed
}

/// How far a file with messages of a link has come: written by this node, or taken in by it. Committed with what it says
/// of the queue, so that a message is in the queue or in the file, and comes in once, whatever dies in between.
package struct CarriedFile: Sendable, Hashable {
    package enum Way: Int64, Sendable, Hashable { case out, into }

    /// 128 random bits, made with the file.
    package var id: MessageID
    package var way: Way
    /// The link that the messages were taken from, or given to.
    package var link: MQTTString
    /// Parts that are done.
    package var parts: UInt64
    /// Messages in them.
    package var messages: UInt64
    /// Where the next part begins in the file.
    package var offset: UInt64

    package init(
        id: MessageID,
        way: Way,
        link: MQTTString,
        parts: UInt64 = 0,
        messages: UInt64 = 0,
        offset: UInt64 = 0
    ) {
        self.id = id
        self.way = way
        self.link = link
        self.parts = parts
        self.messages = messages
        self.offset = offset
    }
}

/// A will message that survives the process.
package struct WillRecord: Sendable {
    package var clientID: MQTTString
    /// As it will be published; its id is replaced then.
    package var message: Message
    /// Will Delay Interval, seconds (§3.1.3.2.2).
    package var delay: UInt32

    package init(clientID: MQTTString, message: Message, delay: UInt32) {
        self.clientID = clientID
        self.message = message
        self.delay = delay
    }
}

/// Why the spool takes nothing more, as the shard knows it when it routes a message: refused then, before anything is
/// delivered.
package enum SpoolRefusal: String, Sendable, Hashable {
    /// `durability.max_bytes` is reached.
    case full
    /// The file system has less than `durability.min_free_disk` left.
    case diskFull = "disk full"
    /// Commits fail; the spool tries again by itself.
    case sick
}

/// Asks for a page of a durable receiver's queue. The spool answers after the commit of all that was appended before.
package struct LoadRequest: Sendable, Hashable {
    package var receiver: ReceiverID
    /// Messages after this position.
    package var after: Position
    /// These and no others, as far as they wait; ascending. Empty for the next ones after `after`. The page ends with the
    /// last of them, unless it was cut.
    package var listed: [Position]
    package var messagesMax: Int
    /// The page ends with the message that reaches this many bytes of payload and properties, so it always makes progress.
    package var bytesMax: Int
    /// Comes back in the page, so that a shard knows a page that was asked for over a connection that is gone.
    package var epoch: UInt64

    package init(
        receiver: ReceiverID,
        after: Position,
        listed: [Position] = [],
        messagesMax: Int,
        bytesMax: Int,
        epoch: UInt64 = 0
    ) {
        self.receiver = receiver
        self.after = after
        self.listed = listed
        self.messagesMax = messagesMax
        self.bytesMax = bytesMax
        self.epoch = epoch
    }
}

/// A page of a queue, in order of positions.
package struct Page: Sendable {
    package struct Entry: Sendable {
        package var position: Position
        package var message: Message
        package var delivery: Delivery

        package init(position: Position, message: Message, delivery: Delivery) {
            self.position = position
            self.message = message
            self.delivery = delivery
        }
    }

    package var receiver: ReceiverID
    package var entries: [Entry]
    /// The queue holds nothing else up to and including this position: the position of the last entry of a page that
    /// was cut by its limits, or the highest position that was committed when the queue was read to its end.
    package var end: Position
    /// That of the request.
    package var epoch: UInt64

    package init(receiver: ReceiverID, entries: [Entry], end: Position, epoch: UInt64 = 0) {
        self.receiver = receiver
        self.entries = entries
        self.end = end
        self.epoch = epoch
    }
}

/// What the spool tells a shard.
package enum SpoolEvent: Sendable {
    /// All records of the shard up to and including this ticket are on disk.
    case committed(Ticket)
    case loaded(Page)
    /// Messages that a full queue gave up, oldest first (`queue.on_full = "drop-oldest"`).
    case dropped(ReceiverID, messages: Int)
    /// The spool as a whole refuses new messages, or (nil) takes them again. Told when it changes.
    case refusing(SpoolRefusal?)
    /// A receiver whose queue is full and whose policy is `reject`: who publishes to it is refused. Told when it
    /// changes.
    case full(ReceiverID, Bool)
    /// The queue of a receiver, or (nil) the spool as a whole, came to its high watermark, or is below its low one again.
    /// Told when it changes.
    case level(ReceiverID?, QueueLevel)
}

/// What a node finds in its spool when it starts.
package struct SpoolContents: Sendable {
    package struct Receiver: Sendable {
        package var record: ReceiverRecord
        package var subscriptions: [SubscriptionRecord] = []
        /// Inbound QoS 2 identifiers that wait for PUBREL.
        package var inbound: [UInt16] = []
        package var outbound: [Outbound] = []
        /// Number of messages that wait.
        package var depth = 0
        /// Of a link: what these are, by topic and publisher; nil when nobody looked.
        package var waiting: WaitingForLink?

        package init(record: ReceiverRecord) { self.record = record }
    }

    /// An outbound QoS 2 exchange that was not finished.
    package struct Outbound: Sendable, Hashable {
        package var packetID: UInt16
        package var position: Position
        /// True after PUBREC: only PUBREL and PUBCOMP are missing.
        package var isReleased: Bool
        /// The share group whose queue the message stands in; nil for the receiver's own.
        package var source: ReceiverID?

        package init(packetID: UInt16, position: Position, isReleased: Bool, source: ReceiverID? = nil) {
            self.packetID = packetID
            self.position = position
            self.isReleased = isReleased
            self.source = source
        }
    }

    /// In the order of their numbers.
    package var receivers: [Receiver] = []
    package var retained: [Message] = []
    /// Wills of clients that were connected, or whose delay ran, when the process ended.
    package var wills: [WillRecord] = []
    /// What came by streams, in the order in which it came; one may be named several times.
    package var streams: [(StreamID, [MessageID])] = []
    /// Higher than every number ever given to a receiver.
    package var nextReceiver: ReceiverID = ReceiverID(1)
    /// Highest position ever given.
    package var lastPosition: Position = .zero
    /// 48 random bits made at the first start.
    package var nodeNumber: UInt64 = 0
    /// The latest wall time that was seen before.
    package var wallMark: Timestamp = Timestamp(microseconds: 0)
    /// How often this spool was opened, this time included.
    package var bootCount: UInt64 = 1

    package init() {}
}
