import MQTTCodec

/// The return of a link to a better address of its upstream, once that answers. The connection that the link has stays
/// until the better one has said yes to our CONNECT, with the same client id: where both lead to one broker it takes the
/// session over, and where they lead to two, each has a session of ours.
extension Shard {
    /// A connection stands that is not the best: the better ones are asked as often as it proves to be stable.
    func planReturn(of link: Link, _ now: Now) {
        cancelReturn(of: link)
        guard link.route.hasBetter else { return }
        let wait = max(link.settings.backoff.stable, .milliseconds(100))
        link.returning.timer = timers.add(.linkReturn(link), at: now.instant.advanced(by: wait))
    }

    func cancelReturn(of link: Link) {
        timers.cancel(link.returning.timer)
        link.returning.timer = nil
        link.returning.route = nil
        link.returning.forgetDial()
        guard let connection = link.returning.connection else { return }
        link.returning.connection = nil
        close(connection, reason: nil)
    }

    func returnTimer(_ link: Link, _ now: Now) {
        link.returning.timer = nil
        if link.returning.connection != nil { return returnFailed(link, now) }
        guard link.session?.connection != nil, link.route.hasBetter else { return }
        link.returning.route = LinkRoute(
            addresses: link.route.address,
            order: .first,
            versions: link.settings.versions
        )
        dialReturn(link)
    }

    private func dialReturn(_ link: Link) {
        guard !isDraining, let route = link.returning.route else { return }
        outbox.dials.append(
            Outbox.Dial(
                link: link,
                name: link.settings.name,
                epoch: link.returning.dial(),
                address: route.address
            )
        )
    }

    /// A better address took the connection: CONNECT.
    func returnDialed(_ link: Link, _ connection: Connection, _ now: Now) -> Connection? {
        guard let route = link.returning.route else { return nil }
        link.returning.forgetDial()
        connection.version = route.version
        link.returning.connection = connection
        let deadline = now.instant.advanced(by: link.settings.connectTimeout)
        link.returning.timer = timers.add(.linkReturn(link), at: deadline)
        return connection
    }

    /// The better address did not answer as it should: the next one has its turn, or it is asked again later.
    func returnFailed(_ link: Link, _ now: Now) {
        timers.cancel(link.returning.timer)
        link.returning.timer = nil
        link.returning.forgetDial()
        if let connection = link.returning.connection {
            link.returning.connection = nil
            close(connection, reason: nil)
        }
        guard link.returning.route?.failed() == true else { return planReturn(of: link, now) }
        dialReturn(link)
    }

    func returnAnswered(_ packet: Packet, _ link: Link, _ connection: Connection, _ now: Now) {
        guard case .connAck(let ack) = packet else { return returnFailed(link, now) }
        if ack.reason == .unsupportedProtocolVersion, link.returning.route?.versionRefused() == true {
            link.returning.connection = nil
            close(connection, reason: nil)
            timers.cancel(link.returning.timer)
            link.returning.timer = nil
            return dialReturn(link)
        }
        guard ack.reason == .success else { return returnFailed(link, now) }
        outbox.notices.append(
            Notice(.info, "link returns to a better address", link: link.settings.name, detail: connection.peer)
        )
        if let left = link.connection {
            // DISCONNECT without session expiry: what that upstream still has for us stays there.
            notifyUpstream(link, "0")
            if left.isOpen { send(.disconnect(Disconnect(reason: .success)), on: left) }
            close(left, reason: nil)
            detach(link)
        }
        adopt(connection, link, now)
        linkHandshake(packet, on: connection, now)
    }

    /// The link lost its connection, or its try failed, while a better address is about to answer: that is waited for.
    func adoptReturn(of link: Link, _ now: Now) -> Bool {
        guard let connection = link.returning.connection, connection.state == .waitingForConnAck else {
            cancelReturn(of: link)
            return false
        }
        adopt(connection, link, now)
        setTimer(of: link, now.instant.advanced(by: link.settings.connectTimeout))
        return true
    }

    private func adopt(_ connection: Connection, _ link: Link, _ now: Now) {
        link.route.moved(to: link.returning.route?.address ?? 0, connection.version)
        link.returning.connection = nil
        cancelReturn(of: link)
        // Dials of the link that are under way are not wanted any more.
        link.epoch &+= 1
        link.connection = connection
        link.connectedAt = now.instant
        link.machine.moves()
    }
}
