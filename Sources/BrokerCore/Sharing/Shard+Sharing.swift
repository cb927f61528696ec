import DequeModule
import MQTTCodec

/// Joining and leaving share groups, and what becomes of what a member held (§4.8.2).
extension Shard {
    // MARK: - Joining

    /// Whether there may not be one more member, or group. Whoever is a member stays one.
    func hasNoPlace(in filter: TopicFilter, for session: Session) -> Bool {
        guard filter.isShared else { return false }
        if session.shares.count >= settings.sharesMax { return true }
        return groups[filter.text] == nil && groups.count >= settings.sessionsMax
    }

    /// The session becomes a member of the group that its filter names, or a member under other options.
    func join(_ session: Session, _ filter: MQTTString, _ options: SubscriptionOptions, identifier: UInt32?) {
        guard let receiver = groups[filter] ?? makeGroup(filter), let group = receiver.group else { return }
        group.add(ShareGroup.Member(slot: session.slot, options: options, identifier: identifier))
        if !session.shares.contains(where: { $0 === receiver }) { session.shares.append(receiver) }
        if session.receiver != nil, receiver.receiver == nil { makeDurable(receiver) }
        announce(receiver)
    }

    /// Nil for a filter that is none, which no decoder lets through.
    private func makeGroup(_ filter: MQTTString, _ number: ReceiverID? = nil) -> Session? {
        let pattern: MQTTString
        do throws(DecodeError) {
            pattern = try TopicFilter(validating: filter, maximumLevels: .max).pattern
        } catch {
            return nil
        }
        let session = Session(
            clientID: filter,
            slot: takeSlot(),
            receiver: number,
            expiryInterval: .max,
            firstPacketID: firstPacketID(),
            group: ShareGroup(pattern: pattern)
        )
        sessions[Int(session.slot)] = session
        groups[filter] = session
        return session
    }

    /// From the first member on that outlives its connection the queue is in the spool, and stays there. What only
    /// memory has goes out before.
    private func makeDurable(_ session: Session) {
        let receiver = newReceiver()
        session.receiver = receiver
        receivers[receiver] = session
        durableGroups += 1
        session.flow = .behind
        store(.receiver(ReceiverRecord(session, receiver, disconnectedAt: nil)))
        // Whoever knows it as a receiver that is not durable has to look again.
        session.group?.maximumQoS = nil
    }

    /// Tells the index what the group takes at most; nothing changes for it when one more member takes the same.
    private func announce(_ session: Session) {
        guard let group = session.group, let highest = group.members.lazy.map(\.options.maximumQoS).max(),
            highest != group.maximumQoS
        else { return }
        group.maximumQoS = highest
        router.tree.insert(
            group.pattern,
            SubscriptionTree.Subscriber(
                slot: session.slot,
                options: SubscriptionOptions(maximumQoS: highest),
                identifier: nil
            )
        )
    }

    // MARK: - Leaving

    /// What the member has over this connection it may finish [5:MQTT-3.10.4-3].
    func leave(_ session: Session, _ filter: MQTTString, _ now: Now) {
        guard let receiver = groups[filter], let group = receiver.group else { return }
        group.remove(session.slot)
        session.shares.removeAll { $0 === receiver }
        guard !group.members.isEmpty else { return endGroup(receiver) }
        announce(receiver)
        feedGroup(receiver, now)
    }

    func suspend(_ session: Session, _ filter: MQTTString, _ isSuspended: Bool) {
        groups[filter]?.group?.suspend(session.slot, isSuspended)
    }

    /// Nobody is left: the group goes with all that waits for it.
    private func endGroup(_ session: Session) {
        guard let group = session.group, !session.isEnded else { return }
        session.isEnded = true
        for (position, held) in group.out.sorted(by: { $0.key < $1.key }) {
            _ = group.takeOut(position)
            if let kept = held.kept { drop(.ended, session, kept.message) }
            // Its exchange goes on without the message.
            guard let holder = sessions[Int(held.slot)], var entry = holder.window[held.packetID] else { continue }
            entry.share = -1
            entry.position = .zero
            holder.window.update(entry)
            // What was to be sent again is gone; a client that is away hears of it when it comes back.
            guard entry.needsResend, entry.state != .released2, holder.connection?.isOpen == true else { continue }
            giveUp(entry, of: holder, .vanished)
        }
        count(.ended, session, group.returned.count + session.queue.count)
        if settings.keepsLedger {
            for returned in group.returned { book(.discarded, session, returned.queued.message) }
            for queued in session.queue { book(.discarded, session, queued.message) }
        }
        session.queue.removeAll()
        clearAlarm(of: session, latest)
        session.page.removeAll()
        router.tree.remove(group.pattern, slot: session.slot)
        groups[session.clientID] = nil
        freeSlot(session.slot)
        guard let receiver = session.receiver else { return }
        receivers[receiver] = nil
        durableGroups -= 1
        if session.isFull { fullReceivers -= 1 }
        store(.receiverGone(receiver))
        book(.discarded, session, nil)
    }

    // MARK: - The end of a connection, and of a session

    /// The connection of a member is gone. What it had with QoS 1, or was not sent yet, returns to the head of its
    /// queue. What was sent with QoS 2 waits for the same client [5:MQTT-4.8.2-4].
    ///
    /// - Returns: the groups that have something to deal out, or one member less to wait for.
    func takeBackShares(of session: Session) -> [Session] {
        var waiting = session.shares
        for entry in session.window.shared where entry.state == .published1 || entry.state == .uncommitted2 {
            guard let receiver = sessions[Int(entry.share)], let group = receiver.group else { continue }
            session.window.remove(entry.packetID)
            if entry.state == .uncommitted2, let number = session.receiver {
                store(.outboundComplete(number, packetID: entry.packetID))
            }
            guard let held = group.takeOut(entry.position) else { continue }
            endExchange(held, of: receiver)
            if let kept = held.kept {
                group.putBack(kept, at: entry.position)
            } else {
                rewind(receiver, to: entry.position)
            }
            if !waiting.contains(where: { $0 === receiver }) { waiting.append(receiver) }
        }
        return waiting
    }

    /// What the session has not finished goes to nobody else [5:MQTT-4.8.2-5].
    func endShares(of session: Session, _ now: Now) {
        for var entry in session.window.shared { settleShared(&entry, as: .discarded, givenUp: .ended) }
        for receiver in session.shares { leave(session, receiver.clientID, now) }
    }

    private func endExchange(_ held: ShareGroup.Held, of session: Session) {
        guard held.exchange != 0, let receiver = session.receiver else { return }
        session.window.remove(held.exchange)
        store(.outboundComplete(receiver, packetID: held.exchange))
    }

    // MARK: - Settling

    /// A member is done with a message of its group.
    ///
    /// - Parameter entry: of the member's window; it belongs to no group afterwards.
    func settleShared(
        _ entry: inout PacketWindow.Entry,
        as outcome: LedgerLine.Entry = .delivered,
        givenUp: GivenUpReason? = nil
    ) {
        let position = entry.position
        let share = entry.share
        entry.share = -1
        entry.position = .zero
        guard let session = sessions[Int(share)], let held = session.group?.takeOut(position) else { return }
        endExchange(held, of: session)
        close(position, held.kept, of: session, as: outcome, givenUp: givenUp)
    }

    /// A message of a group comes to its end.
    func close(
        _ position: Position,
        _ kept: Session.Queued?,
        of session: Session,
        as outcome: LedgerLine.Entry,
        givenUp: GivenUpReason? = nil
    ) {
        if let kept {
            if let givenUp { count(DropReason(givenUp), session) }
            return book(outcome, session, kept.message)
        }
        acknowledge(session, position, as: outcome, givenUp: givenUp)
        if session.isLoading || !session.page.isEmpty { session.group?.noteSettled(position) }
    }

    // MARK: - Restart

    /// The groups of the spool, before their members come.
    func restoreGroups(_ contents: SpoolContents) {
        for stored in contents.receivers {
            guard case .group(let filter) = stored.record.kind,
                let session = makeGroup(filter, stored.record.receiver)
            else { continue }
            receivers[stored.record.receiver] = session
            durableGroups += 1
            session.told = contents.lastPosition
        }
    }

    /// An exchange that a restart found belongs to the queue of a group.
    func restoreShared(_ entry: inout PacketWindow.Entry, of source: ReceiverID, _ session: Session) {
        guard let receiver = receivers[source], let group = receiver.group else {
            entry.position = .zero
            return
        }
        entry.share = receiver.slot
        group.give(ShareGroup.Held(slot: session.slot, packetID: entry.packetID), at: entry.position)
    }

    /// All members are back. Exchanges with those that the end of the process ended are over [5:MQTT-4.8.2-5], and so
    /// are groups that had no others.
    func closeRestoredGroups(_ contents: SpoolContents) {
        for stored in contents.receivers {
            guard case .group = stored.record.kind, let session = receivers[stored.record.receiver] else { continue }
            guard session.group?.members.isEmpty == false else {
                endGroup(session)
                continue
            }
            for exchange in stored.outbound {
                store(.outboundComplete(stored.record.receiver, packetID: exchange.packetID))
                acknowledge(session, exchange.position, as: .discarded, givenUp: .ended)
            }
        }
    }
}
