import MQTTCodec

/// What is retained here goes to an upstream that may not have it: another one than the one that the link was at, or one
/// that has forgotten us.
extension Shard {
    /// The upstream has accepted us.
    func settleRetained(of link: Link, on connection: Connection, node: UInt64?, isOurs: Bool, isPresent: Bool) {
        let upstream = node.map(LinkHoldings.Upstream.node) ?? .address(link.route.address)
        let welcome: LinkHoldings.Welcome =
            node != nil || isOurs && isPresent
            ? .knowsUs : isPresent || link.settings.sessionExpiry == 0 ? .mayKnowUs : .forgot
        let record = link.lastPlace
        let missing = link.holdings.connected(to: upstream, welcome, record: record)
        if record != upstream.record {
            if let record { store(.unsubscribe(link.receiver, filter: record)) }
            let place = SubscriptionRecord(filter: upstream.record, options: SubscriptionOptions(), identifier: nil)
            store(.subscribe(link.receiver, place))
            link.lastPlace = upstream.record
        }
        if let missing { queueRetained(for: link, after: missing, knowsVersions: connection.carriesMarks) }
    }

    /// Queues what changed, deletions included.
    ///
    /// - Parameter knowsVersions: whether the upstream keeps what it has when that is newer. Of others nobody knows it, so
    ///   that they get what was published here, and not what they may have sent themselves.
    private func queueRetained(for link: Link, after mark: MessageID, knowsVersions: Bool) {
        let rules = link.settings.outRules
        var seen: Set<MQTTString> = []
        for rule in rules {
            let kept = retained.topics(matching: rule.filter.text).compactMap { retained[topic: $0] }
            for message in tombstones.matching(rule.filter) + kept {
                let topic = message.topic
                guard message.id > mark, !topic.isReserved, seen.insert(topic).inserted,
                    let passage = link.passage(of: topic, from: message.publisher)
                else { continue }
                if !knowsVersions, link.mayHaveBrought(topic, as: passage.name), !retained.isOurs(topic) { continue }
                queueRetained(message, for: link, by: rules[passage.rule])
            }
        }
    }

    /// Remembers how far the upstream has everything, if it has.
    func noteEven(_ link: Link) {
        guard let session = link.session, link.machine.phase == .moving, session.flow == .live, session.inflight == 0,
            gate.deliveries == 0, stored.isEmpty
        else { return }
        link.holdings.isEven(ids.latest)
    }
}

extension ConnAck {
    /// The number of the Drawbridge that says this; nil for brokers of others.
    var node: UInt64? {
        guard let property = properties.userProperties.first(where: { $0.name == LinkMark.name }) else { return nil }
        let text = property.value.string
        return text.hasPrefix("node=") ? UInt64(text.dropFirst(5), radix: 16) : nil
    }
}
