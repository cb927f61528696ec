package import MQTTCodec

/// What somebody may tell a link to do.
package enum LinkAction: String, Sendable, CaseIterable {
    /// Connect now, whatever the configuration says of when.
    case start
    /// Hang up and stay away. What is for the link waits on.
    case stop
    /// Send nothing more; the connection stays, and what comes in comes in.
    case pause
    case resume
}

/// When links connect, and what operators tell them.
extension Shard {
    /// A link begins, as it is configured.
    func begin(_ link: Link, _ now: Now) {
        guard !isDraining else { return }
        if case .manual = link.settings.start, !link.isForced {
            link.machine.disable()
            return linkChanged(link, now)
        }
        link.machine.restart()
        connectOrRest(link, now)
    }

    /// Dials when there is a reason to, and otherwise looks again when there may be one.
    func connectOrRest(_ link: Link, _ now: Now) {
        if hasReason(link, now) { return dial(link, now) }
        rest(link, now)
    }

    private func hasReason(_ link: Link, _ now: Now) -> Bool {
        if link.isForced { return true }
        return switch link.settings.start {
        case .automatic: true
        case .once: !link.hadItsOnce
        case .manual: false
        case .lazy: hasWork(link)
        case .window(let window): window.contains(second: secondOfDay(now))
        }
    }

    /// Whether something waits to go out, or an exchange is not over.
    private func hasWork(_ link: Link) -> Bool {
        guard let session = link.session else { return false }
        return link.hasBacklog || session.told > link.restedAt || session.window.count > 0 || !session.inbound.isEmpty
            || !session.queue.isEmpty
    }

    private func rest(_ link: Link, _ now: Now) {
        link.machine.rest()
        switch link.settings.start {
        case .lazy: setTimer(of: link, now.instant.advanced(by: LinkStart.lookEvery))
        case .window(let window): setTimer(of: link, now.instant.advanced(by: untilChange(of: window, now)))
        case .automatic, .once, .manual: break
        }
        linkChanged(link, now)
    }

    /// The clock on the wall may be set at any time: it is looked at every minute.
    private func untilChange(of window: DailyWindow, _ now: Now) -> Duration {
        .seconds(min(60, window.untilChange(second: secondOfDay(now))))
    }

    private func secondOfDay(_ now: Now) -> Int {
        let seconds = Int64(clamping: now.wall.microseconds / 1_000_000)
        let local = seconds &+ Int64(settings.secondsEastOfGreenwich(now.wall))
        return Int((local % 86_400 + 86_400) % 86_400)
    }

    /// A link that is connected asks at every probe whether it still has a reason to be.
    ///
    /// - Returns: whether it hung up.
    func hangsUp(_ link: Link, _ now: Now) -> Bool {
        guard !link.isForced else { return false }
        switch link.settings.start {
        case .automatic, .once, .manual: return false
        case .window(let window): guard !window.contains(second: secondOfDay(now)) else { return false }
        case .lazy:
            guard let session = link.session, session.flow == .live, session.window.count == 0,
                session.inbound.isEmpty
            else {
                link.busyAt = now.instant
                return false
            }
            link.hasBacklog = false
            if link.traffic.moved != link.movedBefore { link.busyAt = now.instant }
            link.movedBefore = link.traffic.moved
            guard now.instant.since(link.busyAt) >= LinkStart.idleTime else { return false }
            link.restedAt = session.told
        }
        hangUp(link)
        rest(link, now)
        return true
    }

    /// The next probe is no later than the end of a window.
    func untilHangUp(_ link: Link, _ now: Now) -> Duration {
        guard !link.isForced, case .window(let window) = link.settings.start else { return .seconds(86_400) }
        return untilChange(of: window, now)
    }

    // MARK: - Operators

    /// - Returns: false when no link has this name.
    package func act(_ action: LinkAction, onLink name: MQTTString, now: Now) -> Bool {
        guard let link = links.first(where: { $0.settings.name == name }) else { return false }
        guard !isDraining else { return true }
        outbox.notices.append(Notice(.info, "link told to \(action.rawValue)", link: name))
        switch action {
        case .start:
            if link.settings.start == .once { link.hadItsOnce = false } else { link.isForced = true }
            guard !link.machine.isConnected else { break }
            stop(link, now)
            begin(link, now)
        case .stop:
            link.isForced = false
            stop(link, now)
        case .pause:
            link.machine.isPaused = true
            link.connection?.isWritable = false
        case .resume:
            link.machine.isPaused = false
            goOn(link, now)
        }
        linkChanged(link, now)
        return true
    }
}
