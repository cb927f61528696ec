import MQTTCodec
import NIOCore

/// What a node says of its links, under `$SYS` and, where that is wanted, at the upstream.
extension Shard {
    /// Something happened to a link: whoever listens hears what it is now.
    func linkChanged(_ link: Link, _ now: Now) {
        let state = link.machine.state(isBehind: false)
        guard state != link.toldState else { return }
        link.toldState = state
        link.since = now.wall
        outbox.changedLinks.append(link)
        guard let status = link.settings.status else { return }
        tell(status.topic, link.machine.phase == .moving ? "1" : "0", now: now)
    }

    /// What a link that is gone, or that says it elsewhere, said of itself.
    func forgetStatus(of link: Link, _ now: Now) {
        link.toldState = nil
        guard let status = link.settings.status else { return }
        untell(status.topic, now: now)
        untell(status.detailTopic, now: now)
    }

    /// Says all there is to say of a link, if that is wanted.
    package func tellDetail(of link: Link, _ queue: LinkQueueFigures, now: Now) {
        guard let status = link.settings.status, status.hasDetail, links.contains(where: { $0 === link }) else {
            return
        }
        link.pace.look(at: link.traffic, now.instant)
        var members: [(name: String, value: String)] = [
            ("state", JSONText.quoted(link.state.rawValue)),
            ("since", "\(link.since.microseconds / 1_000_000)"),
            ("queue", "\(queue.messages)"),
            ("queue_bytes", "\(queue.bytes)"),
            ("oldest_s", queue.oldestSeconds.map { "\($0)" } ?? "null"),
            ("rate", SystemFigures.hundredths(link.pace.sentPerSecond)),
            ("rate_in", SystemFigures.hundredths(link.pace.receivedPerSecond)),
            ("last_error", link.lastError.map { JSONText.quoted($0) } ?? "null"),
        ]
        if let delay = link.probe.delay {
            let (seconds, attoseconds) = delay.components
            members.append(("probe_ms", "\(seconds * 1_000 + attoseconds / 1_000_000_000_000_000)"))
        }
        tell(status.detailTopic, JSONText.object(members), now: now)
    }

    // MARK: - The upstream

    /// What the upstream is to say of us when we are gone.
    func will(of link: Link) -> Connect.Will? {
        guard let status = link.settings.status, !status.isLocalOnly else { return nil }
        return Connect.Will(topic: status.topic, payload: ByteBuffer(string: "0"), qos: .atMostOnce, isRetained: true)
    }

    func notifyUpstream(_ link: Link, _ text: String) {
        guard let status = link.settings.status, !status.isLocalOnly, let connection = link.connection,
            connection.peerTakesRetained
        else { return }
        send(
            .publish(
                Publish(topic: status.topic, payload: ByteBuffer(string: text), qos: .atMostOnce, isRetained: true)
            ),
            on: connection
        )
    }
}
