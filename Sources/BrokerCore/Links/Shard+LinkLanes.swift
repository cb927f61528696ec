import DequeModule
import MQTTCodec

/// What a link sends next, while it is behind.
extension Shard {
    /// A stored message for a link that is behind, or has no room: it goes ahead of those that wait when it has nothing to
    /// wait for, else a page brings it.
    func deliver(_ stored: StoredMessage, as delivery: Delivery, to session: Session, _ link: Link, _ now: Now) {
        // A page may have brought it before its own commit was told.
        guard !session.isEnded, stored.position > session.cursor else { return }
        guard session.connection?.isOpen == true, link.lanes.takesLive,
            !link.lanes.waits(
                stored.message, delivery.priority, cursor: session.cursor, keepsPublisher: link.keepsPublisherOrder)
        else {
            return link.lanes.wait(
                stored.message,
                stored.position,
                delivery.priority,
                cursor: session.cursor,
                keepsPublisher: link.keepsPublisherOrder
            )
        }
        link.lanes.append(stored.message, stored.position, delivery)
        if session.room > 0 { feedLink(session, link, now) }
    }

    /// A link has a connection again. What the last one left open goes first.
    func resumeLanes(of link: Link, _ session: Session, _ now: Now) {
        link.lanes.resume(through: session.told)
        if let perSecond = link.settings.catchUpRate {
            link.lanes.rate = CatchUpRate(perSecond: perSecond, through: session.told, now.instant)
        }
        feedLink(session, link, now)
    }

    func linkLoaded(_ page: Page, _ session: Session, _ link: Link, _ now: Now) {
        let entries = link.lanes.sifted(page.entries)
        switch link.lanes.load {
        case .listed: link.lanes.hasListed(entries, through: page.end)
        case .page where session.page.isEmpty && link.lanes.next == nil:
            session.page = .init(entries)
            session.pageEnd = page.end
        case .page:
            link.lanes.next = page
            link.lanes.next?.entries = entries
        case nil: break
        }
        link.lanes.load = nil
        feed(session, now)
    }

    /// Sends as far as the window has room, and asks for what is to be sent next.
    func feedLink(_ session: Session, _ link: Link, _ now: Now) {
        guard session.connection?.isOpen == true else { return }
        while session.room > 0, sendNext(of: link, session, now) {}
        turnPage(of: link, session)
        loadNext(of: link, session)
        guard !link.lanes.isResuming, !session.isLoading, link.lanes.live.isEmpty, link.lanes.listed.isEmpty,
            session.page.isEmpty, !link.lanes.hasLists, session.cursor >= link.lanes.lastWaiting
        else { return }
        // All that is ahead of the cursor is in the window.
        session.cursor = max(session.cursor, link.lanes.lastLive)
        session.flow = .live
        link.lanes.isLive()
    }

    /// - Returns: false when there is nothing to send now.
    private func sendNext(of link: Link, _ session: Session, _ now: Now) -> Bool {
        turnPage(of: link, session)
        if let first = link.lanes.live.first?.position {
            let waiting = link.lanes.listed.first?.position ?? session.page.first?.position
            if link.lanes.isLiveTurn || waiting.map({ first < $0 }) ?? true { return sendLive(of: link, session, now) }
        }
        link.lanes.isLiveTurn = false
        if let position = link.lanes.listed.first?.position {
            guard !link.lanes.isBatchBacklog || mayCatchUp(at: position, of: link, now) else {
                return sendLive(of: link, session, now)
            }
            guard let entry = link.lanes.popListed() else { return false }
            guard entry.position > session.cursor, link.lanes.ahead.insert(entry.position).inserted else { return true }
            link.lanes.isLiveTurn = !link.lanes.isResuming
            send(entry.message, entry.position, entry.delivery, to: session, now)
            return true
        }
        guard !link.lanes.isResuming, let position = session.page.first?.position else { return false }
        if link.lanes.ahead.contains(position) {
            session.page.removeFirst()
            session.cursor = position
            return true
        }
        guard mayCatchUp(at: position, of: link, now), let entry = session.page.popFirst() else {
            return sendLive(of: link, session, now)
        }
        session.cursor = position
        link.lanes.isLiveTurn = true
        send(entry.message, position, entry.delivery, to: session, now)
        return true
    }

    private func sendLive(of link: Link, _ session: Session, _ now: Now) -> Bool {
        guard let next = link.lanes.popLive() else { return false }
        send(next.message, next.position, next.delivery, to: session, now)
        return true
    }

    /// Whether `catchup_rate` lets a message that waited go; else it is tried again when it does.
    private func mayCatchUp(at position: Position, of link: Link, _ now: Now) -> Bool {
        guard link.lanes.rate?.take(at: position, now.instant) == false, let rate = link.lanes.rate else { return true }
        if link.lanes.timer == nil { link.lanes.timer = timers.add(.catchUp(link), at: rate.next) }
        return false
    }

    func catchUpIsDue(of link: Link, _ now: Now) {
        link.lanes.timer = nil
        if let session = link.session { feed(session, now) }
    }

    private func turnPage(of link: Link, _ session: Session) {
        while session.page.isEmpty {
            session.cursor = max(session.cursor, session.pageEnd)
            guard let next = link.lanes.next else { return }
            session.page = .init(next.entries)
            session.pageEnd = next.end
            link.lanes.next = nil
        }
    }

    /// One page is asked for while another is being sent.
    private func loadNext(of link: Link, _ session: Session) {
        guard !session.isLoading, link.lanes.listed.isEmpty else { return }
        if link.lanes.isResuming, link.lanes.unsettled.isEmpty {
            link.lanes.isResuming = false
            if session.window.resendCount > 0 { forgetVanishedOpen(session) }
        }
        let positions = link.lanes.nextListed()
        if !positions.isEmpty {
            link.lanes.load = .listed
            return requestPage(session, listed: positions)
        }
        guard link.lanes.next == nil else { return }
        let end = session.page.isEmpty ? session.cursor : session.pageEnd
        guard end < link.lanes.lastWaiting else { return }
        link.lanes.load = .page
        requestPage(session, after: end)
    }

    /// All that was open was read again by its position: what did not come is no longer in the spool.
    private func forgetVanishedOpen(_ session: Session) {
        for entry in session.window.all where entry.needsResend && entry.share < 0 && entry.state != .released2 {
            giveUp(entry, of: session, .vanished)
        }
    }

    /// A message is settled, however it ended.
    func settledAhead(_ session: Session, _ position: Position) {
        guard let link = session.link, !link.lanes.ahead.isEmpty else { return }
        link.lanes.settled(position, &session.page, isLoading: session.isLoading)
    }

    /// What the spool knew of a link's queue when it was opened.
    func restoreLanes(of link: Link, _ session: Session, _ stored: SpoolContents.Receiver, _ lastPosition: Position) {
        if let waiting = stored.waiting {
            link.lanes.restore(waiting)
        } else if stored.depth > 0 {
            link.lanes.waiting.isUnknown(through: lastPosition)
        }
        for entry in session.window.all where entry.position > .zero && entry.state != .released2 {
            link.lanes.ahead.insert(entry.position)
        }
    }
}

extension Link {
    /// Whether what a publisher sent first goes first, over all its topics.
    var keepsPublisherOrder: Bool { settings.queueOrder == .publisher }
}
