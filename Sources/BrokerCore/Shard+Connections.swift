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
            if !connection.stalled.isEmpty, case .publish(let publish) = packet {
                guard let publish = withTopic(publish, on: connection) else {
                    return fail(connection, .topicAliasInvalid, now)
                }
                return waitBehindStalled(publish, on: connection)
            }
            let before = backlog.bytes
            if session.link != nil {
                receivedFromUpstream(packet, session, on: connection, now)
            } else {
                receivedFromClient(packet, session, on: connection, now)
            }
            switch packet {
            case .publish, .subscribe, .unsubscribe: if backlog.bytes > before { holdForSpool(connection) }
            default: break
            }
        case .authenticating: receivedWhileAuthenticating(packet, on: connection)
        case .accepted, .closing:
            // [5:MQTT-3.1.4-6] [311:MQTT-3.1.4-5] after a refused CONNECT nothing is processed.
            break
        }
    }

    /// The peer sent bytes that are not MQTT. Its connection ends with the reason, its neighbours don't notice.
    package func decodeFailed(_ error: DecodeError, version: ProtocolVersion?, on connection: Connection, now: Now) {
        if let version { connection.version = version }
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
        connection.isWritable = isWritable
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
    private func serverReference(with reason: ReasonCode) -> MQTTString? {
        reason == .useAnotherServer || reason == .serverMoved ? settings.serverReference : nil
    }

    // MARK: - CONNECT

    private func connectReceived(_ connect: Connect, on connection: Connection, _ now: Now) {
        connection.version = connect.version
        counters.connects &+= 1
        let properties = connect.properties
        connection.packetBytesMax = properties.maximumPacketSize.map { Int($0) } ?? .max
        connection.inflightMax = min(settings.inflightMax, Int(properties.receiveMaximum ?? .max))
        connection.wantsProblems = properties.requestProblemInformation ?? true
        // [5:MQTT-3.1.2-27] without a maximum, or with 0, there is no table and so no alias.
        if let max = properties.topicAliasMaximum, max > 0, settings.topicAliasMax > 0 {
            connection.outboundAliases = OutboundAliases(max: min(Int(max), settings.topicAliasMax))
        }

        if isDraining { return refuseDraining(connection) }
        // [5:MQTT-4.12.0-1]
        if let method = properties.authenticationMethod,
            settings.admission != .asking || !settings.authenticationMethods.contains(method)
        {
            return refuse(connection, .badAuthenticationMethod)
        }
        // [5:MQTT-3.1.3-8] [311:MQTT-3.1.3-9] Of up to 23 bytes all are let in [5:MQTT-3.1.3-5] [311:MQTT-3.1.3-5].
        if let reason = excess(of: connect, over: connection.door.limits) { return refuse(connection, reason) }
        if connect.clientID.isEmpty, connect.version == .v3_1 || !connect.cleanStart && connect.version == .v3_1_1 {
            // [311:MQTT-3.1.3-8] an empty id goes with Clean Session only, and in 3.1 there is none.
            return refuse(connection, .clientIdentifierNotValid)
        }
        if let max = settings.keepAliveMax, connect.version != .v5, connect.keepAlive == 0 || connect.keepAlive > max {
            // Version 3 cannot be told another one.
            return refuse(connection, .clientIdentifierNotValid, because: "the keep-alive is too long")
        }
        if let will = connect.will, let refusal = refusal(of: will, connect.version) {
            return refuse(connection, refusal)
        }
        switch settings.admission {
        case .believing: accept(connect, as: connect.username, on: connection, now)
        case .anonymous: accept(connect, as: nil, on: connection, now)
        case .asking: ask(about: connect, on: connection)
        }
    }

    /// The client is who it says: what CONNECT asks for is done.
    func accept(_ connect: Connect, as username: MQTTString?, on connection: Connection, _ now: Now) {
        var assigned: MQTTString?
        var clientID = connect.clientID
        if clientID.isEmpty {
            // [5:MQTT-3.1.3-6] [311:MQTT-3.1.3-6]
            repeat {
                clientID = MQTTString("auto-" + String(random.next(), radix: 36))
            } while directory[clientID] != nil
            assigned = clientID
        }
        connection.principal.username = username
        connection.principal.clientID = clientID
        // [5:MQTT-3.1.4-2] before anything is done for this client.
        guard mayLeave(connect.will, connection.principal, now) else { return refuse(connection, .notAuthorized) }
        let expiry = requestedExpiry(connect)
        latest = now

        // [5:MQTT-3.1.3-2] [311:MQTT-3.1.3-2]
        var old = directory[clientID]
        if let existing = old, let previous = existing.connection {
            takeOver(existing, from: previous, now)
        } else if let existing = old, let expires = existing.expiresAt, expires <= now.instant {
            end(existing, now)
        }
        var deletesStored = false
        if let existing = old, existing.isEnded {
            deletesStored = existing.receiver != nil
            old = nil
        }
        // Of a session that a crash ended nothing but its will is left: its client has returned.
        if let existing = old, existing.receiver == nil { dropWill(of: existing) }
        if let existing = old, connect.cleanStart || existing.receiver == nil {
            // [5:MQTT-3.1.2-4] [5:MQTT-3.1.4-4] [311:MQTT-3.1.2-6] [311:MQTT-3.1.4-3] what was there before is thrown away.
            deletesStored = existing.receiver != nil
            end(existing, now)
            old = nil
        }

        let isPresent = old != nil
        let session: Session
        if let old {
            // [5:MQTT-3.1.2-5] [311:MQTT-3.1.2-4]
            session = old
            session.expiryInterval = expiry
        } else {
            if expiry > 0, receivers.count - durableGroups >= settings.sessionsMax {
                return refuse(connection, .quotaExceeded)
            }
            // [5:MQTT-3.1.2-6]
            session = Session(
                clientID: clientID,
                slot: takeSlot(),
                receiver: expiry > 0 ? newReceiver() : nil,
                expiryInterval: expiry,
                firstPacketID: firstPacketID()
            )
            sessions[Int(session.slot)] = session
            directory[clientID] = session
            if let receiver = session.receiver {
                receivers[receiver] = session
                session.created = ticket
            }
        }
        if let receiver = session.receiver {
            store(.receiver(ReceiverRecord(session, receiver, disconnectedAt: nil)))
        }
        session.connection = connection
        identify(session, as: connection.principal)
        session.isBridge = connect.isBridge
        session.expiresAt = nil
        timers.cancel(session.timer)
        session.timer = nil
        session.epoch &+= 1
        // [5:MQTT-3.1.3-9] a return within the will delay cancels the will; [5:MQTT-3.1.2-7] the new one is kept.
        keepWill(connect.will?.owned, of: session, now)
        connection.session = session
        connection.state = .accepted
        // [5:MQTT-3.2.2-22] the client's own value, unless it is told another.
        connection.keepAlive = .seconds(Int64(serverKeepAlive(connect) ?? connect.keepAlive))
        timers.cancel(connection.timer)
        connection.timer = nil
        if connection.keepAlive > .zero { armKeepAlive(connection) }

        outbox.notices.append(
            Notice(
                .info,
                "connected",
                clientID: clientID,
                detail: "\(connection.peer), \(connect.version)" + (username.map { ", user \($0)" } ?? "")
            )
        )
        // Another connection may have made the session a moment ago: its row is waited for all the same.
        answer(
            .connAck(connAck(connect, session, on: connection, isPresent: isPresent, assigned: assigned)),
            on: connection,
            after: deletesStored ? ticket : session.created
        )
        if connection.state == .accepted { connection.isHeld = true }
    }

    /// Why a will is not taken, or nil.
    private func refusal(of will: Connect.Will, _ version: ProtocolVersion) -> ReasonCode? {
        // Version 3 has no other word for it.
        if will.topic.isReserved { return version == .v5 ? .topicNameInvalid : .notAuthorized }
        if will.isRetained,
            will.payload.readableBytes + will.properties.publishBytes > settings.retainedPayloadMax
        {
            return .quotaExceeded
        }
        return isMislabelled(will.payload, will.properties) ? .payloadFormatInvalid : nil
    }

    /// The keep-alive that a client has to take instead of its own; nil when its own will do.
    private func serverKeepAlive(_ connect: Connect) -> UInt16? {
        guard let max = settings.keepAliveMax, connect.version == .v5 else { return nil }
        return connect.keepAlive == 0 || connect.keepAlive > max ? max : nil
    }

    /// Seconds that the session outlives its connection, within the limit of this node [5:§3.1.2.11.2].
    private func requestedExpiry(_ connect: Connect) -> UInt32 {
        switch connect.version {
        case .v5: min(connect.properties.sessionExpiryInterval ?? 0, settings.sessionExpiryMax)
        case .v3_1, .v3_1_1: connect.cleanStart ? 0 : settings.sessionExpiryMax
        }
    }

    private func connAck(
        _ connect: Connect,
        _ session: Session,
        on connection: Connection,
        isPresent: Bool,
        assigned: MQTTString?
    ) -> ConnAck {
        // [5:MQTT-3.1.4-5] [311:MQTT-3.1.4-4] [5:MQTT-3.2.2-2] [5:MQTT-3.2.2-3] [311:MQTT-3.2.2-1] [311:MQTT-3.2.2-2]
        // [311:MQTT-3.2.2-3] Response Information is told to nobody [5:MQTT-3.1.2-28], nor a method of authentication to
        // those who named none [5:MQTT-4.12.0-6].
        var ack = ConnAck(reason: .success, isSessionPresent: isPresent)
        guard connect.version == .v5 else { return ack }
        var values = Properties.Values()
        // [5:§3.2.2.3.2]
        if session.expiryInterval != connect.properties.sessionExpiryInterval ?? 0 {
            values.sessionExpiryInterval = session.expiryInterval
        }
        // [5:§3.2.2.3.3] [5:§3.2.2.3.6] [5:§3.2.2.3.8]
        announce(connection.door.limits, in: &values)
        values.topicAliasMaximum = settings.topicAliasMax > 0 ? UInt16(clamping: settings.topicAliasMax) : nil
        values.serverKeepAlive = serverKeepAlive(connect)
        // [5:MQTT-3.2.2-16] [5:MQTT-3.1.3-7]
        values.assignedClientIdentifier = assigned
        if let exchange = connection.exchange {
            // [5:MQTT-4.12.0-5]
            values.authenticationMethod = exchange.method
            values.authenticationData = exchange.lastWord.map { ByteBuffer(bytes: $0) }
            connection.exchange?.lastWord = nil
        }
        ack.properties.values = values
        return ack
    }

    /// CONNACK 0x00 is on its way, the only one [5:MQTT-3.2.0-2] and before all else [311:MQTT-3.2.0-1]: from here on the
    /// session may be delivered to.
    func connAckSent(on connection: Connection) {
        guard connection.state == .accepted, let session = connection.session else { return }
        connection.state = .open
        release(connection)
        resume(session)
        announceArrival(of: session, on: connection, latest)
    }

    /// CONNACK knows no 0x8B [5:MQTT-3.2.2-8].
    func refuseDraining(_ connection: Connection) {
        refuse(connection, connection.version == .v5 ? elsewhere ?? .serverUnavailable : .serverUnavailable)
    }

    /// A CONNECT that cannot be accepted: CONNACK with the reason, then close [5:MQTT-3.2.2-7] [311:MQTT-3.2.2-5].
    ///
    /// - Parameters:
    ///   - text: for the client, in words; nil for those that the reason has anyway.
    ///   - isNoticed: false when somebody else writes the log of it.
    func refuse(
        _ connection: Connection,
        _ reason: ReasonCode,
        because text: String? = nil,
        isNoticed: Bool = true
    ) {
        if isNoticed {
            outbox.notices.append(Notice(.info, "connection refused", detail: "\(reason), from \(connection.peer)"))
        }
        // [5:MQTT-3.2.2-6] session present stays 0; [5:MQTT-3.2.2-8] not every reason is one of CONNACK.
        let code = reason.isAllowed(in: .connAck) ? reason : .unspecifiedError
        var ack = ConnAck(reason: code)
        if connection.version == .v5 {
            ack.properties.reasonString = text.map { MQTTString($0) } ?? reason.text
            if let elsewhere = serverReference(with: code) { ack.properties.values.serverReference = elsewhere }
        }
        send(.connAck(ack), on: connection)
        connection.hasFarewell = true
        close(connection, reason: nil)
    }

    // MARK: - The end of a connection

    /// Another connection came with the same client id [5:MQTT-3.1.4-3] [311:MQTT-3.1.4-2].
    private func takeOver(_ session: Session, from previous: Connection, _ now: Now) {
        outbox.notices.append(Notice(.info, "taken over", clientID: session.clientID, detail: previous.peer))
        close(previous, reason: .sessionTakenOver)
        detach(session, from: previous, "conflict", publishesWill: true, now)
    }

    /// A broken rule: version 5 hears the reason, then the connection ends and counts as lost.
    func fail(_ connection: Connection, _ reason: ReasonCode, because text: String? = nil, _ now: Now) {
        guard connection.state != .closing else { return }
        close(connection, reason: reason, because: text)
        if let link = connection.link { return linkFailed(link, connection, now) }
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

    /// The will of a new connection replaces the one before. One of QoS 1 or 2, or of a session that outlives its
    /// connection, is stored, so that it also goes out when the node dies with its client [5:MQTT-3.1.2-7].
    private func keepWill(_ will: Connect.Will?, of session: Session, _ now: Now) {
        guard let will else { return dropWill(of: session) }
        let isStored = will.qos > .atMostOnce || session.receiver != nil
        if !isStored { dropWill(of: session) }
        session.will = Session.PendingWill(will: will, isStored: isStored)
        guard isStored else { return }
        var properties = will.properties
        if properties.willDelayInterval != nil { properties.willDelayInterval = nil }
        let message = Message(
            id: ids.next(now.wall),
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            isRetained: will.isRetained,
            properties: properties,
            expiry: nil
        )
        let delay = will.properties.willDelayInterval ?? 0
        store(.will(WillRecord(clientID: session.clientID, message: message, delay: delay)))
    }

    /// [5:MQTT-3.1.2-10] [311:MQTT-3.1.2-10]
    private func dropWill(of session: Session) {
        if session.will?.isStored == true { store(.willGone(clientID: session.clientID)) }
        session.will = nil
    }

    /// A will that the spool kept: its client was connected, or its delay ran, when the process ended.
    ///
    /// A session that outlives its connection gets it back, with its whole delay. Of others the end of the process was
    /// the end; their will waits a moment for the client, and for those who want to hear of it, to return.
    func restoreWill(_ record: WillRecord, _ now: Now) {
        let message = record.message
        var will = Connect.Will(
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
            isRetained: message.isRetained,
            properties: message.properties
        )
        if record.delay > 0 { will.properties.willDelayInterval = record.delay }
        let session: Session
        var wait = record.delay
        if let known = directory[record.clientID] {
            session = known
        } else {
            session = Session(
                clientID: record.clientID,
                slot: takeSlot(),
                receiver: nil,
                expiryInterval: 0,
                firstPacketID: firstPacketID()
            )
            sessions[Int(session.slot)] = session
            directory[record.clientID] = session
            wait = min(record.delay, Self.orphanedWillSeconds)
            session.expiresAt = now.instant.advanced(by: .seconds(Int64(wait)))
        }
        let due = now.instant.advanced(by: .seconds(Int64(wait)))
        session.will = Session.PendingWill(will: will, due: due, isStored: true)
        armAbsence(session)
    }

    private static let orphanedWillSeconds: UInt32 = 30

    private func publishWill(of session: Session, _ now: Now) {
        // [311:MQTT-3.1.2-12] [311:MQTT-3.1.2-8]
        guard let pending = session.will else { return }
        // In the same transaction as what it becomes.
        dropWill(of: session)
        guard mayPublishWill(of: session, pending.will.topic, now) else { return }
        var properties = pending.will.properties
        // All others go out with it, the expiry counted from now [5:§3.1.3.2.3] [5:§3.1.3.2.4] [5:§3.1.3.2.5]
        // [5:§3.1.3.2.6] [5:§3.1.3.2.7].
        if properties.willDelayInterval != nil { properties.willDelayInterval = nil }
        var publication = Publication(
            topic: pending.will.topic,
            payload: pending.will.payload,
            qos: pending.will.qos,
            // [5:MQTT-3.1.2-14] [5:MQTT-3.1.2-15] [311:MQTT-3.1.2-16] [311:MQTT-3.1.2-17]
            isRetained: pending.will.isRetained,
            properties: properties,
            publisher: session.slot,
            subject: subject(of: session)
        )
        // Nobody is there to be told that the retained messages are full: without the flag it is delivered at least.
        if refusal(of: publication) == .quotaExceeded { publication.isRetained = false }
        publish(publication, now)
    }

    // MARK: - Keep-alive

    func armKeepAlive(_ connection: Connection) {
        setTimer(of: connection, connection.lastReceived.advanced(by: connection.keepAlive * 3 / 2))
    }

    func setTimer(of connection: Connection, _ instant: Instant) {
        timers.cancel(connection.timer)
        connection.timer = timers.add(.connection(connection), at: instant)
    }

    func checkDeadline(of connection: Connection, _ now: Now) {
        connection.timer = nil
        guard connection.state != .closing else { return }
        switch connection.state {
        case .waitingForConnect:
            outbox.notices.append(Notice(.info, "no CONNECT in time", detail: "from \(connection.peer)"))
            close(connection, reason: nil)
        case .authenticating:
            outbox.notices.append(Notice(.info, "no verdict on a login in time", detail: "from \(connection.peer)"))
            refuse(connection, .serverBusy, isNoticed: false)
        case .accepted:
            armAgain(connection, now)
        case .open where !connection.stalled.isEmpty:
            // [311:MQTT-4.8.0-2] There was no room for what it publishes.
            outbox.notices.append(Notice(.warning, "no room in time", clientID: connection.session?.clientID))
            fail(connection, .quotaExceeded, now)
        case .open where connection.isHeld || connection.isThrottled || connection.wasHeld:
            // We are the ones who did not read: its clock stood still.
            connection.wasHeld = false
            armAgain(connection, now)
        default:
            let silent = now.instant.since(connection.lastReceived)
            guard silent >= connection.keepAlive * 3 / 2 else { return armKeepAlive(connection) }
            // [5:MQTT-3.1.2-22] [311:MQTT-3.1.2-24]
            outbox.notices.append(Notice(.info, "keep-alive timeout", clientID: connection.session?.clientID))
            fail(connection, .keepAliveTimeout, now)
        }
    }

    private func armAgain(_ connection: Connection, _ now: Now) {
        connection.lastReceived = now.instant
        armKeepAlive(connection)
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
