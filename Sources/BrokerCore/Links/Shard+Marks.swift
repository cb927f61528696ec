import MQTTCodec

/// Exactly once over links, and no loops: what a mark says of a message that comes in, and the mark of one that leaves.
extension Shard {
    /// Whether a message that came over a link was here already, in whatever way: then it is answered, and goes nowhere.
    ///
    /// - Parameter topic: the one that it has here.
    func wasHere(_ mark: LinkMark, as topic: MQTTString, _ now: Now) -> Bool {
        if let stream = mark.stream, streams.contains(mark.id, of: stream) {
            counters.repeatsOfLinks &+= 1
            return true
        }
        if mark.id.node == ids.node || mark.hops > settings.loop.hopsMax {
            counters.loopsCut &+= 1
            return true
        }
        if seen.contains(mark.id, as: topic, settings.loop.window, now.instant) {
            counters.loopsCut &+= 1
            return true
        }
        return false
    }

    /// The message is taken over, or needed not to be. What is known already is not written down again: it would push out
    /// what came before it.
    ///
    /// - Parameter qos: of QoS 2 it is remembered on disk, with everything else of this turn.
    func remember(_ mark: LinkMark, as topic: MQTTString, _ qos: QoS, isRepeated: Bool, _ now: Now) {
        if !isRepeated || !seen.contains(mark.id, as: topic, settings.loop.window, now.instant) {
            seen.insert(mark.id, as: topic)
        }
        guard qos > .atMostOnce, let stream = mark.stream, !streams.contains(mark.id, of: stream) else { return }
        streams.insert(mark.id, of: stream)
        if qos == .exactlyOnce { store(.streamSeen(stream, mark.id)) }
    }

    /// The mark of a message that leaves for a peer that wants it.
    func mark(of message: Message, for session: Session, _ qos: QoS) -> LinkMark {
        var mark = mark(of: message.id, message.mark)
        if qos > .atMostOnce, let receiver = session.receiver {
            mark.stream = StreamID(node: ids.node, receiver: receiver.number)
        }
        return mark
    }

    /// - Parameter came: the mark that the message came with.
    func mark(of id: MessageID, _ came: LinkMark?) -> LinkMark {
        guard let came else { return LinkMark(id: id, hops: 1) }
        return LinkMark(id: came.id, hops: came.hops == .max ? .max : came.hops + 1)
    }

    /// Whether a client is the link of another node: the operator says so, by its user name.
    func isLink(_ principal: Principal) -> Bool {
        guard let username = principal.username else { return false }
        return settings.linkUsers.contains(username)
    }

    /// Says to a link that a Drawbridge is here, which believes marks and sends them.
    var ownMark: Properties.UserProperty {
        Properties.UserProperty(LinkMark.name, MQTTString("node=\(String(ids.node, radix: 16))"))
    }
}

/// `[defaults.link] loop`: what stops a message that goes round.
package struct LoopSettings: Sendable, Equatable {
    /// `max_hops`: links that a message may cross; 1 to 255.
    package var hopsMax: UInt8 = 8
    /// `dedup_window`: for how long at most a message that came over one link is known when it comes over another.
    package var window: Duration = .seconds(600)

    package init() {}
}
