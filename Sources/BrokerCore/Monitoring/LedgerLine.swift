package import MQTTCodec

/// One line of the books of a shard: a message was taken for a receiver, or what was taken came to an end. Nothing that
/// is taken may end without a line (promise 2 of the design). Off by default: the simulation and the ledger tests ask.
package struct LedgerLine: Sendable {
    package enum Entry: Sendable, Hashable, CaseIterable {
        /// Routing decided that the receiver gets the message.
        case routed
        /// A retained message is to be replayed to the receiver.
        case replayed
        /// The spool took it for the receiver, at `position`.
        case stored
        /// Sent, where nothing is acknowledged to us that we would keep; acknowledged, where the spool has it.
        case delivered
        /// Its expiry passed first.
        case expired
        /// It is over the receiver's Maximum Packet Size.
        case tooLarge
        /// A queue or a write buffer was full, or QoS 0 met nobody.
        case dropped
        /// The session ended first. Without position and message: all that the spool holds for it.
        case discarded
    }

    package let entry: Entry
    package let receiver: MQTTString
    /// Where the spool has it; zero for what only memory holds.
    package let position: Position
    /// Nil where the spool's position says which.
    package let message: Message?
    /// How the receiver gets it: of `routed`, `replayed` and `stored`.
    package var qos = QoS.atMostOnce
    package var isRetained = false
    package var subscriptionIdentifiers: [UInt32] = []
}

extension Shard {
    /// Complexity: one comparison when nobody asked.
    @inline(__always)
    func book(
        _ entry: LedgerLine.Entry,
        _ session: Session,
        _ message: @autoclosure () -> Message?,
        at position: Position = .zero
    ) {
        guard settings.keepsLedger else { return }
        outbox.ledger.append(
            LedgerLine(entry: entry, receiver: session.clientID, position: position, message: message())
        )
    }

    @inline(__always)
    func book(
        _ entry: LedgerLine.Entry,
        _ session: Session,
        _ message: @autoclosure () -> Message,
        _ qos: QoS,
        isRetained: Bool,
        _ identifiers: [UInt32],
        at position: Position = .zero
    ) {
        guard settings.keepsLedger else { return }
        outbox.ledger.append(
            LedgerLine(
                entry: entry,
                receiver: session.clientID,
                position: position,
                message: message(),
                qos: qos,
                isRetained: isRetained,
                subscriptionIdentifiers: identifiers
            )
        )
    }
}
