package import MQTTCodec

/// Every message that a receiver does not get is counted, by receiver and by reason: here what is not in the spool, which
/// counts its own. Nothing is counted, or held, of a message that arrives.
extension Shard {
    /// A message of which nothing is stored does not reach its receiver.
    ///
    /// - Parameter entry: how its line in the books says it, where that is not what the reason says.
    func drop(
        _ reason: DropReason,
        _ session: Session,
        _ message: @autoclosure () -> Message?,
        as entry: LedgerLine.Entry? = nil
    ) {
        count(reason, session)
        book(entry ?? reason.entry, session, message())
    }

    /// The same without a line in the books: it is written elsewhere.
    func count(_ reason: DropReason, _ session: Session, _ messages: Int = 1) {
        guard messages > 0 else { return }
        counters.drops[reason] &+= UInt64(messages)
        if let drops = session.drops {
            drops.counts[reason] &+= UInt64(messages)
        } else {
            let drops = Session.Drops()
            drops.counts[reason] = UInt64(messages)
            session.drops = drops
        }
    }

    /// What receivers did not get of messages that are not in the spool: those of which there was any.
    package var dropsOfReceivers: [ReceiverDrops] {
        sessions.compactMap { session in
            guard let session, let drops = session.drops else { return nil }
            return ReceiverDrops(
                name: session.link?.settings.name ?? session.clientID,
                kind: session.link != nil ? .link : session.group != nil ? .group : .session,
                receiver: session.receiver,
                isConnected: session.connection != nil,
                counts: drops.counts
            )
        }
    }
}

/// Messages that were not in the spool and that one receiver did not get.
package struct ReceiverDrops: Sendable {
    package enum Kind: String, Sendable { case session, link, group }

    package let name: MQTTString
    package let kind: Kind
    /// Its number in the spool, if it has one.
    package let receiver: ReceiverID?
    package let isConnected: Bool
    package let counts: DropCounts
}

extension DropReason {
    /// How the books say it.
    fileprivate var entry: LedgerLine.Entry {
        switch self {
        case .expired: .expired
        case .tooLarge: .tooLarge
        case .ended: .discarded
        case .oldest, .newest, .aged, .holes, .away, .buffer, .rejected, .denied, .noIdentifier, .unnamed,
            .damaged, .setAside, .removed, .exported, .replayed:
            .dropped
        }
    }
}
