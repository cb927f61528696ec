package import MQTTCodec

/// What operators do with the queue of a link while the node runs. What is in the queue they read from the spool; what
/// may be done with it is decided here, where it is known what the upstream may have already.
///
/// Nothing that is in flight is touched: it was sent, and the answer is missing. Whoever took such a message out could
/// not say whether the upstream has it.
extension Shard {
    /// A link by its name; one that is no longer configured has a queue as well.
    package func link(named name: MQTTString) -> Link? {
        links.first { $0.settings.name == name } ?? sleepingLinks[name]
    }

    /// Whether a link is configured.
    package func isConfigured(_ link: Link) -> Bool { links.contains { $0 === link } }

    /// The highest position that the queue of a link was told of.
    package func end(of link: Link) -> Position { link.session?.told ?? .zero }

    /// The positions of what the upstream of a link may have, and has not settled.
    package func inFlight(over link: Link) -> Set<Position> {
        Set(link.session?.window.all.lazy.map(\.position).filter { $0 > .zero } ?? [])
    }

    /// Nothing leaves over a link until `releaseQueue`. When the errand is done, what was settled before is on disk as
    /// such: what the spool shows as waiting from then on, and is not in flight, was never settled and will not leave.
    ///
    /// - Returns: what is in flight.
    package func holdQueue(of link: Link, errand token: UInt64) -> Set<Position> {
        link.isQueueHeld = true
        link.connection?.isWritable = false
        demand(token)
        return inFlight(over: link)
    }

    package func releaseQueue(of link: Link, now: Now) {
        link.isQueueHeld = false
        goOn(link, now)
    }

    /// Takes messages out of the queue of a link that is held.
    ///
    /// - Parameters:
    ///   - positions: ascending; those that are in flight stay.
    ///   - file: where they are now, if it is in a file.
    package func remove(
        _ positions: [Position],
        from link: Link,
        _ reason: RemovalReason,
        to file: CarriedFile? = nil,
        errand token: UInt64
    ) {
        guard let session = link.session else { return demand(token) }
        let inFlight = inFlight(over: link)
        let removed = positions.filter { !inFlight.contains($0) }
        if !removed.isEmpty {
            let gone = Set(removed)
            session.page.removeAll { gone.contains($0.position) }
            link.lanes.removed(gone, isLoading: session.isLoading)
            if session.isLoading { session.isPageStale = true }
            for position in removed { book(.dropped, session, nil, at: position) }
            store(.removed(link.receiver, removed, reason))
        }
        if let file { store(.carried(file)) }
        demand(token)
    }

    /// Puts messages that were in a file at the end of the queue of a link. They go out after the commit: until then
    /// nobody can say that they came in.
    package func enqueue(
        _ messages: [CarriedMessage],
        for link: Link,
        from file: CarriedFile,
        errand token: UInt64
    ) {
        for carried in messages { keep(carried, in: link) }
        store(.carried(file))
        demand(token)
    }

    /// Moves messages from one queue to the end of another, in one transaction.
    ///
    /// - Parameter messages: with their positions in the queue that they are in, ascending.
    package func move(
        _ messages: [(position: Position, message: CarriedMessage)],
        from origin: Link,
        to link: Link,
        errand token: UInt64
    ) {
        for (_, message) in messages { keep(message, in: link) }
        remove(messages.map(\.position), from: origin, .replayed, errand: token)
    }

    /// Puts a message at the end of a queue; it leaves after the commit.
    func keep(_ carried: CarriedMessage, in link: Link) {
        guard let session = link.session else { return }
        let message = carried.message
        var delivery = carried.delivery
        delivery.receiver = link.receiver
        let deliveries = [delivery]
        store(.message(message, deliveries: deliveries))
        let kind = Route.Kind(qos: delivery.qos, isRetained: delivery.isRetained)
        let audience = Audience(topic: message.topic, kind, durable: [session], deliveries: deliveries)
        if settings.keepsLedger { bookRouted(message, to: audience) }
        stored.append(StoredMessage(message: message, audience: audience, isCarried: true))
    }

    /// A link that nobody holds any more sends again what waits.
    func goOn(_ link: Link, _ now: Now) {
        guard !link.isHeld, let connection = link.connection else { return }
        // Should its buffer be full, the handler says so again.
        connection.isWritable = true
        if let session = link.session { feed(session, now) }
    }

    private func demand(_ token: UInt64) {
        // Whatever the mode of the spool is: who handles a queue is told what is so.
        store(.demandsSync)
        lastDemanded = ticket
        gate.hold(.errand(token), until: ticket)
    }
}
