import MQTTCodec
import NIOCore

/// Which of two values of a topic is the newer one, where they meet on their ways between nodes: the one with the larger
/// id, which is the time when it was published and the node where. It travels in the mark, so that all nodes decide alike
/// and keep the same value in the end, whatever order they heard of them in. Deletions have versions as well.
///
/// What comes without a mark, from clients and from brokers of others, is new when it comes.
extension Message {
    var version: MessageID { mark?.id ?? id }
}

extension Shard {
    /// Puts a message that was published with RETAIN in the place of what was there, in memory and into this turn's
    /// records; takes the flag from it when what is there is newer.
    ///
    /// - Returns: whether there is a record of it, that an answer has to wait for.
    func retain(_ publication: inout Publication, _ now: Now) -> Bool {
        let topic = publication.topic
        if let held = held(topic) {
            if let mark = publication.mark {
                if held.version > mark.id { publication.isRetained = false }
                guard mark.id > held.version else { return false }
            } else {
                outdate(held, by: &publication, now)
            }
        }
        let isOurs = publication.origin == nil
        if publication.payloadBytes == 0 {
            // [5:MQTT-3.3.1-6] [5:MQTT-3.3.1-7] [311:MQTT-3.3.1-10] [311:MQTT-3.3.1-11]
            // The last removal may still be on its way to the disk: a repeated one waits for it all the same.
            retained.remove(topic)
            guard keepsTombstones, !topic.isReserved else {
                store(.retainGone(topic: topic))
                return true
            }
            let message = publication.message(&ids, now)
            for gone in tombstones.insert(message) { store(.retainGone(topic: gone)) }
            store(.retain(message))
        } else {
            // [5:MQTT-3.3.1-5] [311:MQTT-3.3.1-5] Of QoS 0 too [311:MQTT-3.3.1-7].
            let message = publication.message(&ids, now)
            tombstones.remove(topic)
            retained.set(message, publisher: publication.subject, isOurs: isOurs)
            store(.retain(message))
        }
        return true
    }

    /// Whoever retains something looks at a few others, so that what has expired makes room faster than anything comes
    /// [5:MQTT-3.3.2-5]; when there is no room, at many.
    func forgetExpired(_ now: Now) {
        let isFull = retained.count >= settings.retainedMessagesMax
        for topic in retained.expired(at: now.wall, among: isFull ? 256 : 4) {
            retained.remove(topic)
            store(.retainGone(topic: topic))
        }
    }

    /// The value of a topic, or its deletion.
    func held(_ topic: MQTTString) -> Message? { retained[topic: topic] ?? tombstones[topic] }

    /// What the spool held.
    func restoreRetained(_ messages: [Message]) {
        var deletions: [Message] = []
        for message in messages {
            if message.payload.readableBytes > 0 { retained.set(message) } else { deletions.append(message) }
        }
        for message in deletions.sorted(by: { $0.id < $1.id }) {
            for gone in tombstones.insert(message) { store(.retainGone(topic: gone)) }
        }
    }

    private var keepsTombstones: Bool { !settings.links.isEmpty || !settings.linkUsers.isEmpty }

    /// The clock of the node where the value comes from may be ahead of ours: what is published here on top of it is
    /// newer all the same, and everybody has to see that.
    private func outdate(_ held: Message, by publication: inout Publication, _ now: Now) {
        let version = held.version
        guard publication.kept == nil, version.high < .max, !ids.isNext(now.wall, after: version) else { return }
        publication.mark = LinkMark(id: risenIDs.next(Timestamp(microseconds: version.high + 1)), hops: 0)
    }
}

extension MessageIDSource {
    fileprivate func isNext(_ wall: Timestamp, after version: MessageID) -> Bool {
        wall.microseconds > version.high || version <= latest
    }
}
