package import MQTTCodec

/// Where a broker asks itself, over its link to another, whether anything moves: a topic of its own. It begins with `$`,
/// so that nobody sees it who subscribes to everything.
package enum ProbeTopic {
    private static let prefix = "$drawbridge/probe/"

    package static func standard(clientID: MQTTString) -> MQTTString {
        MQTTString(prefix + clientID.string.asTopicLevel)
    }

    package static func isOne(_ topic: MQTTString) -> Bool {
        topic.utf8.starts(with: prefix.utf8) && topic.count > prefix.utf8.count
    }
}

/// The other end: a client whose probes come to us.
extension Shard {
    /// Whether a topic is the one on which this client may talk to itself, whatever the access rules say: nobody else
    /// hears it, and nothing of it is kept.
    func isOwnProbe(_ topic: MQTTString, of session: Session) -> Bool {
        session.link == nil && ProbeTopic.isOne(topic) && topic == ProbeTopic.standard(clientID: session.clientID)
    }

    /// Probes wait behind nothing that waits for room: where that is, no link is to be given up for it.
    func isProbe(_ publish: Publish, _ session: Session) -> Bool {
        guard publish.qos == .atMostOnce else { return false }
        guard let link = session.link else { return isOwnProbe(publish.topic, of: session) }
        return publish.topic == link.probeTopic
    }

    /// Through the shard and back over the line of its sender, behind what waits to be sent there.
    func returnProbe(_ packet: Publish, on connection: Connection) {
        // As for any message of QoS 0.
        guard connection.isWritable, !isFull(connection) else { return }
        send(.publish(Publish(topic: packet.topic, payload: packet.payload)), on: connection)
    }
}
