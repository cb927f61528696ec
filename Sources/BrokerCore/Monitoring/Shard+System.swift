package import MQTTCodec
import NIOCore

/// What the broker says of itself, under `$SYS`.
///
/// Whoever may subscribe to it hears it: wildcards at the first level do not match these topics [5:MQTT-4.7.2-1]
/// [311:MQTT-4.7.2-1], nobody but the server publishes to them, and access rules count as everywhere. Values are
/// retained in memory and said anew by the next start. They are about now, so they travel with QoS 0, and none of
/// them waits for anybody on disk.
extension Shard {
    /// Keeps a value and sends it to whoever subscribes to it, when it is another than before.
    ///
    /// - Parameter topic: begins with `$SYS/`.
    package func tell(_ topic: MQTTString, _ text: String, now: Now) {
        let payload = ByteBuffer(string: text)
        if let known = retained[topic: topic], known.payload == payload { return }
        let message = Message(
            id: ids.next(now.wall),
            topic: topic,
            payload: payload,
            qos: .atMostOnce,
            isRetained: true,
            properties: Properties(),
            expiry: nil
        )
        retained.set(message)
        say(message, now)
    }

    /// Says no more what was said.
    func untell(_ topic: MQTTString, now: Now) {
        guard retained[topic: topic] != nil else { return }
        retained.remove(topic)
        let message = Message(
            id: ids.next(now.wall),
            topic: topic,
            payload: ByteBuffer(),
            qos: .atMostOnce,
            isRetained: true,
            properties: Properties(),
            expiry: nil
        )
        say(message, now)
    }

    /// Says how the node is doing, under all names that are configured.
    package func report(_ node: NodeFigures, now: Now) {
        let (seconds, attoseconds) = now.instant.since(reportedAt).components
        reportedAt = now.instant
        var figures = figures(node, now: now)
        load.add(counters, dropped: figures.dropped, in: Double(seconds) + Double(attoseconds) / 1e18)
        figures.load = load
        for names in settings.systemNames {
            for (topic, text) in figures.topics(names, node: settings.nodeName.string) {
                tell(MQTTString(topic), text, now: now)
            }
        }
    }

    /// How the node is doing at this moment; its load is that of the last report.
    ///
    /// - Complexity: O(sessions).
    package func figures(_ node: NodeFigures, now: Now) -> SystemFigures {
        var figures = SystemFigures(
            version: node.version,
            uptimeSeconds: UInt64(clamping: now.instant.since(startedAt).components.seconds),
            wall: now.wall,
            counters: counters,
            clientsConnected: clientsConnected,
            clientsMaximum: clientsMaximum,
            clientsAway: 0,
            subscriptions: 0,
            sharedSubscriptions: 0,
            retained: retained.count,
            alarms: alarms,
            node: node,
            load: load
        )
        for case let session? in sessions where session.link == nil && session.group == nil {
            if session.connection == nil { figures.clientsAway += 1 }
            figures.subscriptions += session.subscriptions.count
            figures.sharedSubscriptions += session.shares.count
        }
        return figures
    }

    /// The handler made packets of so many bytes.
    @inline(__always)
    package func bytesArrived(_ count: Int) { counters.bytesReceived &+= UInt64(truncatingIfNeeded: count) }

    private func say(_ message: Message, _ now: Now) {
        // Most topics of the server have no listener, and are not worth a place in the cache of routes.
        guard router.hasListener(message.topic) else { return }
        var publication = Publication(message, properties: message.properties)
        let audience = audience(of: publication)
        if settings.keepsLedger { bookRouted(message, to: audience) }
        for (session, delivery) in audience.transient { deliver(delivery, to: session, &publication, now) }
    }
}
