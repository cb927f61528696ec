import MQTTCodec

/// What becomes of a link in time: probes, the end of connections, back-off.
extension Shard {
    // MARK: - Time

    /// A link waits for one thing at a time: a probe takes the place of the handshake's timeout.
    func setTimer(of link: Link, _ instant: Instant) {
        timers.cancel(link.timer)
        link.timer = timers.add(.link(link), at: instant)
    }

    func linkTimer(_ link: Link, _ now: Now) {
        link.timer = nil
        switch link.machine.phase {
        case .waiting, .idle: connectOrRest(link, now)
        case .handshaking:
            guard let connection = link.connection else { return }
            close(connection, reason: nil)
            lost(link, "no CONNACK in time", now, as: .stalled)
        case .probing, .moving: probeIsDue(link, now)
        case .dialing, .disabled: break
        }
    }

    /// Whoever takes a connection and says nothing gets the time of two probes, and no more than a client would.
    func handshakeTimeout(of link: Link) -> Duration {
        link.settings.probe.mode == .off
            ? link.settings.connectTimeout : min(link.settings.connectTimeout, link.settings.probe.every * 2)
    }

    private func probeIsDue(_ link: Link, _ now: Now) {
        guard let connection = link.connection, let session = link.session, !hangsUp(link, now) else { return }
        link.lookAtPace(now)
        noteEven(link)
        if link.machine.phase == .moving, now.instant.since(link.connectedAt) >= link.settings.backoff.stable {
            link.backoff.reset()
        }
        if session.inflight == 0, link.subscribePacketID == 0 { link.progressedAt = now.instant }
        // We are the ones who did not read: what the upstream answered has to be seen first.
        let isExcused = connection.isHeld || connection.wasHeld
        connection.wasHeld = false
        // What it sent, and we have no room for, may hide the answers that would make room: then it has to begin anew.
        if isExcused, !isFullOfStalled(connection) { link.progressedAt = now.instant }
        if link.probe.isStalled(isExcused: isExcused) {
            close(connection, reason: nil)
            return lost(link, "the upstream does not answer", now, as: .stalled)
        }
        if now.instant.since(link.progressedAt) >= link.settings.acknowledgementTimeout {
            close(connection, reason: nil)
            return lost(link, "the upstream acknowledges nothing", now, as: .stalled)
        }
        sendProbe(link, on: connection, now)
        armProbe(link, on: connection, now)
    }

    func armProbe(_ link: Link, on connection: Connection, _ now: Now) {
        let pause = min(probeInterval(of: link, on: connection), untilHangUp(link, now))
        setTimer(of: link, now.instant.advanced(by: pause))
    }

    // MARK: - The end of a connection

    func linkClosed(_ connection: Connection, reason: String?, _ now: Now) {
        connection.state = .closing
        forgetStalled(of: connection)
        guard let link = connection.link else { return }
        if link.returning.connection === connection { return returnFailed(link, now) }
        guard link.connection === connection else { return }
        if link.machine.phase == .handshaking, reason == nil {
            if link.route.closedSilently() { return tryNextVersion(link, now) }
            return lost(link, "the upstream closed the connection instead of answering CONNECT", now)
        }
        suspect(link, now)
        noteClosedOverProbe(link)
        lost(link, reason ?? "the connection was lost", now)
    }

    func linkFailed(_ link: Link, _ connection: Connection, _ text: String, _ now: Now) {
        if link.returning.connection === connection { return returnFailed(link, now) }
        guard link.connection === connection else { return }
        lost(link, "the upstream broke the protocol: \(text)", now)
    }

    /// The upstream refused a message for want of room. For the protocol it is settled [5:MQTT-4.4.0-2]; here it waits
    /// on in the spool, and goes out as new when the link has backed off.
    func upstreamHasNoRoom(_ link: Link, _ entry: PacketWindow.Entry, _ now: Now) {
        link.session?.window.remove(entry.packetID)
        link.underWay[entry.position] = nil
        if entry.position > .zero { link.lanes.ahead.insert(entry.position) }
        if entry.state != .published1 { store(.outboundComplete(link.receiver, packetID: entry.packetID)) }
        guard let connection = link.connection else { return }
        close(connection, reason: nil)
        lost(link, "the upstream has no room", now)
    }

    /// There is no connection any more, or none came to be.
    func lost(_ link: Link, _ reason: String, _ now: Now, as failure: LinkMachine.Failure = .lost) {
        detach(link)
        let wasGood = link.machine.phase == .moving
        guard [.dialing, .handshaking, .probing, .moving].contains(link.machine.phase) else { return }
        link.epoch &+= 1
        link.lastError = reason
        if adoptReturn(of: link, now) { return linkChanged(link, now) }
        if wasGood, link.settings.start == .once { return endOnce(link, reason, now) }
        let wasStable = wasGood && now.instant.since(link.connectedAt) >= link.settings.backoff.stable
        let isNews = link.machine.failures < link.settings.addressCount
        guard let pause = link.machine.failed(failure, hasNext: link.route.failed(wasStable: wasStable)) else { return }
        let wait = duration(of: pause, link)
        // The first failure is news, the hundredth of the same outage is not.
        outbox.notices.append(
            Notice(
                isNews ? .warning : .debug,
                "link down",
                link: link.settings.name,
                detail: "\(reason); next try \(wait == .zero ? "at once" : "in \(wait)")"
            )
        )
        linkChanged(link, now)
        if wait == .zero { dial(link, now) } else { setTimer(of: link, now.instant.advanced(by: wait)) }
    }

    private func endOnce(_ link: Link, _ reason: String, _ now: Now) {
        link.hadItsOnce = true
        link.machine.rest()
        let detail = "\(reason); it was to connect once"
        outbox.notices.append(Notice(.info, "link down", link: link.settings.name, detail: detail))
        linkChanged(link, now)
    }

    private func duration(of pause: LinkMachine.Pause, _ link: Link) -> Duration {
        switch pause {
        case .none: .zero
        case .backOff: link.backoff.next(&random)
        case .longest: link.backoff.longest(&random)
        }
    }

    /// What the link had over its connection waits for the next.
    func detach(_ link: Link) {
        noteEven(link)
        if let session = link.session, session.connection != nil {
            session.connection = nil
            session.epoch &+= 1
            link.lanes.detached(session.window, keepsPublisher: link.keepsPublisherOrder)
            timers.cancel(link.lanes.timer)
            link.lanes.timer = nil
            session.window.markAllForResend()
            session.flow = .behind
            session.page.removeAll()
            session.isLoading = false
        }
        link.connection?.session = nil
        link.connection = nil
        link.subscribePacketID = 0
    }

    /// The node shuts down, the link is not what it was any more, or somebody wants it to end.
    func stop(_ link: Link, _ now: Now) {
        hangUp(link)
        link.machine.disable()
        linkChanged(link, now)
    }

    /// Says DISCONNECT, if there is somebody to hear it, and wants nothing more of the line.
    func hangUp(_ link: Link) {
        link.epoch &+= 1
        timers.cancel(link.timer)
        link.timer = nil
        cancelReturn(of: link)
        guard let connection = link.connection else { return }
        if connection.isOpen {
            // Our will goes with DISCONNECT.
            notifyUpstream(link, "0")
            // Without session expiry: the upstream keeps our session.
            send(.disconnect(Disconnect(reason: .success)), on: connection)
        }
        close(connection, reason: nil)
        detach(link)
    }
}

extension ReasonCode {
    /// Whether a CONNECT that was refused with it may succeed soon: a server that is busy is not for ever.
    var mayPass: Bool {
        switch self {
        case .serverUnavailable, .serverBusy, .quotaExceeded, .connectionRateExceeded: true
        default: false
        }
    }
}
