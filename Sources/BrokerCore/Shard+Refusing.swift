import MQTTCodec
import NIOCore

/// Refusing a message before anything of it is delivered: the spool has no room or a sick disk, or a receiver that
/// must not lose anything is full.
///
/// Version 5 publishers hear 0x97 and the gateway answers 507. Version 3 has no word for it, and an upstream would take
/// any answer for an acknowledgement: their message waits, and what they publish behind it. A client is closed when
/// there is no room in time.
extension Shard {
    /// How long a version 3 publisher waits for room.
    static let stallTime = Duration.seconds(30)

    /// Whether a message would have to be stored for somebody for whom there is no room. QoS 0 never is refused: a
    /// retained message of QoS 0 is kept within the bounds of retained messages, and nothing waits for its commit.
    ///
    /// - Complexity: the lookup of its route; nobody has to ask while `mayLackRoom` says no.
    func hasNoRoom(for publication: borrowing Publication, storesIdentifier: Bool = false) -> Bool {
        guard publication.qos > .atMostOnce, mayLackRoom else { return false }
        var stores = storesIdentifier || publication.isRetained
        let publisher = publication.publisher
        let route = router.route(publication.topic)
        for target in route.targets(of: publisher) where target.maximumQoS > .atMostOnce {
            guard let session = sessions[Int(target.slot)], session.receiver != nil else { continue }
            if let link = session.link, !mayQueue(publication, link) { continue }
            // Nor does what a bridge sends go back to it: its own full queue must not hold it.
            if target.noLocal, target.slot == publisher { continue }
            if session.isFull {
                fullSession = session
                return true
            }
            stores = true
        }
        fullSession = nil
        return stores && spoolRefusal != nil
    }

    /// Whether the rules of a link store the message for it: what they exclude, or send with QoS 0, needs no room.
    private func mayQueue(_ publication: borrowing Publication, _ link: Link) -> Bool {
        guard publication.origin !== link else { return false }
        var clientID = publication.clientID
        if clientID == nil, link.namesPublishers, let slot = publication.publisher {
            clientID = sessions[Int(slot)]?.clientID
        }
        let way = Link.way(of: publication.topic, from: clientID, by: link.settings.outRules)
        guard case .crosses(let rule, _) = way else { return false }
        return link.settings.outRules[rule].qos(for: publication.qos) > .atMostOnce
    }

    /// Whether there is somebody for whom there is no room.
    var mayLackRoom: Bool { spoolRefusal != nil || fullReceivers > 0 }

    /// Counts a publish for which there was no room, and which says so to its sender.
    func refused() {
        counters.refused &+= 1
        fullSession?.refused &+= 1
    }

    /// Counts a publish of version 3 for which there was no room, and which waits.
    func heldBack() {
        // It is counted when it came, however often room is looked for.
        guard !isRetrying else { return }
        counters.heldBack &+= 1
        fullSession?.heldBack &+= 1
    }

    /// The message waits, and whatever is published behind it.
    func stall(_ packet: Publish, on connection: Connection, _ now: Now) {
        waitBehindStalled(packet, on: connection)
        stalledConnections.append(connection)
        if connection.link == nil { setTimer(of: connection, now.instant.advanced(by: Self.stallTime)) }
    }

    func waitBehindStalled(_ packet: Publish, on connection: Connection) {
        var packet = packet
        packet.payload = packet.payload.owned
        packet.properties.ownBytes()
        connection.stalled.append(packet)
        connection.stalledBytes += packet.bytes
        if isFullOfStalled(connection) { connection.isHeld = true }
    }

    /// As many are read as may wait for their release, and as many bytes as one packet may have; then reading pauses. Of
    /// an upstream all that it may send are read, unless they are very large: behind them come the answers that make room.
    func isFullOfStalled(_ connection: Connection) -> Bool {
        var bytesMax = settings.packetBytesMax
        if connection.link != nil { bytesMax = max(bytesMax, Self.stalledBytesOfLinkMax) }
        return connection.stalled.count >= stalledMax(of: connection) || connection.stalledBytes >= bytesMax
    }

    private static let stalledBytesOfLinkMax = 64 << 20

    func stalledMax(of connection: Connection) -> Int {
        guard let link = connection.link else { return settings.awaitingReleaseMax }
        return max(settings.awaitingReleaseMax, inflightMax(of: link, connection.version) + 1)
    }

    /// The connection ends, and what it published counts as never received.
    func forgetStalled(of connection: Connection) {
        guard !connection.stalled.isEmpty else { return }
        connection.stalled.removeAll()
        connection.stalledBytes = 0
        stalledConnections.removeAll { $0 === connection }
    }

    /// There may be room again.
    func retryStalled(_ now: Now) {
        let waiting = stalledConnections
        stalledConnections.removeAll()
        isRetrying = true
        defer { isRetrying = false }
        for connection in waiting {
            let packets = connection.stalled
            connection.stalled.removeAll()
            connection.stalledBytes = 0
            for packet in packets {
                guard connection.isOpen, let session = connection.session else { break }
                if connection.stalled.isEmpty {
                    publishReceived(packet, session, on: connection, now)
                } else {
                    waitBehindStalled(packet, on: connection)
                }
            }
            releaseIfReady(connection)
            guard connection.isOpen, connection.stalled.isEmpty else { continue }
            if connection.link == nil {
                timers.cancel(connection.timer)
                connection.timer = nil
                connection.lastReceived = now.instant
                if connection.keepAlive > .zero { armKeepAlive(connection) }
            }
        }
    }

    func refusalChanged(_ refusal: SpoolRefusal?, _ now: Now) {
        guard refusal != spoolRefusal else { return }
        spoolRefusal = refusal
        switch refusal {
        case .none:
            outbox.notices.append(Notice(.info, "the spool takes messages again"))
            retryStalled(now)
        case .some(let reason):
            outbox.notices.append(
                Notice(
                    .warning, "the spool refuses messages", detail: "\(reason.rawValue); QoS 0 and live delivery go on")
            )
        }
    }

    func fullnessChanged(of receiver: ReceiverID, isFull: Bool, _ now: Now) {
        guard let session = receivers[receiver] else {
            // Its session ended while it was full: who waited for its room waits no longer.
            if !isFull { retryStalled(now) }
            return
        }
        guard session.isFull != isFull else { return }
        session.isFull = isFull
        fullReceivers += isFull ? 1 : -1
        outbox.notices.append(
            Notice(
                isFull ? .warning : .info,
                isFull ? "queue full: publishers are refused" : "queue takes messages again",
                clientID: session.link == nil ? session.clientID : nil,
                link: session.link?.settings.name
            )
        )
        if !isFull { retryStalled(now) }
    }
}

extension Publish {
    /// About what it holds in memory.
    fileprivate var bytes: Int { 256 + topic.count + payload.readableBytes + properties.publishBytes }
}
