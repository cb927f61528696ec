import MQTTCodec

/// A message that the upstream answers by closing the connection must not hold up those behind it.
extension Shard {
    /// The upstream ended a connection that was open.
    func suspect(_ link: Link, _ now: Now) {
        guard let session = link.session, session.connection != nil, link.hasProgressed == false else { return }
        let sent = session.window.all.first { entry in
            !entry.needsResend && entry.position > .zero && entry.state.mayBeRefused
        }
        if let sent { link.suspect.closed(at: sent.position, now.instant) }
    }

    /// Behind CONNACK, before anything is sent: the one that was found guilty goes, one that is suspected is sent alone.
    func judgeSuspect(of link: Link, _ session: Session, on connection: Connection) {
        link.hasProgressed = false
        if let position = link.suspect.takeConvicted() {
            outbox.notices.append(
                Notice(
                    .warning,
                    "a message is given up: the upstream closes the connection whenever it is sent",
                    link: link.settings.name,
                    detail: "at position \(position.number)"
                )
            )
            if let entry = session.window.all.first(where: { $0.position == position }) {
                giveUp(entry, of: session, .rejected)
            } else {
                acknowledge(session, position, as: .dropped, givenUp: .rejected)
            }
        }
        if link.suspect.isIsolated { connection.inflightMax = 1 }
    }

    /// The upstream settled a message.
    func acquit(_ link: Link, _ session: Session) {
        guard !link.hasProgressed else { return }
        link.hasProgressed = true
        guard link.suspect.position != nil else { return }
        link.suspect = LinkSuspect()
        session.connection?.inflightMax = link.inflightMax
    }
}

extension PacketWindow.State {
    /// Whether the peer may have the PUBLISH, and has not answered it.
    fileprivate var mayBeRefused: Bool {
        switch self {
        case .published1, .published2: true
        case .uncommitted2, .released2: false
        }
    }
}

extension ReasonCode {
    /// Whether a DISCONNECT with this reason may be meant for something that was sent.
    var blamesSender: Bool {
        switch self {
        case .unspecifiedError, .malformedPacket, .protocolError, .implementationSpecificError, .notAuthorized,
            .topicNameInvalid, .packetTooLarge, .administrativeAction, .payloadFormatInvalid, .retainNotSupported,
            .qosNotSupported:
            true
        default: false
        }
    }
}
