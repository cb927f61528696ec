import MQTTCodec

/// The links of this shard: made from what the spool held, dialled, and over a connection what the upstream sends.
extension Shard {
    // MARK: - Start

    /// Takes what the spool held: sessions wait for their clients, retained messages are there, links start.
    func restore(_ contents: SpoolContents, _ now: Now) {
        restoreRetained(contents.retained)
        var linkReceivers: [MQTTString: SpoolContents.Receiver] = [:]
        restoreGroups(contents)
        for receiver in contents.receivers {
            switch receiver.record.kind {
            case .session(let clientID): restore(receiver, clientID, contents.lastPosition, now)
            case .link(let name): linkReceivers[name] = receiver
            case .group: break
            }
        }
        closeRestoredGroups(contents)
        for linkSettings in settings.links {
            let known = linkReceivers.removeValue(forKey: linkSettings.name)
            let link = makeLink(linkSettings, known, contents.lastPosition)
            link.hasBacklog = known.map { $0.depth > 0 } ?? false
            links.append(link)
            subscribeOutgoing(link)
            begin(link, now)
        }
        for record in contents.wills { restoreWill(record, now) }
        // A link that is no longer configured keeps its queue: it is the operator's to drop, and naming the link again
        // brings it back.
        for (name, known) in linkReceivers.sorted(by: { $0.key.string < $1.key.string }) {
            let link = makeLink(LinkSettings(name: name, clientID: ""), known, contents.lastPosition)
            sleepingLinks[name] = link
            forgetRetained(for: link)
            guard !isShelf(name) else { continue }
            outbox.notices.append(
                Notice(
                    .warning,
                    "the spool holds messages of a link that is not configured",
                    link: name,
                    detail: "\(known.depth) messages"
                )
            )
        }
    }

    private func restore(
        _ stored: SpoolContents.Receiver,
        _ clientID: MQTTString,
        _ lastPosition: Position,
        _ now: Now
    ) {
        let session = Session(
            clientID: clientID,
            slot: takeSlot(),
            receiver: stored.record.receiver,
            expiryInterval: stored.record.expiryInterval,
            firstPacketID: firstPacketID()
        )
        sessions[Int(session.slot)] = session
        directory[clientID] = session
        fill(session, stored, lastPosition)
        for record in stored.subscriptions {
            subscribe(session, record.filter, record.options, identifier: record.identifier)
        }
        // A session that was connected when the process ended counts its expiry from now.
        guard session.expiryInterval != .max else { return }
        var left = UInt64(session.expiryInterval)
        if let since = stored.record.disconnectedAt, since < now.wall {
            let away = (now.wall.microseconds - since.microseconds) / 1_000_000
            left = left > away ? left - away : 0
        }
        let expires = now.instant.advanced(by: .seconds(Int64(left)))
        session.expiresAt = expires
        session.timer = timers.add(.absence(session), at: expires)
    }

    private func fill(_ session: Session, _ stored: SpoolContents.Receiver, _ lastPosition: Position) {
        receivers[stored.record.receiver] = session
        for id in stored.inbound { session.inbound[id] = Ticket.none }
        for exchange in stored.outbound {
            var entry = PacketWindow.Entry(
                packetID: exchange.packetID,
                state: exchange.isReleased ? .released2 : .published2,
                needsResend: true,
                position: exchange.position
            )
            if let source = exchange.source, !exchange.isReleased { restoreShared(&entry, of: source, session) }
            session.window.restore(entry)
        }
        session.told = lastPosition
    }

    /// - Parameter known: what the spool has of it; nil for a link that it never saw.
    func makeLink(
        _ linkSettings: LinkSettings,
        _ known: SpoolContents.Receiver?,
        _ lastPosition: Position
    ) -> Link {
        let receiver = known?.record.receiver ?? newReceiver()
        let link = Link(settings: linkSettings, receiver: receiver, settings.linkLanes)
        let session = Session(
            clientID: linkSettings.clientID,
            slot: takeSlot(),
            receiver: receiver,
            expiryInterval: .max,
            firstPacketID: firstPacketID(),
            link: link
        )
        link.session = session
        sessions[Int(session.slot)] = session
        receivers[receiver] = session
        if let known {
            fill(session, known, lastPosition)
            restoreLanes(of: link, session, known, lastPosition)
            link.restoreRetained(known.subscriptions)
        } else {
            link.isNew = true
            store(.receiver(ReceiverRecord(session, receiver, disconnectedAt: nil)))
        }
        return link
    }

    /// What its rules send to the upstream is routed to the link from now on.
    func subscribeOutgoing(_ link: Link) {
        guard let session = link.session else { return }
        for rule in link.settings.outRules {
            let options = SubscriptionOptions(
                maximumQoS: rule.qosCap ?? .exactlyOnce,
                retainAsPublished: rule.retain == .keep
            )
            subscribe(session, rule.filter.text, options, identifier: nil)
        }
        queueRetained(for: link)
    }

    /// Nothing more is routed to the link; what it has stays.
    func unsubscribeOutgoing(_ link: Link) {
        guard let session = link.session else { return }
        for filter in session.subscriptions.keys { router.tree.remove(filter, slot: session.slot) }
        session.subscriptions.removeAll()
    }

    // MARK: - Connecting

    func dial(_ link: Link, _ now: Now) {
        guard !isDraining, link.machine.dial() else { return }
        link.epoch &+= 1
        timers.cancel(link.timer)
        link.timer = nil
        outbox.dials.append(
            Outbox.Dial(link: link, name: link.settings.name, epoch: link.epoch, address: link.route.address)
        )
        linkChanged(link, now)
    }

    /// The upstream's address answered.
    ///
    /// - Parameters:
    ///   - epoch: that of the dial; an older one is not wanted any more.
    ///   - login: who we say that we are.
    /// - Returns: the connection to run, or nil when it is to be closed at once.
    package func dialed(
        _ link: Link,
        epoch: UInt64,
        peer: String,
        login: LinkLogin = LinkLogin(),
        now: Now
    ) -> Connection? {
        let isReturn = epoch == link.returning.epoch
        guard !isDraining, isReturn || link.epoch == epoch && link.machine.reached() else { return nil }
        let connection = Connection(
            state: .waitingForConnAck,
            link: link,
            door: ownDoor,
            peer: peer,
            now: now.instant
        )
        if isReturn {
            guard returnDialed(link, connection, now) != nil else { return nil }
        } else {
            connection.version = link.route.version
            link.connection = connection
            link.connectedAt = now.instant
            setTimer(of: link, now.instant.advanced(by: handshakeTimeout(of: link)))
        }
        sendConnect(of: link, login, on: connection)
        return connection
    }

    private func sendConnect(of link: Link, _ login: LinkLogin, on connection: Connection) {
        var properties = Properties()
        if connection.version == .v5 {
            var values = Properties.Values()
            values.sessionExpiryInterval = link.settings.sessionExpiry
            values.receiveMaximum = UInt16(clamping: inflightMax(of: link, .v5))
            values.maximumPacketSize = UInt32(clamping: settings.packetBytesMax)
            properties.values = values
        }
        send(
            .connect(
                Connect(
                    version: connection.version,
                    clientID: link.settings.clientID,
                    // Version 3 has no other way to say that the session ends with the connection.
                    cleanStart: connection.version != .v5 && link.settings.sessionExpiry == 0,
                    keepAlive: UInt16(clamping: link.settings.keepAlive.components.seconds),
                    will: will(of: link),
                    username: login.username,
                    password: login.password,
                    properties: properties,
                    isBridge: link.settings.usesBridgeBit && connection.version != .v5
                )
            ),
            on: connection
        )
    }

    package func dialFailed(_ link: Link, epoch: UInt64, reason: String, now: Now) {
        if epoch == link.returning.epoch { return returnFailed(link, now) }
        guard link.epoch == epoch, link.machine.phase == .dialing else { return }
        lost(link, reason, now)
    }

    /// QoS 1 and 2 messages that may be unanswered in either direction. An upstream of version 5 says how many it takes;
    /// what one of version 3 does with more than it takes is not known.
    func inflightMax(of link: Link, _ version: ProtocolVersion) -> Int {
        link.settings.inflightMax ?? (version == .v5 ? settings.linkInflightMax : Self.silentInflightMax)
    }

    private static let silentInflightMax = 64

    /// CONNACK, and SUBACK for what is to come in.
    func linkHandshake(_ packet: Packet, on connection: Connection, _ now: Now) {
        guard let link = connection.link, let session = link.session else { return }
        if link.returning.connection === connection { return returnAnswered(packet, link, connection, now) }
        guard link.connection === connection else { return }
        guard case .connAck(let ack) = packet else { return fail(connection, .protocolError, now) }
        guard ack.reason == .success else {
            close(connection, reason: nil)
            if ack.reason == .unsupportedProtocolVersion, link.route.versionRefused() {
                return tryNextVersion(link, now)
            }
            let failure = LinkMachine.Failure.refused(isTemporary: ack.reason.mayPass)
            return lost(link, "the upstream refused: \(ack.reason)", now, as: failure)
        }
        guard link.machine.accepted() else { return fail(connection, .protocolError, now) }
        link.route.accepted()
        connection.state = .open
        connection.session = session
        link.inflightMax = min(inflightMax(of: link, connection.version), Int(ack.properties.receiveMaximum ?? .max))
        connection.carriesMarks =
            connection.version == .v5
            && (link.settings.trustsMarks || ack.properties.userProperties.contains { $0.name == LinkMark.name })
        if connection.carriesMarks { link.inflightMax = min(link.inflightMax, StreamWindow.size) }
        connection.inflightMax = link.inflightMax
        connection.packetBytesMax = ack.properties.maximumPacketSize.map { Int($0) } ?? .max
        connection.peerMaximumQoS = ack.properties.maximumQoS ?? .exactlyOnce
        connection.peerTakesRetained = ack.properties.retainAvailable ?? true
        if connection.version == .v5, let max = ack.properties.topicAliasMaximum, max > 0 {
            // [5:MQTT-3.2.2-17] never an alias above it; [5:MQTT-3.2.2-18] none where there is no maximum. A connection is
            // new with each connect, and so is its table [5:MQTT-3.3.2-7].
            connection.outboundAliases = OutboundAliases(max: min(Int(max), Self.aliasesMax), bytesMin: Self.aliasedMin)
        }
        connection.keepAlive = ack.properties.serverKeepAlive.map { .seconds(Int64($0)) } ?? link.settings.keepAlive
        session.connection = connection
        session.epoch &+= 1
        let isOurs = settleSession(of: link, session, isPresent: ack.isSessionPresent, on: connection)
        link.unmentioned = Set(session.inbound.keys)
        link.progressedAt = now.instant
        outbox.notices.append(Notice(.info, "link connected", link: link.settings.name, detail: connection.peer))
        unsubscribeUpstream(link, session, isSessionPresent: ack.isSessionPresent, on: connection)
        if !isOurs || !ack.isSessionPresent { link.granted = [] }
        subscribeUpstream(link, session, on: connection, now)
        let node = connection.carriesMarks ? ack.node : nil
        settleRetained(of: link, on: connection, node: node, isOurs: isOurs, isPresent: ack.isSessionPresent)
        judgeSuspect(of: link, session, on: connection)
        beginProbing(link, session, on: connection, now)
        resume(session, now)
        feedKept(session, now)
        armProbe(link, on: connection, now)
        planReturn(of: link, now)
    }

    /// Topics of one connection that get an alias, the first that come.
    private static let aliasesMax = 1_024
    /// A PUBLISH without properties is read faster than one with an alias: below this the few bytes are not worth it.
    private static let aliasedMin = 24

    /// The address answered, and speaks another version: it is dialled again at once.
    func tryNextVersion(_ link: Link, _ now: Now) {
        outbox.notices.append(
            Notice(
                .debug,
                "the upstream does not speak this version of MQTT",
                link: link.settings.name,
                detail: "next: \(link.route.version)"
            )
        )
        detach(link)
        link.machine.triesAgain()
        dial(link, now)
    }

    /// Makes our side of the session agree with what the upstream remembers of it.
    ///
    /// - Returns: whether what it remembers is what we do.
    private func settleSession(
        of link: Link,
        _ session: Session,
        isPresent: Bool,
        on connection: Connection
    ) -> Bool {
        let (isOurs, toRelease) = link.sessions.accepted(
            at: link.route.address,
            isPresent: isPresent,
            open: session.window.all.filter { $0.state == .published2 || $0.state == .released2 }.map(\.packetID)
        )
        if !isOurs { upstreamForgot(session) }
        for id in toRelease where session.window.reserve(id) {
            send(.pubRel(PublishAck(packetID: id)), on: connection)
        }
        return isOurs
    }

    /// The upstream has no session of ours: identifiers of the old one mean nothing there [5:MQTT-3.2.2-5]. Messages
    /// that were not settled are sent as new; those whose PUBREC came are the upstream's.
    private func upstreamForgot(_ session: Session) {
        guard let receiver = session.receiver else { return }
        session.link?.underWay.removeAll()
        for entry in session.window.all {
            session.window.remove(entry.packetID)
            if entry.state != .published1 { store(.outboundComplete(receiver, packetID: entry.packetID)) }
        }
        for id in session.inbound.keys.sorted() { store(.inboundRelease(receiver, packetID: id)) }
        session.inbound.removeAll()
    }

    /// The session there remembers what rules that are gone subscribed to, and would send it for as long as it lives.
    private func unsubscribeUpstream(
        _ link: Link,
        _ session: Session,
        isSessionPresent: Bool,
        on connection: Connection
    ) {
        if !isSessionPresent { link.staleFilters.removeAll() }
        guard !link.staleFilters.isEmpty else { return }
        guard let id = session.window.addRequest() else { return }
        link.unsubscribePacketID = id
        send(.unsubscribe(Unsubscribe(packetID: id, filters: link.staleFilters)), on: connection)
    }

    private func subscribeUpstream(_ link: Link, _ session: Session, on connection: Connection, _ now: Now) {
        guard !link.settings.inRules.isEmpty, let id = session.window.addRequest() else { return }
        link.subscribePacketID = id
        let isNew = !(link.granted?.isSuperset(of: link.settings.inRules.map(\.filter.text)) ?? true)
        expectReplay(of: link, isNew: isNew, on: connection, now)
        let entries = link.settings.inRules.map { rule in
            Subscribe.Entry(
                filter: rule.filter,
                // No Local: what we sent does not come back; the flag is kept so that retained messages stay so; after
                // a reconnect only what is new to the upstream's session is replayed.
                options: SubscriptionOptions(
                    maximumQoS: rule.qosCap ?? .exactlyOnce,
                    noLocal: connection.version == .v5 && !rule.filter.isShared,
                    retainAsPublished: connection.version == .v5,
                    retainHandling: connection.version == .v5 ? .sendOnNewSubscription : .sendOnSubscribe
                )
            )
        }
        send(.subscribe(Subscribe(packetID: id, subscriptions: entries)), on: connection)
    }

    // MARK: - Connected

    func receivedFromUpstream(_ packet: Packet, _ session: Session, on connection: Connection, _ now: Now) {
        guard let link = session.link else { return }
        switch packet {
        case .publish(let publish):
            guard !probeReturned(publish, link, now) else { break }
            link.probe.messageMoved()
            link.traffic.received &+= 1
            publishReceived(publish, session, on: connection, now)
        case .pubAck(let ack): pubAckReceived(ack, session, on: connection, now)
        case .pubRec(let ack): pubRecReceived(ack, session, on: connection, now)
        case .pubRel(let ack): pubRelReceived(ack, session, on: connection)
        case .pubComp(let ack):
            session.window.removeRequest(ack.packetID)
            pubCompReceived(ack, session, on: connection, now)
        case .subAck(let ack):
            link.probe.lineAnswered()
            if probeSubscribed(ack, link, session, now) { break }
            // One is awaited; an upstream that sends more would fill the log.
            guard ack.packetID == link.subscribePacketID else { break }
            link.subscribePacketID = 0
            for (reason, rule) in zip(ack.reasons, link.settings.inRules) {
                guard reason.isFailure else {
                    link.granted?.insert(rule.filter.text)
                    continue
                }
                outbox.notices.append(
                    Notice(
                        .warning,
                        "the upstream refused a subscription",
                        link: link.settings.name,
                        detail: "\(rule.filter.text): \(reason)"
                    )
                )
            }
            session.window.removeRequest(ack.packetID)
        case .unsubAck(let ack):
            guard ack.packetID == link.unsubscribePacketID, !link.staleFilters.isEmpty else {
                return fail(connection, .protocolError, now)
            }
            session.window.removeRequest(ack.packetID)
            link.staleFilters.removeAll()
            link.probe.lineAnswered()
        case .pingResp: link.probe.lineAnswered()
        case .disconnect(let disconnect):
            if disconnect.reason.blamesSender { suspect(link, now) }
            close(connection, reason: nil)
            lost(link, "the upstream disconnected: \(disconnect.reason)", now)
        case .connect, .connAck, .subscribe, .unsubscribe, .pingReq, .auth:
            fail(connection, .protocolError, now)
        }
        noteMoved(link, now)
    }
}
