package import MQTTCodec

/// Other settings for a shard that runs: whoever is not concerned does not notice.
extension Shard {
    /// Takes other settings, for what is decided from now on; nobody who is connected is disconnected for them. Then
    /// links: one that is new dials, one that is gone says DISCONNECT and sleeps, one that has changed connects anew
    /// and keeps its queue and its unfinished exchanges, the others stay as they are.
    ///
    /// `durability`, `durabilityRules` and `admission` must be what they were: the spool and whoever decides on logins
    /// know them too.
    ///
    /// - Parameters:
    ///   - new: with `access` of this shard when the rules are what they were.
    ///   - redialing: names of links that changed in what only the dialler knows: addresses, TLS.
    package func reconfigure(_ new: BrokerSettings, redialing: Set<MQTTString> = [], now: Now) {
        guard !isDraining else { return }
        // Audiences were made for the old order.
        if settings.sharedOrder != new.sharedOrder { router.forgetRoutes() }
        settings = new
        watchAges(now.instant)
        noteLevels(now.instant)
        setAccess(new.access, now: now)
        setLinks(new.links, redialing, now)
    }

    private func setLinks(_ wanted: [LinkSettings], _ redialing: Set<MQTTString>, _ now: Now) {
        let names = Set(wanted.map(\.name))
        var running: [MQTTString: Link] = [:]
        for link in links {
            if names.contains(link.settings.name) {
                running[link.settings.name] = link
            } else {
                sleep(link, now)
            }
        }
        links = wanted.map { settings in
            if let link = running[settings.name] {
                if link.settings != settings || redialing.contains(settings.name) { change(link, to: settings, now) }
                return link
            }
            if let link = sleepingLinks.removeValue(forKey: settings.name) {
                change(link, to: settings, now)
                return link
            }
            let link = makeLink(settings, nil, .zero)
            subscribeOutgoing(link)
            begin(link, now)
            return link
        }
        // Who waited for room in the queue of a link that takes nothing more waits no longer.
        if fullReceivers > 0 { retryStalled(now) }
    }

    /// The link is not configured any more. As after a start without it, nothing is routed to it, and what its queue
    /// holds stays in the spool: naming the link again brings it back.
    private func sleep(_ link: Link, _ now: Now) {
        stop(link, now)
        forgetStatus(of: link, now)
        unsubscribeOutgoing(link)
        forgetRetained(for: link)
        sleepingLinks[link.settings.name] = link
    }

    /// The link connects as it is configured now. Messages that wait for it, and exchanges that were begun, go on over
    /// the next connection as after any other loss of one.
    private func change(_ link: Link, to new: LinkSettings, _ now: Now) {
        stop(link, now)
        unsubscribeOutgoing(link)
        noteStaleFilters(of: link, new)
        if link.settings.status != new.status { forgetStatus(of: link, now) }
        if link.settings.start != new.start { link.isForced = false }
        link.hadItsOnce = false
        link.settings = new
        link.session?.clientID = new.clientID
        link.backoff = Backoff(new.backoff)
        link.closedOverProbe = 0
        link.route = LinkRoute(new)
        link.holdings.forgetAddresses()
        link.isEchoProven = false
        link.granted?.formIntersection(new.inRules.map(\.filter.text))
        link.lastError = nil
        subscribeOutgoing(link)
        // What its queue holds is not known here.
        link.hasBacklog = true
        begin(link, now)
    }

    private func noteStaleFilters(of link: Link, _ new: LinkSettings) {
        // Under another name the upstream has another session.
        guard link.settings.clientID == new.clientID else { return link.staleFilters.removeAll() }
        let isProbed = link.settings.probe.mode == .auto && link.settings.probe != new.probe
        let probed = isProbed ? TopicFilter(link.probeTopic.string).map { [$0] } ?? [] : []
        let known = link.staleFilters + link.settings.inRules.map(\.filter) + probed
        link.staleFilters.removeAll()
        for filter in known where !new.inRules.contains(where: { $0.filter.text == filter.text }) {
            if !link.staleFilters.contains(where: { $0.text == filter.text }) { link.staleFilters.append(filter) }
        }
    }
}
