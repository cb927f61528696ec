import MQTTCodec
import NIOCore

/// CONNECT and CONNACK: who is let in, with which session, and what it is told (§3.1, §3.2).
extension Shard {
    func connectReceived(_ connect: Connect, on connection: Connection, _ now: Now) {
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
        if connection.version == .v5, isLink(connection.principal) {
            connection.carriesMarks = true
            connection.inflightMax = min(settings.linkInflightMax, Int(connect.properties.receiveMaximum ?? .max))
        }
        // [5:MQTT-3.1.4-2] before anything is done for this client.
        guard mayLeave(connect.will, connection.principal, now) else { return refuse(connection, .notAuthorized) }
        let expiry = requestedExpiry(connect)
        if backlog.isFull, expiry > 0 || connect.will != nil || directory[clientID]?.receiver != nil {
            return refuse(connection, .serverBusy, because: "the disk takes nothing")
        }
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
    func refusal(of will: Connect.Will, _ version: ProtocolVersion) -> ReasonCode? {
        // Version 3 has no other word for it.
        if will.topic.isServers { return version == .v5 ? .topicNameInvalid : .notAuthorized }
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
        values.receiveMaximum = UInt16(clamping: receiveMaximum(of: connection))
        values.topicAliasMaximum = settings.topicAliasMax > 0 ? UInt16(clamping: settings.topicAliasMax) : nil
        values.serverKeepAlive = serverKeepAlive(connect)
        // [5:MQTT-3.2.2-16] [5:MQTT-3.1.3-7]
        values.assignedClientIdentifier = assigned
        if connection.carriesMarks { values.userProperties = [ownMark] }
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
        resume(session, latest)
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
}
