import DequeModule
import MQTTCodec
import NIOCore

/// From the queue of a share group to its members (§4.8.2).
extension Shard {
    private enum Choice {
        case member(ShareGroup.Member)
        /// Nobody has room, or nobody is there.
        case wait
        /// Nobody who is there may have it; somebody who is not there may.
        case passOver
        case never(GivenUpReason)
    }

    // MARK: - What comes

    /// QoS 0, or a group that takes no more: to a member that is there, or to nobody.
    func shareOnce(_ message: Message, _ delivery: TransientDelivery, _ session: Session, _ now: Now) {
        guard let group = session.group, !session.isEnded else { return drop(.ended, session, message) }
        let publisher = delivery.subscriptionIdentifiers.first
        switch choose(for: message, .atMostOnce, publisher, group, now) {
        case .member(let member):
            send(message, .zero, .atMostOnce, publisher, nil, to: member, of: session, now)
            book(.delivered, session, message)
        case .never(.tooLarge):
            counters.tooLarge &+= 1
            drop(.tooLarge, session, message)
        case .never, .passOver:
            counters.deliveriesDenied &+= 1
            drop(.denied, session, message)
        case .wait:
            drop(isSomebodyThere(in: group) ? .buffer : .away, session, message)
        }
    }

    /// A stored message for a group that is live.
    func share(_ stored: StoredMessage, _ delivery: Delivery, _ session: Session, _ now: Now) {
        guard hasNothingInMemory(session),
            deal(stored.message, stored.position, delivery, session, now)
        else {
            // The row is there: from here on pages are read by position.
            session.flow = .behind
            return
        }
        session.cursor = stored.position
    }

    private func hasNothingInMemory(_ session: Session) -> Bool {
        session.queue.isEmpty && session.group?.returned.isEmpty ?? true
    }

    // MARK: - Feeding

    /// A member has room: its groups are asked in turns, so that none of them starves another.
    func feedShares(of session: Session, _ now: Now) {
        let groups = session.shares
        if groups.count > 1 { session.shares.append(session.shares.removeFirst()) }
        for group in groups { feedGroup(group, now) }
    }

    /// Deals out what waits as far as members have room: what only memory has first, since it is older.
    func feedGroup(_ session: Session, _ now: Now) {
        // While the node says goodbye, what one member leaves must not go through the hands of all others.
        guard let group = session.group, !session.isEnded, !isDraining else { return }
        if group.owesResend { resendKept(session, group, now) }
        guard feedFromMemory(session, group, now), session.receiver != nil, session.flow == .behind,
            !session.isLoading
        else {
            return
        }
        while let entry = session.page.first {
            if !group.settledMeanwhile.contains(entry.position) {
                if let held = group.out[entry.position] {
                    guard sendAgain(held, entry, session, now) else { return }
                } else {
                    guard deal(entry.message, entry.position, entry.delivery, session, now) else { return }
                }
            }
            session.cursor = entry.position
            session.page.removeFirst()
        }
        session.cursor = max(session.cursor, session.pageEnd)
        if group.owesResend { forgetVanished(session, group) }
        if session.cursor >= session.told {
            session.flow = .live
        } else if hasRoom(group) {
            group.forgetSettled()
            requestPage(session)
        }
    }

    /// - Returns: false when something still waits in memory.
    private func feedFromMemory(_ session: Session, _ group: ShareGroup, _ now: Now) -> Bool {
        giveUpAged(of: session, now.instant)
        defer { noteLevel(of: session, now.instant) }
        while let first = group.returned.first?.queued ?? session.queue.first {
            let publisher = first.subscriptionIdentifiers.first
            var choice = Choice.never(.expired)
            if first.message.expiry.map({ $0 > now.wall }) ?? true {
                choice = choose(for: first.message, first.qos, publisher, group, now)
            }
            if case .wait = choice { return false }
            var place = Position.zero
            if let returned = group.takeReturned() {
                place = returned.position
            } else {
                session.queue.removeFirst()
                session.queueBytes -= first.bytes
                place = group.nextKeptPosition()
            }
            switch choice {
            case .member(let member):
                send(first.message, place, first.qos, publisher, first, to: member, of: session, now)
            case .never(let reason): drop(first.message, place, first, reason, session)
            case .passOver, .wait: drop(first.message, place, first, .denied, session)
            }
        }
        return true
    }

    /// Gives a message of the spool to a member, or settles it.
    ///
    /// - Returns: false when it has to wait.
    private func deal(
        _ message: Message,
        _ position: Position,
        _ delivery: Delivery,
        _ session: Session,
        _ now: Now
    ) -> Bool {
        guard let group = session.group else { return true }
        // As many exchanges as there are identifiers to remember them by.
        guard session.window.count < 65_535 else { return false }
        if let expiry = message.expiry, expiry <= now.wall {
            // [5:MQTT-3.3.2-5]
            drop(message, position, nil, .expired, session)
            return true
        }
        let publisher = delivery.subscriptionIdentifiers.first
        switch choose(for: message, delivery.qos, publisher, group, now) {
        case .member(let member):
            send(message, position, delivery.qos, publisher, nil, to: member, of: session, now)
        case .wait: return false
        case .passOver: group.passedOver = min(group.passedOver ?? position, position)
        case .never(let reason): drop(message, position, nil, reason, session)
        }
        return true
    }

    private func drop(
        _ message: Message,
        _ position: Position,
        _ kept: Session.Queued?,
        _ reason: GivenUpReason,
        _ session: Session
    ) {
        switch reason {
        case .expired:
            counters.expired &+= 1
            close(position, kept, of: session, as: .expired, givenUp: reason)
        case .tooLarge:
            counters.tooLarge &+= 1
            close(position, kept, of: session, as: .tooLarge, givenUp: reason)
        case .denied, .rejected, .vanished, .ended:
            counters.deliveriesDenied &+= 1
            close(position, kept, of: session, as: .dropped, givenUp: reason)
        }
    }

    // MARK: - Choosing

    /// The next member, in turns, that is there, may have the message and has room for it.
    ///
    /// - Complexity: O(members) when none has room.
    private func choose(
        for message: Message,
        _ qos: QoS,
        _ publisher: UInt32?,
        _ group: ShareGroup,
        _ now: Now
    ) -> Choice {
        if let publisher { return choose(for: message, qos, of: publisher, group, now) }
        var isAwaited = false
        var others = Others()
        let count = group.members.count
        for step in 0..<count {
            let place = (group.turn + step) % count
            let member = group.members[place]
            guard let session = ready(member, message, qos, &others, now) else { continue }
            guard hasRoom(session, member, qos) else {
                isAwaited = true
                continue
            }
            group.turn = (place + 1) % count
            return .member(member)
        }
        return isAwaited ? .wait : others.choice
    }

    /// The member that has messages of this publisher, or else the one whose turn it always is.
    private func choose(
        for message: Message,
        _ qos: QoS,
        of publisher: UInt32,
        _ group: ShareGroup,
        _ now: Now
    ) -> Choice {
        var others = Others()
        var best: (rank: UInt32, member: ShareGroup.Member, session: Session)?
        let holder = group.holder(of: publisher)
        for member in group.members {
            guard let session = ready(member, message, qos, &others, now) else { continue }
            let rank = member.slot == holder ? .max : StableHash.rank(of: session.clientID, for: publisher)
            if best.map({ $0.rank < rank }) ?? true { best = (rank, member, session) }
        }
        guard let best else { return others.choice }
        return hasRoom(best.session, best.member, qos) ? .member(best.member) : .wait
    }

    /// Why members that were asked are none for a message.
    private struct Others {
        var isAbsent = false
        var refusal: GivenUpReason?

        /// [5:MQTT-3.1.2-25] Too large for everybody who may have it counts as sent.
        var choice: Choice {
            guard let refusal else { return .wait }
            return isAbsent ? .passOver : .never(refusal)
        }
    }

    private func ready(
        _ member: ShareGroup.Member,
        _ message: Message,
        _ qos: QoS,
        _ others: inout Others,
        _ now: Now
    ) -> Session? {
        guard !member.isSuspended, let session = sessions[Int(member.slot)] else { return nil }
        guard mayReceive(session, message.topic) else {
            if others.refusal == nil { others.refusal = .denied }
            return nil
        }
        guard let connection = session.connection, connection.isOpen else {
            others.isAbsent = true
            return nil
        }
        if connection.packetBytesMax != .max,
            !packetFits(message, delivery(of: message, qos, to: member, session), session, connection, now)
        {
            others.refusal = .tooLarge
            return nil
        }
        return session
    }

    private func hasRoom(_ session: Session, _ member: ShareGroup.Member, _ qos: QoS) -> Bool {
        if min(qos, member.options.maximumQoS) > .atMostOnce {
            // A window full of what has to be sent again has room, but no identifier.
            return session.room > 0 && session.window.count < 65_535
        }
        guard let connection = session.connection else { return false }
        return connection.isOpen && connection.isWritable && !isFull(connection)
    }

    private func isSomebodyThere(in group: ShareGroup) -> Bool {
        group.members.contains { sessions[Int($0.slot)]?.connection?.isOpen == true }
    }

    /// Whether anybody could take anything: otherwise no page is asked for.
    private func hasRoom(_ group: ShareGroup) -> Bool {
        group.members.contains { member in
            guard !member.isSuspended, let session = sessions[Int(member.slot)] else { return false }
            return hasRoom(session, member, .exactlyOnce)
        }
    }

    // MARK: - Sending

    private func delivery(
        of message: Message,
        _ qos: QoS,
        to member: ShareGroup.Member,
        _ session: Session
    ) -> Delivery {
        Delivery(
            receiver: session.receiver ?? ReceiverID(0),
            // [5:MQTT-4.8.2-3]
            qos: min(qos, member.options.maximumQoS),
            isRetained: member.options.retainAsPublished && message.isRetained,
            subscriptionIdentifiers: member.identifier.map { [$0] } ?? []
        )
    }

    /// A member that has room gets a message. With QoS 0 that is the end of it; otherwise the group keeps it until the
    /// member acknowledges it.
    private func send(
        _ message: Message,
        _ position: Position,
        _ qos: QoS,
        _ publisher: UInt32?,
        _ kept: Session.Queued?,
        to member: ShareGroup.Member,
        of session: Session,
        _ now: Now
    ) {
        guard let group = session.group, let taker = sessions[Int(member.slot)], let connection = taker.connection
        else { return }
        let delivery = delivery(of: message, qos, to: member, taker)
        guard delivery.qos > .atMostOnce else {
            write(message, delivery, taker, packetID: 0, isDuplicate: false, on: connection, now)
            if position > .zero { close(position, kept, of: session, as: .delivered) }
            return
        }
        // What has to be remembered over a crash: by the member, or by the group for a member that a crash ends.
        let waits = delivery.qos == .exactlyOnce && (taker.receiver != nil || kept == nil)
        let state = waits ? .uncommitted2 : delivery.qos.publishedState
        let added = taker.window.add(
            state,
            position: position,
            ticket: waits ? ticket : .none,
            share: session.slot
        )
        guard let id = added else { return }
        var held = ShareGroup.Held(slot: taker.slot, packetID: id, publisher: publisher, kept: kept)
        if waits {
            held.exchange = remember(id, position, kept, of: taker, for: session)
            gate.hold(.publish(taker, packetID: id, message, delivery, epoch: taker.epoch), until: ticket)
        } else {
            write(message, delivery, taker, packetID: id, isDuplicate: false, on: connection, now)
        }
        group.give(held, at: position)
    }

    /// - Returns: the group's own identifier of the exchange; 0 when the member remembers it.
    private func remember(
        _ id: UInt16,
        _ position: Position,
        _ kept: Session.Queued?,
        of taker: Session,
        for session: Session
    ) -> UInt16 {
        guard let receiver = session.receiver else {
            // A member that outlives its connection makes its group durable.
            return 0
        }
        if let number = taker.receiver {
            store(
                kept == nil
                    ? .outboundShared(number, packetID: id, position, of: receiver)
                    : .outboundPublish(number, packetID: id, .zero)
            )
            return 0
        }
        guard let exchange = session.window.add(.published2, position: position) else { return 0 }
        store(.outboundPublish(receiver, packetID: exchange, position))
        return exchange
    }

    // MARK: - Sending again

    /// A member is back: what it had of QoS 2 is sent to it again [5:MQTT-4.8.2-4], and it may take what others may not
    /// have.
    func resumeShares(of session: Session) {
        guard session.connection != nil else { return }
        var waiting = session.shares
        for entry in session.window.shared where entry.needsResend {
            guard let receiver = sessions[Int(entry.share)], let group = receiver.group else { continue }
            group.owesResend = true
            if group.out[entry.position]?.kept == nil { rewind(receiver, to: entry.position) }
            if !waiting.contains(where: { $0 === receiver }) { waiting.append(receiver) }
        }
        for receiver in waiting {
            if let position = receiver.group?.passedOver {
                receiver.group?.passedOver = nil
                rewind(receiver, to: position)
            }
            feedGroup(receiver, latest)
        }
    }

    /// Pages are read again from a position on that was passed.
    func rewind(_ session: Session, to position: Position) {
        guard session.receiver != nil, position <= session.cursor else { return }
        session.cursor = Position(position.number - 1)
        session.flow = .behind
        session.page.removeAll()
        session.pageEnd = .zero
        session.isLoading = false
        session.epoch &+= 1
    }

    /// - Returns: false when its holder has no room yet.
    private func sendAgain(_ held: ShareGroup.Held, _ page: Page.Entry, _ session: Session, _ now: Now) -> Bool {
        sendAgain(held, page.message, page.delivery.qos, session, now)
    }

    private func sendAgain(
        _ held: ShareGroup.Held,
        _ message: Message,
        _ qos: QoS,
        _ session: Session,
        _ now: Now
    ) -> Bool {
        guard let holder = sessions[Int(held.slot)], let connection = holder.connection, connection.isOpen,
            let entry = holder.window[held.packetID], entry.share == session.slot, entry.needsResend
        else { return true }
        guard holder.room > 0 else { return false }
        guard mayReceive(holder, message.topic) else {
            counters.deliveriesDenied &+= 1
            giveUp(entry, of: holder, .denied)
            return true
        }
        let member =
            session.group?.members.first { $0.slot == held.slot }
            ?? ShareGroup.Member(slot: held.slot, options: SubscriptionOptions(maximumQoS: .exactlyOnce))
        var delivery = delivery(of: message, qos, to: member, holder)
        // It is finished as it was begun, whatever the member subscribed to since.
        delivery.qos = .exactlyOnce
        sendAgain(entry, message, delivery, holder, on: connection, now)
        return true
    }

    private func resendKept(_ session: Session, _ group: ShareGroup, _ now: Now) {
        for (position, held) in group.out.sorted(by: { $0.key < $1.key }) {
            guard let kept = held.kept, group.out[position] != nil else { continue }
            _ = sendAgain(held, kept.message, kept.qos, session, now)
        }
    }

    /// What a member should be sent again is no longer in the spool: its queue gave it up, or its row was damaged.
    private func forgetVanished(_ session: Session, _ group: ShareGroup) {
        var stillOwes = false
        for (position, held) in group.out.sorted(by: { $0.key < $1.key }) {
            guard let holder = sessions[Int(held.slot)], holder.connection?.isOpen == true,
                let entry = holder.window[held.packetID], entry.needsResend
            else { continue }
            if held.kept == nil, position <= session.cursor {
                giveUp(entry, of: holder, .vanished)
            } else {
                stillOwes = true
            }
        }
        group.owesResend = stillOwes
    }
}
