import DequeModule
package import MQTTCodec
import NIOCore

/// CONNECT, takeover, keep-alive, DISCONNECT, will: §3.1, §3.2, §3.12, §3.14.
extension Shard {
    // MARK: - Events

    /// A client's network connection is there; CONNECT has to follow in time.
    ///
    /// - Parameters:
    ///   - peer: where it comes from, for the log.
    ///   - address: the same for rules and limits; nil when the transport has none.
    ///   - certificateName: the name in the client certificate that the TLS handshake has verified.
    ///   - door: by which it came in; nil for one with the limits of the node.
    ///   - age: for how long it has been here, in TLS and HTTP: one deadline runs from accept to CONNECT.
    package func opened(
        peer: String,
        address: NetworkAddress? = nil,
        certificateName: String? = nil,
        door: Door? = nil,
        age: Duration = .zero,
        now: Now
    ) -> Connection {
        let connection = Connection(
            state: .waitingForConnect,
            link: nil,
            door: door ?? ownDoor,
            peer: peer,
            address: address,
            now: now.instant
        )
        connection.certificateName = certificateName
        connectionCount += 1
        counters.opened &+= 1
        setTimer(of: connection, now.instant.advanced(by: max(.zero, connection.door.limits.connectTimeout - age)))
        return connection
    }

    /// A packet arrived. The caller reads nothing more from a connection while `isHeld` is true.
    package func received(_ packet: Packet, on connection: Connection, now: Now) {
        connection.lastReceived = now.instant
        counters.packetsReceived &+= 1
        switch connection.state {
        case .waitingForConnect:
            // [5:MQTT-3.1.0-1] [311:MQTT-3.1.0-1] the first packet is CONNECT.
            guard case .connect(let connect) = packet else { return close(connection, reason: nil) }
            connectReceived(connect, on: connection, now)
        case .waitingForConnAck:
            linkHandshake(packet, on: connection, now)
        case .open:
            guard let session = connection.session else { return }
            if !connection.stalled.isEmpty, case .publish(let publish) = packet, !isProbe(publish, session) {
                guard let publish = withTopic(publish, on: connection) else {
                    return fail(connection, .topicAliasInvalid, now)
                }
                return waitBehindStalled(publish, on: connection)
            }
            let before = backlog.bytes
            let mayHaveToWait = packet.asksForStorage
            if session.link != nil {
                receivedFromUpstream(packet, session, on: connection, now)
            } else {
                receivedFromClient(packet, session, on: connection, now)
            }
            if mayHaveToWait, backlog.bytes > before { holdForSpool(connection) }
        case .authenticating: receivedWhileAuthenticating(packet, on: connection)
        case .accepted, .closing:
            // [5:MQTT-3.1.4-6] [311:MQTT-3.1.4-5] after a refused CONNECT nothing is processed.
            break
        }
    }

    /// The peer sent bytes that are not MQTT. Its connection ends with the reason, its neighbours don't notice.
    package func decodeFailed(_ error: DecodeError, version: ProtocolVersion?, on connection: Connection, now: Now) {
        if let version { connection.version = version }
        if connection.state == .waitingForConnAck, error.reason == .unsupportedProtocolVersion {
            // The upstream could not say it in our version.
            return linkHandshake(.connAck(ConnAck(reason: error.reason)), on: connection, now)
        }
        outbox.notices.append(
            Notice(
                .info,
                "malformed packet",
                clientID: connection.session?.clientID,
                link: connection.link?.settings.name,
                detail: "\(error.explanation) \(error.statement) at byte \(error.offset), from \(connection.peer)"
            )
        )
        switch connection.state {
        case .waitingForConnect:
            // [5:MQTT-3.1.4-1] A version 3 CONNECT that does not conform gets no CONNACK, save for a level that is not served
            // [311:MQTT-3.1.4-1] [311:MQTT-3.1.2-2].
            if connection.version == .v5 || error.reason == .unsupportedProtocolVersion
                || error.reason == .clientIdentifierNotValid
            {
                refuse(connection, error.reason, because: error.explanation)
            } else {
                close(connection, reason: nil)
            }
        default:
            // [5:MQTT-4.13.1-1] [311:MQTT-4.8.0-1]
            fail(connection, error.reason, because: error.explanation, now)
        }
    }

    /// The network connection is gone, whoever ended it.
    ///
    /// - Parameter reason: what the transport says of it, when that helps an operator.
    package func closed(_ connection: Connection, reason: String? = nil, now: Now) {
        guard connection.link == nil else { return linkClosed(connection, reason: reason, now) }
        connectionCount -= 1
        let wasClosing = connection.state == .closing
        connection.state = .closing
        forgetStalled(of: connection)
        timers.cancel(connection.timer)
        forgetQuestion(of: connection)
        guard let session = connection.session, session.connection === connection else { return }
        if !wasClosing {
            outbox.notices.append(Notice(.info, "connection lost", clientID: session.clientID))
        }
        detach(session, from: connection, "closed", publishesWill: true, now)
    }

    /// The channel's write buffer went above or below its limit.
    package func writabilityChanged(_ connection: Connection, isWritable: Bool, now: Now) {
        // A link that somebody holds sends nothing, however much its channel would take.
        connection.isWritable = isWritable && connection.link?.isHeld != true
        if isWritable, let session = connection.session { feed(session, now) }
    }

    /// The node shuts down: everyone who can hear it is told why [5:§3.14.2.1].
    package func drain(now: Now) {
        isDraining = true
        for case let session? in sessions {
            // A link ends its connection itself: DISCONNECT 0x8B is not a client's to send.
            guard let connection = session.connection, session.link == nil else { continue }
            // A client that is sent elsewhere hears where in the same packet (§4.11).
            fail(connection, elsewhere ?? .serverShuttingDown, now)
        }
        for link in links { stop(link, now) }
    }

    /// What version 5 clients are told while the node shuts down, when there is another server for them.
    var elsewhere: ReasonCode? {
        settings.serverReference.map { _ in settings.isServerMoved ? .serverMoved : .useAnotherServer }
    }

    /// Goes with the reasons that send a client elsewhere, and with no others.
    func serverReference(with reason: ReasonCode) -> MQTTString? {
        reason == .useAnotherServer || reason == .serverMoved ? settings.serverReference : nil
    }

    // MARK: - The end of a connection

    /// Another connection came with the same client id [5:MQTT-3.1.4-3] [311:MQTT-3.1.4-2].
    func takeOver(_ session: Session, from previous: Connection, _ now: Now) {
        outbox.notices.append(Notice(.info, "taken over", clientID: session.clientID, detail: previous.peer))
        close(previous, reason: .sessionTakenOver)
        detach(session, from: previous, "conflict", publishesWill: true, now)
    }

    /// A broken rule: version 5 hears the reason, then the connection ends and counts as lost.
    func fail(_ connection: Connection, _ reason: ReasonCode, because text: String? = nil, _ now: Now) {
        guard connection.state != .closing else { return }
        close(connection, reason: reason, because: text)
        if let link = connection.link { return linkFailed(link, connection, text ?? "\(reason)", now) }
        guard let session = connection.session, session.connection === connection else { return }
        detach(session, from: connection, reason.departure, publishesWill: true, now)
    }

    /// - Parameter reason: sent as DISCONNECT to a version 5 peer that got CONNACK [5:MQTT-3.14.0-1].
    func close(_ connection: Connection, reason: ReasonCode?, because text: String? = nil) {
        guard connection.state != .closing else { return }
        if let reason, connection.version == .v5, connection.isOpen {
            // [5:MQTT-3.14.2-1]
            var disconnect = Disconnect(reason: reason.isAllowed(in: .disconnect) ? reason : .unspecifiedError)
            disconnect.properties.reasonString = text.map { MQTTString($0) } ?? reason.text
            if let elsewhere = serverReference(with: reason) {
                disconnect.properties.values.serverReference = elsewhere
            }
            send(.disconnect(disconnect), on: connection)
            connection.hasFarewell = true
        }
        // [5:MQTT-3.14.4-1] nothing follows, and [5:MQTT-3.14.4-2] [5:MQTT-4.13.2-1] the connection is closed, whether or
        // not a reason could be sent.
        connection.state = .closing
        connection.answers.removeAll()
        forgetStalled(of: connection)
        forgetQuestion(of: connection)
        timers.cancel(connection.timer)
        connection.timer = nil
        outbox.closes.append(connection)
    }

    func disconnectReceived(_ disconnect: Disconnect, _ session: Session, on connection: Connection, _ now: Now) {
        if let expiry = disconnect.properties.sessionExpiryInterval {
            // A session that was to end with its connection cannot be made to last afterwards [5:§3.14.2.2.2].
            if session.expiryInterval == 0, expiry > 0 {
                return fail(connection, .protocolError, because: "session expiry raised from 0", now)
            }
            session.expiryInterval = min(expiry, settings.sessionExpiryMax)
        }
        outbox.notices.append(Notice(.info, "disconnected", clientID: session.clientID))
        close(connection, reason: nil)
        // [5:MQTT-3.14.4-3] [311:MQTT-3.14.4-3] DISCONNECT 0x00 deletes the will; 0x04 asks for it.
        let reason = disconnect.reason
        detach(session, from: connection, reason.departure, publishesWill: reason != .success, now)
    }

    /// The session has no connection any more: it ends, or it waits for its client.
    ///
    /// - Parameter word: why, for presence.
    private func detach(
        _ session: Session,
        from connection: Connection,
        _ word: String,
        publishesWill: Bool,
        _ now: Now
    ) {
        session.connection = nil
        session.epoch &+= 1
        session.subject?.rest()
        connection.session = nil
        let groups = takeBackShares(of: session)
        defer { for group in groups { feedGroup(group, now) } }
        session.window.markAllForResend()
        session.flow = .behind
        session.page.removeAll()
        session.isLoading = false
        announceDeparture(of: session, from: connection, word, now)
        if !publishesWill { dropWill(of: session) }

        // [5:MQTT-3.1.2-23] [5:MQTT-4.1.0-1] [311:MQTT-4.1.0-1] [311:MQTT-4.1.0-2] the session is kept while it has a
        // connection, and for its expiry behind that.
        if session.expiryInterval == 0 {
            // [5:MQTT-4.1.0-2] [311:MQTT-3.1.2-6]
            end(session, now)
            return
        }
        if let receiver = session.receiver {
            store(.receiver(ReceiverRecord(session, receiver, disconnectedAt: now.wall)))
        }
        // [5:§3.1.3.2.2]
        if let will = session.will {
            let delay = min(will.will.properties.willDelayInterval ?? 0, session.expiryInterval)
            if delay == 0 {
                publishWill(of: session, now)
            } else {
                session.will?.due = now.instant.advanced(by: .seconds(Int64(delay)))
            }
        }
        if session.expiryInterval != .max {
            session.expiresAt = now.instant.advanced(by: .seconds(Int64(session.expiryInterval)))
        }
        armAbsence(session)
    }

    /// One timer a session: for its will, and then for its end.
    func armAbsence(_ session: Session) {
        timers.cancel(session.timer)
        session.timer = [session.will?.due, session.expiresAt].compactMap(\.self).min().map {
            timers.add(.absence(session), at: $0)
        }
    }

    /// A timer of an absence: the will is due, or the session has expired.
    func absenceEnded(_ session: Session, _ now: Now) {
        session.timer = nil
        guard session.connection == nil, !session.isEnded else { return }
        if let due = session.will?.due, due <= now.instant { publishWill(of: session, now) }
        if let expires = session.expiresAt, expires <= now.instant {
            counters.sessionsExpired &+= 1
            return end(session, now)
        }
        armAbsence(session)
    }

    /// The session and all that is kept for it go. A will that still waits goes out: the session is over
    /// [5:MQTT-3.1.2-8].
    func end(_ session: Session, _ now: Now) {
        guard !session.isEnded else { return }
        publishWill(of: session, now)
        session.isEnded = true
        timers.cancel(session.timer)
        session.timer = nil
        timers.cancel(session.replayTimer)
        session.replayTimer = nil
        endShares(of: session, now)
        for filter in session.subscriptions.keys { router.tree.remove(filter, slot: session.slot) }
        session.subscriptions.removeAll()
        count(.ended, session, session.queue.count)
        if settings.keepsLedger { for queued in session.queue { book(.discarded, session, queued.message) } }
        session.queue.removeAll()
        clearAlarm(of: session, now)
        session.replay.removeAll()
        session.page.removeAll()
        if directory[session.clientID] === session { directory[session.clientID] = nil }
        freeSlot(session.slot)
        if let receiver = session.receiver {
            receivers[receiver] = nil
            if session.isFull { fullReceivers -= 1 }
            store(.receiverGone(receiver))
            book(.discarded, session, nil)
        }
    }

    // MARK: - Wills
    // MARK: - Keep-alive
}

extension Packet {
    /// Whether whoever sends it may be made to wait for the disk; acknowledgements are what lets things drain.
    fileprivate var asksForStorage: Bool {
        switch self {
        case .publish, .subscribe, .unsubscribe: true
        default: false
        }
    }
}

extension ReceiverRecord {
    init(_ session: Session, _ receiver: ReceiverID, disconnectedAt: Timestamp?) {
        self.init(
            receiver: receiver,
            kind: session.kind,
            expiryInterval: session.expiryInterval,
            disconnectedAt: disconnectedAt
        )
    }
}

extension Session {
    fileprivate var kind: ReceiverRecord.Kind {
        if let link { return .link(name: link.settings.name) }
        return group == nil ? .session(clientID: clientID) : .group(filter: clientID)
    }
}
