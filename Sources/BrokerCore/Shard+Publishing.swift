package import MQTTCodec
import NIOCore

/// PUBLISH and the four acknowledgements, inbound and outbound: §3.3 to §3.7, §4.3.
extension Shard {
    func receivedFromClient(_ packet: Packet, _ session: Session, on connection: Connection, _ now: Now) {
        switch packet {
        case .publish(let publish): publishReceived(publish, session, on: connection, now)
        case .pubAck(let ack): pubAckReceived(ack, session, on: connection, now)
        case .pubRec(let ack): pubRecReceived(ack, session, on: connection, now)
        case .pubRel(let ack): pubRelReceived(ack, session, on: connection)
        case .pubComp(let ack): pubCompReceived(ack, session, on: connection, now)
        case .subscribe(let subscribe): subscribeReceived(subscribe, session, on: connection, now)
        case .unsubscribe(let unsubscribe): unsubscribeReceived(unsubscribe, session, on: connection, now)
        // [5:MQTT-3.12.4-1] [311:MQTT-3.12.4-1] PINGRESP does not queue behind answers that wait for the disk.
        case .pingReq: send(.pingResp, on: connection)
        case .disconnect(let disconnect): disconnectReceived(disconnect, session, on: connection, now)
        case .auth(let auth): authReceived(auth, on: connection, now)
        // [5:MQTT-3.1.0-2] [311:MQTT-3.1.0-2] a second CONNECT; the rest only a server may send.
        case .connect, .connAck, .subAck, .unsubAck, .pingResp: fail(connection, .protocolError, now)
        }
    }

    // MARK: - Inbound

    func publishReceived(_ packet: Publish, _ session: Session, on connection: Connection, _ now: Now) {
        if packet.properties.topicAlias != nil {
            guard let packet = withTopic(packet, on: connection) else {
                return fail(connection, .topicAliasInvalid, now)
            }
            return publishReceived(packet, session, on: connection, now)
        }
        if packet.qos == .atMostOnce, packet.topic.isReserved, isOwnProbe(packet.topic, of: session) {
            return returnProbe(packet, on: connection)
        }
        if session.link == nil,
            let broken = brokenLimit(packet.qos, isRetained: packet.isRetained, connection.door.limits)
        {
            return fail(connection, broken, now)
        }
        if packet.qos == .exactlyOnce, let ticket = session.inbound[packet.packetID],
            !beginsAnew(packet, session, on: connection)
        {
            // [5:MQTT-4.3.3-10] [311:MQTT-4.3.3-2] a repeated PUBLISH is answered again and not delivered twice.
            session.link?.unmentioned.remove(packet.packetID)
            return answer(.pubRec(PublishAck(packetID: packet.packetID)), on: connection, after: ticket)
        }
        if packet.qos > .atMostOnce {
            if connection.version == .v5, session.link == nil,
                connection.unanswered >= receiveMaximum(of: connection)
            {
                // [5:MQTT-3.3.4-7] [5:§3.3.4]
                return fail(connection, .receiveMaximumExceeded, now)
            }
            if packet.qos == .exactlyOnce, session.link == nil,
                session.inbound.count >= awaitingReleaseMax(of: connection)
            {
                return fail(connection, .receiveMaximumExceeded, now)
            }
            connection.unanswered += 1
        }

        // A mark is for nodes only, and believed from links only.
        let mark = connection.carriesMarks ? packet.mark : nil
        var publication = Publication(
            topic: packet.topic,
            payload: packet.payload,
            qos: packet.qos,
            isRetained: packet.isRetained,
            // All that the message is comes along unchanged [5:MQTT-3.3.2-4] [5:MQTT-3.3.2-15] [5:MQTT-3.3.2-16]
            // [5:MQTT-3.3.2-17] [5:MQTT-3.3.2-20]; DUP does not [5:MQTT-3.3.1-3] [311:MQTT-3.3.1-3].
            properties: packet.properties,
            publisher: session.slot
        )
        publication.mark = mark.map { LinkMark(id: $0.id, hops: $0.hops) }
        if packet.isRetained { forgetExpired(now) }
        var refusal: ReasonCode?
        if let link = session.link {
            // Judged by the name and the flag that it has here.
            switch link.accept(&publication) {
            case .crosses:
                refusal = self.refusal(of: publication)
                // What begins with `$` belongs to this node.
                if refusal == .notAuthorized { count(.unnamed, session) }
            case .stays: refusal = .noMatchingSubscribers
            case .unnamed:
                refusal = .noMatchingSubscribers
                count(.unnamed, session)
            }
            if !settings.isRetainAvailable { publication.isRetained = false }
            if refusal == .quotaExceeded {
                // An upstream cannot be told; without the flag the message arrives at least.
                publication.isRetained = false
                refusal = nil
            }
        } else {
            if packet.isRetained { publication.subject = subject(of: session) }
            refusal = denial(of: packet.topic, by: session, on: connection, now) ?? self.refusal(of: publication)
            if refusal == nil, isMislabelled(packet.payload, packet.properties) { refusal = .payloadFormatInvalid }
            // Nothing answers QoS 0, so that its connection is what is left to say it with [5:§3.3.2.3.2].
            if refusal == .payloadFormatInvalid, packet.qos == .atMostOnce {
                return fail(connection, .payloadFormatInvalid, now)
            }
            // [311:MQTT-3.3.5-2] version 3 cannot be told: it is acknowledged below as its QoS asks, or closed here.
            if refusal == .notAuthorized, closesDenied(connection) { return fail(connection, .notAuthorized, now) }
        }
        if refusal == .quotaExceeded, packet.qos > .atMostOnce, connection.version != .v5, session.link == nil {
            // Version 3 has no refusal, and an acknowledgement would promise what is not kept.
            return fail(connection, .quotaExceeded, now)
        }
        let isRepeated: Bool
        if let mark {
            isRepeated = wasHere(mark, as: publication.topic, now) || isHeld(mark, publication)
        } else if let link = session.link, refusal == nil {
            isRepeated = isEcho(packet, link, session, now) || isReplayed(&publication, as: packet.topic, link, now)
        } else {
            isRepeated = false
        }
        let storesIdentifier = packet.qos == .exactlyOnce && session.receiver != nil
        if refusal == nil, !isRepeated,
            connection.hasRefused && packet.qos > .atMostOnce
                || mayLackRoom && hasNoRoom(for: publication, storesIdentifier: storesIdentifier)
        {
            if connection.version == .v5, session.link == nil {
                refusal = .quotaExceeded
                refused()
                if mark?.stream != nil { connection.hasRefused = true }
            } else {
                connection.unanswered -= 1
                heldBack()
                return stall(packet, on: connection, now)
            }
        }
        if let mark, refusal == nil { remember(mark, as: publication.topic, packet.qos, isRepeated: isRepeated, now) }
        let isTaken = refusal == nil && !isRepeated
        // [5:MQTT-3.3.4-1] [311:MQTT-3.3.4-1] nothing, PUBACK or PUBREC, each with the identifier of its PUBLISH
        // [5:MQTT-2.2.1-5] [311:MQTT-2.3.1-6].
        switch packet.qos {
        case .atMostOnce:
            if isTaken { publish(publication, now) }
        case .atLeastOnce:
            // [5:MQTT-4.3.2-4] [311:MQTT-4.3.2-2] the answer comes when the message is taken over; no identifier of
            // QoS 1 is remembered, so that the next PUBLISH is a new one, whatever its DUP says [5:MQTT-4.3.2-5].
            let result = isTaken ? publish(publication, now) : nil
            answer(
                .pubAck(connection.publishAck(packet.packetID, reason(refusal, result, connection))),
                on: connection,
                // What is here already may still be on its way to the disk.
                after: result?.waits == true ? ticket : isRepeated ? lastDemanded : .none
            )
        case .exactlyOnce:
            if let refusal, refusal.isFailure, connection.version == .v5, session.link == nil {
                // [5:MQTT-4.3.3-9] a failing PUBREC frees the identifier at once.
                return answer(.pubRec(connection.publishAck(packet.packetID, refusal)), on: connection, after: .none)
            }
            var waits = false
            if let receiver = session.receiver {
                store(.inboundPublish(receiver, packetID: packet.packetID))
                publication.waitsForRecords = true
                waits = true
            }
            let result = isTaken ? publish(publication, now) : nil
            if result?.waits == true { waits = true }
            // [5:MQTT-4.3.3-8]
            session.inbound[packet.packetID] = waits ? ticket : Ticket.none
            session.link?.unmentioned.remove(packet.packetID)
            answer(
                .pubRec(connection.publishAck(packet.packetID, reason(refusal, result, connection))),
                on: connection,
                after: waits ? ticket : .none
            )
        }
    }

    /// Puts the topic into a PUBLISH that has an alias; nil when the alias means nothing. Upstreams may use none: our
    /// CONNECT announces none.
    func withTopic(_ packet: Publish, on connection: Connection) -> Publish? {
        guard let alias = packet.properties.topicAlias else { return packet }
        var packet = packet
        let max = connection.link == nil ? settings.topicAliasMax : 0
        return connection.inboundAliases.resolve(&packet, alias: alias, max: max) ? packet : nil
    }

    /// What CONNACK said that clients must not do, and this one does [5:§3.2.2.3.4] [5:§3.2.2.3.5].
    private func brokenLimit(_ qos: QoS, isRetained: Bool, _ limits: borrowing ClientLimits) -> ReasonCode? {
        if qos > limits.maximumQoS { return .qosNotSupported }
        return isRetained && !limits.isRetainAvailable ? .retainNotSupported : nil
    }

    /// Whether a payload is said to be text and is not [5:§3.3.2.3.2].
    func isMislabelled(_ payload: ByteBuffer, _ properties: Properties) -> Bool {
        guard settings.checksPayloadFormat, properties.payloadFormatIndicator == 1 else { return false }
        return String(validating: payload.readableBytesView, as: UTF8.self) == nil
    }

    /// Why a message is not accepted, or nil. Topics that begin with `$` belong to the server.
    func refusal(of publication: borrowing Publication) -> ReasonCode? {
        if publication.topic.isServers || publication.topic.isReserved && publication.origin != nil {
            return .notAuthorized
        }
        // Properties are kept as long as the payload is, so they count as much.
        if publication.isRetained,
            publication.payloadBytes + publication.properties.publishBytes > settings.retainedPayloadMax
        {
            return .quotaExceeded
        }
        if publication.isRetained, publication.payloadBytes > 0,
            retained.count >= settings.retainedMessagesMax, retained[topic: publication.topic] == nil
        {
            return .quotaExceeded
        }
        return nil
    }

    private func reason(_ refusal: ReasonCode?, _ result: PublishResult?, _ connection: Connection) -> ReasonCode {
        if connection.version != .v5 || connection.link != nil { return .success }
        // [5:§3.4.2.1]
        return refusal ?? (result?.matched == 0 ? .noMatchingSubscribers : .success)
    }

    func pubRelReceived(_ ack: PublishAck, _ session: Session, on connection: Connection) {
        // [5:MQTT-4.3.3-11] [311:MQTT-4.3.3-2]
        // The next PUBLISH with the identifier is a new message [5:MQTT-4.3.3-12]; nobody asks whether the message
        // has expired meanwhile [5:MQTT-4.3.3-13].
        guard session.inbound.removeValue(forKey: ack.packetID) != nil else {
            // [5:§3.7.2.1] It may have been released over an earlier connection: answered all the same, but not before that is on
            // disk. A client that hears PUBCOMP takes the identifier for another message.
            let reason: ReasonCode = connection.version == .v5 ? .packetIdentifierNotFound : .success
            return answer(
                .pubComp(PublishAck(packetID: ack.packetID, reason: reason)),
                on: connection,
                after: session.released
            )
        }
        if let receiver = session.receiver {
            store(.inboundRelease(receiver, packetID: ack.packetID))
            session.released = ticket
        }
        answer(.pubComp(PublishAck(packetID: ack.packetID)), on: connection, after: session.released)
    }

    // MARK: - Publishing

    struct PublishResult {
        var id: MessageID?
        /// Receivers that the message was routed to.
        var matched = 0
        /// True when it is, or will be, on disk for somebody.
        var isStored = false
        /// True when an answer has to wait for this turn's ticket.
        var waits = false
        var links: [MQTTString] = []
    }

    /// Routes a message: at once to receivers that are not durable, into this turn's records for those that are.
    @discardableResult
    func publish(_ publication: consuming Publication, _ now: Now) -> PublishResult {
        if !publication.isOwn {
            counters.received &+= 1
            counters.payloadBytesReceived &+= UInt64(truncatingIfNeeded: publication.payloadBytes)
        }
        if namesPublishers || publication.isRetained && !links.isEmpty { namePublisher(of: &publication) }
        var result = PublishResult()
        // [5:MQTT-3.3.1-8] [311:MQTT-3.3.1-12] without the flag what is retained stays as it is.
        if publication.isRetained {
            // The store first, then the routes: who subscribes in between gets the message one way or the other.
            result.isStored = retain(&publication, now) && publication.qos > .atMostOnce
        }

        let audience = audience(of: publication)
        let waits = publication.qos == .exactlyOnce && waitsForCommit(publication, audience)
        result.matched = audience.count
        if !audience.links.isEmpty {
            result.links = audience.links
            // By whom it is decides whether it may go ahead of what waits.
            namePublisher(of: &publication)
        }
        for link in audience.unnamed { count(.unnamed, link) }
        if hand(&publication, to: audience, waits: waits, now) { result.isStored = true }
        // One layer, unless overlapping subscriptions bring a copy each [5:MQTT-3.3.4-2] [311:MQTT-3.3.5-1].
        var further = audience.further
        while let layer = further {
            if hand(&publication, to: layer, waits: waits, now) { result.isStored = true }
            further = layer.further
        }
        if result.isStored {
            let mode = durability(of: publication.topic)
            result.waits = mode != .off
            if result.waits { lastDemanded = ticket }
            if mode == .sync, settings.durability != .sync { store(.demandsSync) }
        }
        result.id = publication.kept?.id ?? publication.id
        return result
    }

    private func namePublisher(of publication: inout Publication) {
        guard publication.clientID == nil, let slot = publication.publisher else { return }
        publication.clientID = sessions[Int(slot)]?.clientID
    }

    /// - Returns: whether it is, or will be, on disk for somebody.
    private func hand(
        _ publication: inout Publication,
        to audience: Audience,
        waits: Bool,
        _ now: Now
    ) -> Bool {
        if settings.keepsLedger { bookRouted(publication.message(&ids, now), to: audience) }
        if !waits {
            for place in audience.transient.indices {
                deliver(audience.transient[place].delivery, to: audience.transient[place].session, &publication, now)
            }
        }
        guard !audience.durable.isEmpty || waits && !audience.transient.isEmpty else { return false }
        let message = publication.message(&ids, now)
        store(.message(message, deliveries: audience.deliveries))
        stored.append(StoredMessage(message: message, audience: audience, includesTransient: waits))
        if publication.qos == .exactlyOnce { storesExactlyOnce = true }
        return true
    }

    /// QoS 2 is delivered after the commit of the message, so that a crash in between gives it to nobody twice; and
    /// never before an earlier one that waits.
    private func waitsForCommit(_ publication: borrowing Publication, _ audience: Audience) -> Bool {
        publication.waitsForRecords || storesExactlyOnce || gate.deliveries > 0 || audience.isDurable
    }

    func bookRouted(_ message: Message, to audience: Audience) {
        for (session, delivery) in zip(audience.durable, audience.deliveries) {
            let identifiers = delivery.subscriptionIdentifiers
            book(.routed, session, message, delivery.qos, isRetained: delivery.isRetained, identifiers)
        }
        for (session, delivery) in audience.transient {
            let identifiers = delivery.subscriptionIdentifiers
            book(.routed, session, message, delivery.qos, isRetained: delivery.isRetained, identifiers)
        }
    }

    /// A message from the gateway. The receipt follows as `outbox.receipts`, after the commit for QoS 1 and 2.
    package func publish(_ request: GatewayPublish, token: UInt64, now: Now) {
        var publication = Publication(
            topic: request.topic,
            payload: request.payload,
            qos: request.qos,
            isRetained: request.isRetained,
            properties: request.properties.unmarked,
            subject: access.isOpen ? nil : gatewaySubject(request.principal)
        )
        publication.id = ids.next(now.wall)
        let result = publish(publication, now)
        let receipt = Outbox.Receipt(
            token: token,
            receipt: GatewayReceipt(
                id: result.id ?? ids.next(now.wall),
                isDurable: result.waits,
                matched: result.matched,
                links: result.links
            )
        )
        if result.waits, request.qos > .atMostOnce {
            gate.hold(.receipt(receipt), until: ticket)
        } else {
            outbox.receipts.append(receipt)
        }
    }

    /// Whether the gateway may publish this; nil when it may.
    package func refusal(of request: GatewayPublish, now: Now) -> ReasonCode? {
        let limits = request.door?.limits ?? settings.clientLimits
        // The path of a URL has not seen the decoder.
        guard TopicName.isValid(request.topic, maximumLevels: limits.topicLevelsMax) else { return .topicNameInvalid }
        if request.topic.count > limits.topicBytesMax { return .topicNameInvalid }
        if !settings.allowsControlCharacters, request.topic.hasControlCharacters { return .topicNameInvalid }
        if let broken = brokenLimit(request.qos, isRetained: request.isRetained, limits) { return broken }
        if let denial = denial(of: request, now) { return denial }
        if request.isRetained { forgetExpired(now) }
        // A program that posts can be told to come back, which a publisher of MQTT cannot: it is not read from.
        if backlog.isBehind, request.qos > .atMostOnce || request.isRetained { return .quotaExceeded }
        let publication = Publication(
            topic: request.topic,
            payload: request.payload,
            qos: request.qos,
            isRetained: request.isRetained,
            properties: request.properties
        )
        if let refusal = refusal(of: publication) { return refusal }
        guard mayLackRoom, hasNoRoom(for: publication) else { return nil }
        refused()
        return .quotaExceeded
    }

    // MARK: - Outbound acknowledgements

    /// [5:MQTT-4.3.2-3] [311:MQTT-4.3.2-1] The message is open until this; its identifier is free then.
    func pubAckReceived(_ ack: PublishAck, _ session: Session, on connection: Connection, _ now: Now) {
        // What was not sent over this connection yet cannot be acknowledged over it: the page that brings it would make
        // a new message of it.
        guard var entry = session.window[ack.packetID], !entry.needsResend, entry.state != .uncommitted2 else { return }
        guard entry.state == .published1 else { return outOfStep(connection, "PUBACK for a PUBLISH of QoS 2", now) }
        if ack.reason == .quotaExceeded, let link = session.link { return upstreamHasNoRoom(link, entry, now) }
        // [5:MQTT-4.4.0-2] a failure settles the message as well. Nothing waits for what we received.
        session.window.remove(ack.packetID)
        progressed(session, now)
        let givenUp: GivenUpReason? = ack.reason.isFailure ? .rejected : nil
        if entry.share >= 0 {
            // [5:MQTT-4.8.2-6] a failure settles it for the whole group.
            settleShared(&entry, givenUp: givenUp)
        } else {
            acknowledge(session, entry.position, givenUp: givenUp)
        }
        feed(session, now)
    }

    func pubRecReceived(_ ack: PublishAck, _ session: Session, on connection: Connection, _ now: Now) {
        guard var entry = session.window[ack.packetID], entry.state != .uncommitted2 else {
            // A refusal ended the exchange at the other end: there is nothing to release.
            if ack.reason.isFailure { return }
            // [5:§3.6.2.1] an unknown identifier is released with 0x92, and version 3 simply released.
            let reason: ReasonCode = connection.version == .v5 ? .packetIdentifierNotFound : .success
            return answer(.pubRel(PublishAck(packetID: ack.packetID, reason: reason)), on: connection, after: .none)
        }
        // As for PUBACK: it is sent again first, and answered again.
        if entry.needsResend, entry.state != .released2 { return }
        guard entry.state != .published1 else { return outOfStep(connection, "PUBREC for a PUBLISH of QoS 1", now) }
        progressed(session, now)
        if ack.reason == .quotaExceeded, entry.state != .released2, let link = session.link {
            return upstreamHasNoRoom(link, entry, now)
        }
        if ack.reason.isFailure {
            // [5:MQTT-4.4.0-2]
            settle(entry, of: session, givenUp: .rejected)
            return feed(session, now)
        }
        if entry.state != .released2 {
            entry.state = .released2
            entry.needsResend = false
            if entry.share >= 0 {
                settleShared(&entry)
            } else if session.receiver != nil, entry.position > .zero {
                book(.delivered, session, nil, at: entry.position)
            }
            if let receiver = session.receiver {
                store(.outboundRelease(receiver, packetID: ack.packetID, entry.position))
                if let link = session.link { settled(entry.position, over: link, givenUp: nil) }
                entry.ticket = ticket
                settledAhead(session, entry.position)
            }
            session.window.update(entry)
        }
        // [5:MQTT-4.3.3-4] [5:MQTT-4.3.3-5] [311:MQTT-4.3.3-1] PUBREL waits for the commit of "PUBREC received".
        answer(.pubRel(PublishAck(packetID: ack.packetID)), on: connection, after: entry.ticket)
    }

    func pubCompReceived(_ ack: PublishAck, _ session: Session, on connection: Connection, _ now: Now) {
        guard let entry = session.window[ack.packetID], !entry.needsResend, entry.state != .uncommitted2 else { return }
        guard entry.state == .released2 else { return outOfStep(connection, "PUBCOMP without PUBREL", now) }
        progressed(session, now)
        settle(entry, of: session)
        feed(session, now)
    }

    /// An acknowledgement of another kind than the exchange waits for: the two sides disagree about the QoS of a message,
    /// and whatever were made of it, one of them would lose or repeat it [5:§4.13.1] [311:MQTT-4.8.0-1].
    private func outOfStep(_ connection: Connection, _ text: String, _ now: Now) {
        fail(connection, .protocolError, because: text, now)
    }

    /// The exchange is over: its identifier is free, its message done.
    func settle(
        _ entry: PacketWindow.Entry,
        of session: Session,
        as outcome: LedgerLine.Entry = .delivered,
        givenUp: GivenUpReason? = nil
    ) {
        session.window.remove(entry.packetID)
        if entry.share >= 0 {
            // [5:MQTT-4.8.2-6]
            var entry = entry
            settleShared(&entry, as: outcome, givenUp: givenUp)
            if entry.state != .published1, let receiver = session.receiver {
                store(.outboundComplete(receiver, packetID: entry.packetID))
            }
            return
        }
        guard let receiver = session.receiver else { return }
        if entry.state != .published1 { store(.outboundComplete(receiver, packetID: entry.packetID)) }
        if entry.state != .released2 { acknowledge(session, entry.position, as: outcome, givenUp: givenUp) }
    }

    /// The receiver is done with a message.
    ///
    /// - Parameter givenUp: why it will not get it; nil when it has it.
    func acknowledge(
        _ session: Session,
        _ position: Position,
        as outcome: LedgerLine.Entry = .delivered,
        givenUp: GivenUpReason? = nil
    ) {
        guard let receiver = session.receiver else {
            if let givenUp { count(DropReason(givenUp), session) }
            return
        }
        guard position > .zero else { return }
        if let link = session.link { settled(position, over: link, givenUp: givenUp) }
        book(outcome, session, nil, at: position)
        settledAhead(session, position)
        store(givenUp.map { .givenUp(receiver, position, $0) } ?? .acknowledged(receiver, position))
    }

    private func progressed(_ session: Session, _ now: Now) {
        guard let link = session.link else { return }
        link.holdings.settled()
        link.progressedAt = now.instant
        link.probe.messageMoved()
        acquit(link, session)
    }
}
