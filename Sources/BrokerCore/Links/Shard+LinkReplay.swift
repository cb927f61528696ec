import MQTTCodec

/// What an upstream retains and says again, because a link subscribes: nothing of it that has not changed goes any
/// further.
///
/// With marks that is certain: the message is the one that is retained here. Without them it is told by its content, once
/// for each topic after a SUBSCRIBE that may be answered so. Version 5 asks for it only where the subscription is new;
/// version 3 cannot ask, and says everything again at each connect. There RETAIN means that it is said again, unless the
/// upstream knows the bridge bit; then, and in version 5, it may as well be published anew with the same content, and
/// from when nothing was said again for a while it is taken for that.
struct LinkReplay {
    /// What counted as the last change of what is retained, at SUBSCRIBE.
    var change: UInt64
    /// Nil where RETAIN has no other meaning.
    var until: Instant?

    /// How long an upstream may say nothing in between.
    static let pause = Duration.seconds(30)
}

extension Shard {
    /// - Parameter isNew: whether the upstream has no subscriptions of ours, or not all of them.
    func expectReplay(of link: Link, isNew: Bool, on connection: Connection, _ now: Now) {
        let isFive = connection.version == .v5
        guard isNew || !isFive else { return link.replay = nil }
        let isCertain = !isFive && !link.settings.usesBridgeBit
        link.replay = LinkReplay(
            change: retained.changes,
            until: isCertain ? nil : now.instant.advanced(by: LinkReplay.pause)
        )
    }

    /// Whether the message is what is retained here already, by its mark.
    func isHeld(_ mark: LinkMark, _ publication: borrowing Publication) -> Bool {
        publication.isRetained && held(publication.topic)?.version == mark.id
    }

    /// Whether a message without a mark is one that the upstream retains, and that changes nothing here. Takes the flag
    /// from one that is older than what waits to go there.
    ///
    /// - Parameter topic: its name at the upstream.
    func isReplayed(_ publication: inout Publication, as topic: MQTTString, _ link: Link, _ now: Now) -> Bool {
        guard publication.isRetained, let replay = link.replay, publication.payloadBytes > 0 else { return false }
        if let until = replay.until, now.instant > until {
            link.replay = nil
            return false
        }
        let name = publication.topic
        if let message = retained.message(of: name, upTo: replay.change), message.payload == publication.payload,
            link.connection?.version != .v5 || message.hasSameProperties(as: publication.properties)
        {
            retained.touch(name)
            if replay.until != nil { link.replay?.until = now.instant.advanced(by: LinkReplay.pause) }
            counters.repeatsOfLinks &+= 1
            return true
        }
        guard let ours = held(name), tombstones[name] != nil || retained.isOurs(name),
            let known = link.holdings.heldByCurrent, ours.id > known,
            link.passage(of: name, from: ours.publisher)?.name == topic
        else { return false }
        publication.isRetained = false
        return replay.until == nil
    }
}

extension Message {
    /// Apart from how long it may live.
    fileprivate func hasSameProperties(as properties: Properties) -> Bool {
        var values = properties.values
        values.messageExpiryInterval = nil
        var others = Properties()
        others.values = values
        return self.properties == others
    }
}
