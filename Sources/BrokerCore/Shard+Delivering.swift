import DequeModule
import MQTTCodec
import NIOCore

/// From the queue to the connection: live or behind, in the window or waiting (§4.4, §4.6, §4.9).
extension Shard {
    // MARK: - Receivers that are not durable, and QoS 0

    /// Hands a message to a receiver for which nothing is stored.
    ///
    /// - Complexity: one copy of the encoded packet into the connection's buffer when it is live; no allocation.
    func deliver(
        _ delivery: TransientDelivery,
        to session: Session,
        _ publication: inout Publication,
        _ now: Now
    ) {
        guard delivery.qos > .atMostOnce else {
            if session.link != nil { return deliverUpstream(delivery, to: session, &publication, now) }
            guard let connection = session.connection, connection.isOpen, connection.isWritable, !isFull(connection)
            else {
                if session.group != nil { return shareOnce(publication.message(&ids, now), delivery, session, now) }
                let reason: DropReason = session.connection?.isOpen == true ? .buffer : .away
                return drop(reason, session, publication.message(&ids, now))
            }
            if connection.carriesMarks {
                return sendUpstream(publication.message(&ids, now), session, delivery, on: connection, now)
            }
            guard fits(&publication.encoder, delivery, connection) else {
                return drop(.tooLarge, session, publication.message(&ids, now))
            }
            touch(connection)
            counters.sentPublish(payloadBytes: publication.payloadBytes)
            book(.delivered, session, publication.message(&ids, now))
            // [5:MQTT-4.3.1-1] [311:MQTT-4.3.1-1]
            write(&publication.encoder, delivery, packetID: 0, on: connection)
            return
        }
        guard !session.isEnded else { return drop(.ended, session, publication.message(&ids, now)) }
        if session.queue.isEmpty, session.room > 0, let connection = session.connection {
            guard fits(&publication.encoder, delivery, connection) else {
                return drop(.tooLarge, session, publication.message(&ids, now))
            }
            guard let id = session.window.add(delivery.qos.publishedState, position: .zero) else {
                return drop(.noIdentifier, session, publication.message(&ids, now))
            }
            if connection.carriesMarks {
                let message = publication.message(&ids, now)
                book(.delivered, session, message)
                let delivery = Delivery(delivery, to: session.receiver)
                return write(message, delivery, session, packetID: id, isDuplicate: false, on: connection, now)
            }
            touch(connection)
            counters.sentPublish(payloadBytes: publication.payloadBytes)
            book(.delivered, session, publication.message(&ids, now))
            write(&publication.encoder, delivery, packetID: id, on: connection)
            return
        }
        let waiting = session.queue.count
        enqueue(
            Session.Queued(
                message: publication.message(&ids, now),
                qos: delivery.qos,
                isRetained: delivery.isRetained,
                subscriptionIdentifiers: delivery.subscriptionIdentifiers,
                came: now.instant
            ),
            for: session
        )
        // Where something waits nobody has room, unless what was in front had to go.
        if session.group != nil, waiting == 0 || session.queue.count <= waiting { feedGroup(session, now) }
    }

    /// One receiver's copy of a message for many.
    private func write(
        _ encoder: inout PublishEncoder,
        _ delivery: TransientDelivery,
        packetID: UInt16,
        on connection: Connection
    ) {
        if connection.outboundAliases != nil,
            connection.writeAliased(
                topic: encoder.topic,
                payload: encoder.payload,
                properties: encoder.properties,
                qos: delivery.qos,
                packetID: packetID,
                isRetained: delivery.isRetained,
                isDuplicate: false,
                subscriptionIdentifiers: delivery.subscriptionIdentifiers
            )
        {
            return
        }
        encoder.append(
            to: &connection.out,
            version: connection.version,
            qos: delivery.qos,
            packetID: packetID,
            isRetained: delivery.isRetained,
            subscriptionIdentifiers: delivery.subscriptionIdentifiers
        )
    }

    /// Above this the channel stops being writable when the bytes of the turn reach it, and says so when they are out.
    func isFull(_ connection: Connection) -> Bool {
        connection.out.readableBytes > settings.writeBufferBytesMax
    }

    private func fits(_ encoder: inout PublishEncoder, _ delivery: TransientDelivery, _ connection: Connection) -> Bool
    {
        guard connection.packetBytesMax != .max else { return true }
        let size = encoder.size(
            version: connection.version,
            qos: delivery.qos,
            subscriptionIdentifiers: delivery.subscriptionIdentifiers
        )
        if size + connection.markBytesMax <= connection.packetBytesMax { return true }
        // [5:MQTT-3.1.2-25] dropped for this receiver only, as if it had been delivered.
        counters.tooLarge &+= 1
        return false
    }

    func enqueue(_ queued: Session.Queued, for session: Session) {
        session.queue.append(queued)
        session.queueBytes += queued.bytes
        giveUpAged(of: session, queued.came)
        while session.queue.count > settings.queueMessagesMax || session.queueBytes > settings.queueBytesMax,
            let oldest = session.queue.popFirst()
        {
            session.queueBytes -= oldest.bytes
            drop(.oldest, session, oldest.message)
        }
        noteLevel(of: session, queued.came)
    }

    // MARK: - Durable receivers

    /// Gives a stored message to its receivers: those that are live get it now, the others find it in the spool.
    ///
    /// - Parameter live: the durable ones of the audience that may be live, by index; nil when nobody looked.
    func deliver(_ stored: StoredMessage, live: [Int]? = nil, _ now: Now) {
        let audience = stored.audience
        if let live {
            for index in live { deliver(stored, toDurable: index, now) }
        } else {
            for index in audience.durable.indices { deliver(stored, toDurable: index, now) }
        }
        guard stored.includesTransient, !audience.transient.isEmpty else { return }
        var publication = Publication(stored.message, properties: properties(of: stored.message, now))
        for (session, delivery) in audience.transient {
            guard !session.isEnded, mayReceive(session, stored.message.topic) else {
                drop(session.isEnded ? .ended : .denied, session, stored.message, as: .discarded)
                continue
            }
            deliver(delivery, to: session, &publication, now)
        }
    }

    private func deliver(_ stored: StoredMessage, toDurable index: Int, _ now: Now) {
        let session = stored.audience.durable[index]
        // A page may have brought it before its own commit was told.
        guard !session.isEnded, session.flow == .live, stored.position > session.cursor else {
            guard let link = session.link else { return }
            return deliver(stored, as: stored.audience.deliveries[index], to: session, link, now)
        }
        guard session.room > 0 else {
            if session.group != nil { return share(stored, stored.audience.deliveries[index], session, now) }
            // The row is there: from here on pages are read by position.
            session.flow = .behind
            guard let link = session.link else { return }
            return deliver(stored, as: stored.audience.deliveries[index], to: session, link, now)
        }
        send(stored.message, stored.position, stored.audience.deliveries[index], to: session, now)
        session.cursor = stored.position
    }

    /// Puts a stored message into the window. QoS 1 goes out at once; QoS 2 after the commit of its identifier.
    func send(_ message: Message, _ position: Position, _ delivery: Delivery, to session: Session, _ now: Now) {
        guard let connection = session.connection else { return }
        guard mayReceive(session, message.topic) else { return withhold(at: position, from: session) }
        if let entry = session.window.resend(at: position) {
            return sendAgain(entry, message, delivery, session, on: connection, now)
        }
        // Not asked of what is sent again: once a PUBLISH is out it does not expire [5:MQTT-4.3.3-7].
        if let expiry = expiry(of: message, for: session), expiry <= now.wall {
            // [5:MQTT-3.3.2-5]
            counters.expired &+= 1
            return acknowledge(session, position, as: .expired, givenUp: .expired)
        }
        if let link = session.link { leaves(message, delivery, position, over: link) }
        guard packetFits(message, delivery, session, connection, now) else {
            counters.tooLarge &+= 1
            return acknowledge(session, position, as: .tooLarge, givenUp: .tooLarge)
        }
        var delivery = delivery
        // [5:MQTT-3.2.2-11] an upstream that is sent more closes the line, and would for ever.
        if delivery.qos > connection.peerMaximumQoS { delivery.qos = connection.peerMaximumQoS }
        if delivery.qos == .atMostOnce {
            write(message, delivery, session, packetID: 0, isDuplicate: false, on: connection, now)
            return acknowledge(session, position)
        }
        // [5:MQTT-4.3.2-1] [5:MQTT-4.3.3-1] an identifier of its own, [5:MQTT-4.3.2-2] [5:MQTT-4.3.3-2] and DUP 0 at
        // first.
        // The upstream had nothing to settle until now.
        if let link = session.link, session.inflight == 0 { link.progressedAt = now.instant }
        let state: PacketWindow.State = delivery.qos == .exactlyOnce ? .uncommitted2 : .published1
        guard let id = session.window.add(state, position: position, ticket: ticket) else { return }
        if delivery.qos == .exactlyOnce, let receiver = session.receiver {
            store(.outboundPublish(receiver, packetID: id, position))
            gate.hold(.publish(session, packetID: id, message, delivery, epoch: session.epoch), until: ticket)
        } else {
            write(message, delivery, session, packetID: id, isDuplicate: false, on: connection, now)
        }
    }

    /// [5:MQTT-4.4.0-1] [311:MQTT-4.4.0-1] the same identifier, DUP set [5:MQTT-3.3.1-1] [311:MQTT-3.3.1-1], in the order
    /// of the first sending.
    func sendAgain(
        _ entry: PacketWindow.Entry,
        _ message: Message,
        _ delivery: Delivery,
        _ session: Session,
        on connection: Connection,
        _ now: Now
    ) {
        var delivery = delivery
        // It was sent as what its upstream takes.
        if entry.state == .published1 { delivery.qos = min(delivery.qos, .atLeastOnce) }
        if let link = session.link { leaves(message, delivery, entry.position, over: link) }
        if session.link != nil, !packetFits(message, delivery, session, connection, now) {
            // The upstream has other limits than when it was sent.
            counters.tooLarge &+= 1
            return giveUp(entry, of: session, .tooLarge)
        }
        if let link = session.link, session.inflight == 0 { link.progressedAt = now.instant }
        var entry = entry
        entry.needsResend = false
        let wasSent = entry.state != .uncommitted2
        if entry.state == .uncommitted2, entry.ticket > gate.committed {
            // Its identifier was being stored when the connection went, and still is.
            gate.hold(
                .publish(session, packetID: entry.packetID, message, delivery, epoch: session.epoch),
                until: entry.ticket
            )
            session.window.update(entry)
            return
        }
        if entry.state == .uncommitted2 { entry.state = .published2 }
        session.window.update(entry)
        write(message, delivery, session, packetID: entry.packetID, isDuplicate: wasSent, on: connection, now)
    }

    /// The identifier of a QoS 2 PUBLISH is on disk: now it may be sent.
    func publishCommitted(
        _ session: Session,
        packetID: UInt16,
        _ message: Message,
        _ delivery: Delivery,
        epoch: UInt64,
        _ now: Now
    ) {
        guard session.epoch == epoch, let connection = session.connection, connection.isOpen,
            var entry = session.window[packetID], entry.state == .uncommitted2
        else { return }
        guard mayReceive(session, message.topic) else {
            counters.deliveriesDenied &+= 1
            giveUp(entry, of: session, .denied)
            return feed(session, now)
        }
        entry.state = .published2
        session.window.update(entry)
        write(message, delivery, session, packetID: packetID, isDuplicate: false, on: connection, now)
    }

    func write(
        _ message: Message,
        _ delivery: Delivery,
        _ session: Session,
        packetID: UInt16,
        isDuplicate: Bool,
        on connection: Connection,
        _ now: Now
    ) {
        touch(connection)
        counters.sentPublish(payloadBytes: message.payload.readableBytes)
        if let link = session.link { link.traffic.sent &+= 1 }
        let topic = name(of: message, for: session)
        if let link = session.link {
            noteEcho(of: topic, message, delivery.qos, isDuplicate: isDuplicate, link, now)
        }
        let properties = properties(of: message, for: session, now)
        let mark = connection.carriesMarks ? mark(of: message, for: session, delivery.qos) : nil
        connection.write(topic, message.payload, properties, mark, delivery, packetID, isDuplicate: isDuplicate)
    }

    func packetFits(
        _ message: Message,
        _ delivery: Delivery,
        _ session: Session,
        _ connection: Connection,
        _ now: Now
    ) -> Bool {
        guard connection.packetBytesMax != .max else { return true }
        return PublishEncoder(
            topic: name(of: message, for: session),
            payload: message.payload,
            properties: properties(of: message, for: session, now)
        )
        .size(
            version: connection.version,
            qos: delivery.qos,
            subscriptionIdentifiers: delivery.subscriptionIdentifiers
        ) + connection.markBytesMax <= connection.packetBytesMax
    }

    func sendUpstream(
        _ message: Message,
        _ session: Session,
        _ delivery: TransientDelivery,
        on connection: Connection,
        _ now: Now
    ) {
        let delivery = Delivery(delivery, to: session.receiver)
        guard packetFits(message, delivery, session, connection, now) else {
            counters.tooLarge &+= 1
            return drop(.tooLarge, session, message)
        }
        book(.delivered, session, message)
        write(message, delivery, session, packetID: 0, isDuplicate: false, on: connection, now)
    }

    private func properties(of message: Message, _ now: Now) -> Properties {
        guard let expiry = message.expiry else { return message.properties }
        var properties = message.properties
        properties.messageExpiryInterval = expiry.secondsLeft(now.wall)
        return properties
    }

    // MARK: - Feeding

    /// A session has a connection again: what was in flight goes first, then what waits, in order.
    func resume(_ session: Session, _ now: Now) {
        resumeOwn(session, now)
        resumeShares(of: session)
    }

    private func resumeOwn(_ session: Session, _ now: Now) {
        guard let connection = session.connection else { return }
        // [5:MQTT-4.4.0-1] PUBREL of exchanges whose PUBREC came; their messages are done [5:MQTT-4.3.3-6].
        for var entry in session.window.all where entry.state == .released2 {
            entry.needsResend = false
            session.window.update(entry)
            answer(.pubRel(PublishAck(packetID: entry.packetID)), on: connection, after: entry.ticket)
        }
        guard session.receiver != nil else { return }
        if session.told == .zero, session.window.count == 0, session.replay.isEmpty {
            // Nothing was ever queued for it.
            session.flow = .live
            return
        }
        session.flow = .behind
        session.cursor = .zero
        session.pageEnd = .zero
        session.page.removeAll()
        if let link = session.link { return resumeLanes(of: link, session, now) }
        requestPage(session)
    }

    func requestPage(_ session: Session) { requestPage(session, after: session.cursor) }

    func requestPage(_ session: Session, after position: Position = .zero, listed: [Position] = []) {
        guard let receiver = session.receiver, !session.isLoading else { return }
        session.isLoading = true
        session.isPageStale = false
        outbox.loads.append(
            LoadRequest(
                receiver: receiver,
                after: position,
                listed: listed,
                messagesMax: session.link == nil ? settings.pageMessagesMax : settings.linkPageMessagesMax,
                bytesMax: settings.pageBytesMax,
                epoch: session.epoch
            )
        )
    }

    func loaded(_ page: Page, for session: Session, _ now: Now) {
        guard page.epoch == session.epoch, session.isLoading else { return }
        session.isLoading = false
        if let link = session.link { return linkLoaded(page, session, link, now) }
        if session.isPageStale { return requestPage(session) }
        session.page = .init(page.entries)
        session.pageEnd = page.end
        feed(session, now)
    }

    /// Sends what waits as far as the window has room.
    func feed(_ session: Session, _ now: Now) {
        if session.receiver == nil, session.queue.isEmpty, session.replay.isEmpty, session.shares.isEmpty,
            session.group == nil
        {
            return
        }
        guard let connection = session.connection, connection.isOpen else {
            if session.group != nil { feedGroup(session, now) }
            return
        }
        if session.link != nil, !session.queue.isEmpty { feedKept(session, now) }
        if session.receiver == nil {
            feedFromMemory(session, on: connection, now)
        } else if session.flow == .behind {
            if let link = session.link {
                feedLink(session, link, now)
            } else if !session.isLoading {
                feedFromPage(session, now)
            }
        }
        if !session.replay.isEmpty { feedReplay(session, now) }
        if !session.shares.isEmpty { feedShares(of: session, now) }
    }

    private func feedFromMemory(_ session: Session, on connection: Connection, _ now: Now) {
        giveUpAged(of: session, now.instant)
        defer { noteLevel(of: session, now.instant) }
        // In the order in which they came [5:MQTT-4.6.0-5] [5:MQTT-4.6.0-6] [311:MQTT-4.6.0-5] [311:MQTT-4.6.0-6].
        while session.room > 0, let next = session.queue.popFirst() {
            session.queueBytes -= next.bytes
            if let expiry = next.message.expiry, expiry <= now.wall {
                counters.expired &+= 1
                drop(.expired, session, next.message)
                continue
            }
            guard mayReceive(session, next.message.topic) else {
                counters.deliveriesDenied &+= 1
                drop(.denied, session, next.message)
                continue
            }
            let delivery = Delivery(
                receiver: ReceiverID(0),
                qos: next.qos,
                isRetained: next.isRetained,
                subscriptionIdentifiers: next.subscriptionIdentifiers
            )
            guard packetFits(next.message, delivery, session, connection, now) else {
                counters.tooLarge &+= 1
                drop(.tooLarge, session, next.message)
                continue
            }
            guard let id = session.window.add(next.qos.publishedState, position: .zero) else {
                return drop(.noIdentifier, session, next.message)
            }
            book(.delivered, session, next.message)
            write(next.message, delivery, session, packetID: id, isDuplicate: false, on: connection, now)
        }
    }

    private func feedFromPage(_ session: Session, _ now: Now) {
        while session.room > 0, let entry = session.page.popFirst() {
            session.cursor = entry.position
            // What is in the window and needs no resend was sent over this connection.
            send(entry.message, entry.position, entry.delivery, to: session, now)
        }
        guard session.page.isEmpty else { return }
        session.cursor = max(session.cursor, session.pageEnd)
        if session.window.resendCount > 0 { forgetVanished(session) }
        if session.cursor >= session.told {
            session.flow = .live
        } else if session.room > 0 {
            requestPage(session)
        }
    }

    /// Exchanges whose message is no longer in the spool (dropped by its queue) have nothing to be sent again.
    private func forgetVanished(_ session: Session) {
        for entry in session.window.all
        where entry.needsResend && entry.share < 0 && entry.position <= session.cursor {
            giveUp(entry, of: session, .vanished)
        }
    }

    /// An exchange ends without its message. A QoS 2 PUBLISH that may have been sent is released all the same: a receiver
    /// that has it would keep the identifier for ever, and take the next message under it for this one.
    func giveUp(_ entry: PacketWindow.Entry, of session: Session, _ reason: GivenUpReason) {
        guard entry.state == .published2, let receiver = session.receiver, let connection = session.connection else {
            return settle(entry, of: session, as: .dropped, givenUp: reason)
        }
        var entry = entry
        entry.state = .released2
        entry.needsResend = false
        // Without a position: nobody says that it has the message.
        store(.outboundRelease(receiver, packetID: entry.packetID, .zero))
        if entry.share >= 0 {
            settleShared(&entry, as: .dropped, givenUp: reason)
        } else if entry.position > .zero {
            if let link = session.link { settled(entry.position, over: link, givenUp: reason) }
            store(.givenUp(receiver, entry.position, reason))
            book(.dropped, session, nil, at: entry.position)
            settledAhead(session, entry.position)
        }
        entry.ticket = ticket
        session.window.update(entry)
        answer(.pubRel(PublishAck(packetID: entry.packetID)), on: connection, after: ticket)
    }

    /// Retained messages of new subscriptions, as the window has room [5:MQTT-3.3.1-9] [311:MQTT-3.3.1-6].
    private func feedReplay(_ session: Session, _ now: Now) {
        guard let connection = session.connection, session.replayTimer == nil, connection.heldSubAcks == 0 else {
            return
        }
        var room = session.room
        var steps = 0
        defer { if steps > Self.replayStepsMax { restReplay(of: session, steps, now) } }
        // A durable receiver takes part in the order of its queue: replay waits until it is live.
        guard session.receiver == nil || session.flow == .live else { return }
        // What would be above the write buffer's limit waits until the peer has taken the rest: it is not dropped.
        while connection.isWritable, !isFull(connection), let (next, topic) = nextReplay(session, &steps) {
            let isSame = next.epoch == session.epoch
            guard let message = retained.message(of: topic, upTo: isSame ? next.change : .max) else {
                session.replay[0].done += 1
                continue
            }
            guard mayReceive(session, topic), isRightful(topic) else {
                session.replay[0].done += 1
                counters.deliveriesDenied &+= 1
                continue
            }
            if let expiry = message.expiry, expiry <= now.wall {
                // [5:MQTT-3.3.2-5] its place is wanted for others.
                session.replay[0].done += 1
                retained.remove(topic)
                store(.retainGone(topic: topic))
                continue
            }
            let qos = min(message.qos, next.maximumQoS)
            if qos > .atMostOnce {
                guard room > 0 else { return }
                room -= 1
            }
            session.replay[0].done += 1
            book(.replayed, session, message, qos, isRetained: true, next.subscriptionIdentifiers)
            if let receiver = session.receiver, qos > .atMostOnce {
                let delivery = Delivery(
                    receiver: receiver,
                    qos: qos,
                    isRetained: true,
                    subscriptionIdentifiers: next.subscriptionIdentifiers
                )
                store(.message(message, deliveries: [delivery]))
                let kind = Route.Kind(qos: qos, isRetained: true)
                let audience = Audience(topic: topic, kind, durable: [session], deliveries: [delivery])
                stored.append(StoredMessage(message: message, audience: audience))
                continue
            }
            // [311:MQTT-3.3.1-8]
            let delivery = TransientDelivery(
                qos: qos,
                isRetained: true,
                subscriptionIdentifiers: next.subscriptionIdentifiers
            )
            var publication = Publication(message, properties: properties(of: message, now))
            deliver(delivery, to: session, &publication, now)
        }
    }

    /// Retained messages that a session may have looked through before others get their turn.
    private static let replayStepsMax = 1_000

    /// The next topic of the first replay. Topics are looked up when a replay comes to the front, so that a session
    /// holds those of one filter at most.
    private func nextReplay(_ session: Session, _ steps: inout Int) -> (Session.Replay, MQTTString)? {
        while let first = session.replay.first {
            guard session.isWanted(first) else {
                session.replay.removeFirst()
                continue
            }
            let topics: [MQTTString]
            if let known = first.topics {
                topics = known
            } else {
                guard steps <= Self.replayStepsMax else { return nil }
                let search = retained.search(first.filter)
                steps += search.steps
                topics = search.topics
                session.replay[0].topics = topics
            }
            if first.done < topics.count { return (first, topics[first.done]) }
            session.replay.removeFirst()
        }
        return nil
    }

    /// A thousand filters like `+/+/x` fit one packet, and each looks at every retained message. Who asks for much
    /// rests a microsecond for each step, about as long as the step took, so that neighbours get half of the loop.
    private func restReplay(of session: Session, _ steps: Int, _ now: Now) {
        session.replayTimer = timers.add(.replay(session), at: now.instant.advanced(by: .microseconds(steps)))
    }
}

extension QoS {
    /// What the window says of a message of this QoS that is being sent.
    var publishedState: PacketWindow.State { self == .exactlyOnce ? .published2 : .published1 }
}
