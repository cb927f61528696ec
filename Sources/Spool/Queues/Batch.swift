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

    struct Will {
        var clientID: MQTTString
        /// Nil when it goes.
        var record: WillRecord?
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

    /// What came by one stream.
    struct StreamPart {
        var stream: StreamID
        var number: UInt64
        /// Empty when nothing came, and parts only go.
        var ids: [MessageID]
        /// Parts of the stream up to this number go; 0 for none.
        var forgotten: UInt64 = 0
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
    var wills: [Will] = []
    var streams: [StreamPart] = []
    var carried: [CarriedFile] = []
    /// True when the commit must be on disk whatever the mode of the spool.
    var demandsSync = false

    /// How many things the batch writes; each can be written, or fail, alone.
    var count: Int {
        gone.count + receivers.count + rows.count + finished.count + cursors.count + subscriptions.count
            + inbound.count + outbound.count + retained.count + wills.count + streams.count + carried.count
    }

    /// Messages in the batch, with and without a row.
    var messages = 0
    /// Messages given up by queues, by receiver, in the order in which they were first given up.
    var dropped: [Dropped] = []
    /// The books of receivers that something happened to.
    var tallies: [Tallied] = []
    /// Messages for receivers that were gone already.
    var missed = 0
    /// Messages that somebody waits for, each counted once, and their bytes.
    var open: (messages: Int, bytes: Int) = (0, 0)

    struct Tallied {
        var receiver: ReceiverID
        var tally: ReceiverTally
        /// The receiver is gone, and this was the last of it.
        var isGone: Bool
    }

    struct Dropped {
        var receiver: ReceiverID
        var messages: Int
        var reason: DropReason
    }

    /// Receivers that became full, or are no longer, and refuse when they are.
    var fullness: [(ReceiverID, Bool)] = []
    /// Receivers whose queue passed a watermark.
    var levels: [(ReceiverID, QueueLevel)] = []

    /// True when there is nothing that must be on disk.
    var isEmpty: Bool { messages == 0 && count == 0 && !demandsSync }
}
