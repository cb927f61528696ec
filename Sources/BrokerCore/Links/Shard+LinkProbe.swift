import MQTTCodec
import NIOCore

/// Asking an upstream whether anything moves.
extension Shard {
    /// A connection is accepted: its first probe goes out at once.
    func beginProbing(_ link: Link, _ session: Session, on connection: Connection, _ now: Now) {
        link.probe = LinkProbe()
        link.busyAt = now.instant
        if link.isHeld { connection.isWritable = false }
        linkChanged(link, now)
        if mayReturn(link, over: connection), let topic = TopicFilter(link.probeTopic.string),
            let id = session.window.addRequest()
        {
            link.probe.asked(id)
            // A subscription of its own, without No Local; our rules have that, each by itself.
            let options = SubscriptionOptions(maximumQoS: .atMostOnce, retainHandling: .doNotSend)
            let isFive = connection.version == .v5
            send(
                .subscribe(
                    Subscribe(
                        packetID: id,
                        subscriptions: [
                            Subscribe.Entry(
                                filter: topic,
                                options: isFive ? options : SubscriptionOptions(maximumQoS: .atMostOnce)
                            )
                        ]
                    )
                ),
                on: connection
            )
        }
        if link.settings.probe.mode == .auto { sendProbe(link, on: connection, now) }
        noteMoved(link, now)
    }

    /// Whether a message to ourselves can come back: not with the bridge bit, which is what it is for; and not where the
    /// upstream closed the connection over it again and again.
    private func mayReturn(_ link: Link, over connection: Connection) -> Bool {
        link.settings.probe.mode == .auto && (connection.version == .v5 || !link.settings.usesBridgeBit)
            && link.closedOverProbe < Self.closedOverProbeMax
    }

    /// One may be chance.
    private static let closedOverProbeMax = 2

    func noteClosedOverProbe(_ link: Link) {
        guard link.machine.isConnected, link.probe.isUnproven else { return }
        link.closedOverProbe += 1
    }

    /// - Returns: whether this SUBACK was the probe's.
    func probeSubscribed(_ ack: SubAck, _ link: Link, _ session: Session, _ now: Now) -> Bool {
        let isGranted = ack.reasons.first.map { !$0.isFailure } ?? false
        guard link.probe.subscribed(ack.packetID, isGranted: isGranted) else { return false }
        session.window.removeRequest(ack.packetID)
        if !isGranted { link.closedOverProbe = 0 }
        if let connection = link.connection { sendProbeMessage(link, on: connection, now) }
        return true
    }

    /// - Returns: whether this message was a probe: nobody else's business.
    func probeReturned(_ publish: Publish, _ link: Link, _ now: Now) -> Bool {
        guard publish.qos == .atMostOnce, publish.topic == link.probeTopic else { return false }
        let payload = String(buffer: publish.payload)
        if link.probe.returned(payload, epoch: link.epoch, now.instant) { link.closedOverProbe = 0 }
        return true
    }

    func sendProbe(_ link: Link, on connection: Connection, _ now: Now) {
        link.probe.begin()
        if link.probe.needsPing { send(.pingReq, on: connection) }
        sendProbeMessage(link, on: connection, now)
    }

    private func sendProbeMessage(_ link: Link, on connection: Connection, _ now: Now) {
        guard let payload = link.probe.send(epoch: link.epoch, now.instant) else { return }
        send(
            .publish(Publish(topic: link.probeTopic, payload: ByteBuffer(string: payload), qos: .atMostOnce)),
            on: connection
        )
    }

    /// Half of the keep-alive, so that one lost answer is noticed in time, no more than the acknowledgement timeout,
    /// which is looked at with every probe, and as often as is configured.
    func probeInterval(of link: Link, on connection: Connection) -> Duration {
        var interval = connection.keepAlive > .zero ? connection.keepAlive / 2 : .seconds(30)
        if link.settings.probe.mode == .auto { interval = min(interval, link.settings.probe.every) }
        return max(min(interval, link.settings.acknowledgementTimeout), .milliseconds(500))
    }

    /// The upstream has answered something: when it answered all that the link has to know, the link is live.
    func noteMoved(_ link: Link, _ now: Now) {
        guard link.machine.phase == .probing, link.subscribePacketID == 0,
            link.probe.isAnswered || link.settings.probe.mode == .off, link.machine.moved()
        else { return }
        link.lastError = nil
        linkChanged(link, now)
        notifyUpstream(link, "1")
    }
}
