import BrokerCore
import MQTTCodec

/// What one transaction writes: the net effect of all records that were drained together. Every part is idempotent, so
/// a batch may be written again after a failure that left its fate unknown.
struct Batch {
    struct Row {
        var position: UInt64
        var message: Message
        var deliveries: [Delivery]
    }

    struct Cursor {
        var receiver: ReceiverID
        var lowWater: UInt64
        var exceptions: [UInt64]
    }

    struct NewReceiver {
        var record: ReceiverRecord
        /// Where its low-water mark stands if it is new.
        var lowWater: UInt64
    }

    struct Subscription {
        var receiver: ReceiverID
        var filter: MQTTString
        /// Nil when it goes.
        var record: SubscriptionRecord?
    }

    struct Exchange {
        var receiver: ReceiverID
        var packetID: UInt16
        /// Nil when it goes.
        var outbound: SpoolContents.Outbound?
    }

    struct Inbound {
        var receiver: ReceiverID
        var packetID: UInt16
        /// False when it goes.
        var isOpen: Bool
    }

    struct Retained {
        var topic: MQTTString
        /// Nil when it goes.
        var message: Message?
    }

    var number: UInt64 = 0
    var nextPosition: UInt64 = 1
    var nextReceiver: UInt64 = 1
    var wallMark: UInt64 = 0

    /// Written first: what belongs to them goes before anything of this batch comes.
    var gone: [ReceiverID] = []
    var receivers: [NewReceiver] = []
    var rows: [Row] = []
    /// Positions of rows that nobody waits for any more.
    var finished: [UInt64] = []
    var cursors: [Cursor] = []
    var subscriptions: [Subscription] = []
    var inbound: [Inbound] = []
    var outbound: [Exchange] = []
    var retained: [Retained] = []

    /// Messages in the batch, with and without a row.
    var messages = 0
    /// Messages given up by full queues, by shard and receiver, in the order in which they were first given up.
    var dropped: [Dropped] = []
    /// Depths that changed; nil for receivers that are gone.
    var depths: [(ReceiverID, Int?)] = []

    struct Dropped {
        var shard: Int
        var receiver: ReceiverID
        var messages: Int
    }

    /// True when there is nothing that must be on disk.
    var isEmpty: Bool {
        messages == 0 && gone.isEmpty && receivers.isEmpty && finished.isEmpty && cursors.isEmpty
            && subscriptions.isEmpty && inbound.isEmpty && outbound.isEmpty && retained.isEmpty
    }
}
