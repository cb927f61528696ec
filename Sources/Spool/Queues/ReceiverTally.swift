package import BrokerCore

/// The books of one receiver, or of all of them together, since the spool was opened. They close to the message:
///
///     restored + taken = delivered + waiting + dropped
package struct ReceiverTally: Sendable, Hashable {
    /// What waited when the spool was opened.
    package internal(set) var restored: UInt64 = 0
    /// What was accepted for the receiver since.
    package internal(set) var taken: UInt64 = 0
    /// What it acknowledged.
    package internal(set) var delivered: UInt64 = 0
    package internal(set) var dropped = DropCounts()
    package internal(set) var waiting = 0
    /// Of the messages that wait.
    package internal(set) var bytes = 0
    /// The first position that waits; 0 when none does.
    package internal(set) var first: UInt64 = 0
    /// Above its watermark.
    package internal(set) var isHigh = false

    package init() {}

    /// False when a message was counted twice or not at all.
    package var isClosed: Bool { restored + taken == delivered + UInt64(waiting) + dropped.total }

    /// Replaces what a receiver had added to a sum.
    mutating func replace(_ old: ReceiverTally, by new: ReceiverTally) {
        restored = restored &+ new.restored &- old.restored
        taken = taken &+ new.taken &- old.taken
        delivered = delivered &+ new.delivered &- old.delivered
        if new.dropped != old.dropped { dropped.replace(old.dropped, by: new.dropped) }
        waiting += new.waiting - old.waiting
        bytes += new.bytes - old.bytes
    }

    /// Messages for a receiver that was gone before they were written.
    mutating func missed(_ count: Int) {
        taken += UInt64(count)
        dropped[.ended] += UInt64(count)
    }
}
