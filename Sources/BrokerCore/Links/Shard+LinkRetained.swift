import MQTTCodec

/// What is retained here and an upstream never got: it is queued once for each rule that is new, and from then on every
/// change is routed as any message, deletions included. Nothing that has not changed is sent again, whoever connects.
///
/// Which rules have had theirs stands in the spool, committed together with the messages: as subscriptions of the link's
/// receiver, which has no others there.
extension Shard {
    func queueRetained(for link: Link) {
        // Nothing that is retained here can have come from the upstream of a link that was not known before.
        let isNew = link.isNew
        link.isNew = false
        let rules = link.settings.outRules
        let marks = rules.map(\.retainedMark)
        for gone in link.retainedMarks.subtracting(marks).sorted() {
            store(.unsubscribe(link.receiver, filter: gone))
            link.retainedMarks.remove(gone)
        }
        let fresh = Set(marks.indices.filter { !link.retainedMarks.contains(marks[$0]) })
        guard !fresh.isEmpty else { return }
        // A topic that several of the filters match is queued once: by the rule that decides.
        var seen: Set<MQTTString> = []
        for index in fresh.sorted() {
            for topic in retained.topics(matching: rules[index].filter.text) {
                guard !topic.isReserved, seen.insert(topic).inserted, let message = retained[topic: topic],
                    let passage = link.passage(of: topic, from: message.publisher), fresh.contains(passage.rule)
                else { continue }
                if !isNew, link.mayHaveBrought(topic, as: passage.name) { continue }
                queueRetained(message, for: link, by: rules[passage.rule])
            }
            let mark = SubscriptionRecord(filter: marks[index], options: SubscriptionOptions(), identifier: nil)
            store(.subscribe(link.receiver, mark))
            link.retainedMarks.insert(marks[index])
        }
    }

    /// Nothing is routed to the link any more: what changes from now on it will not have, and gets when it is named again.
    func forgetRetained(for link: Link) {
        for mark in link.retainedMarks.sorted() { store(.unsubscribe(link.receiver, filter: mark)) }
        link.retainedMarks.removeAll()
        // Whoever is there then has none of it either.
        if let place = link.lastPlace { store(.unsubscribe(link.receiver, filter: place)) }
        link.lastPlace = nil
        link.holdings = LinkHoldings()
    }

    /// One that was retained with QoS 0 goes with QoS 1: a queue keeps no other.
    func queueRetained(_ message: Message, for link: Link, by rule: LinkRule) {
        let qos = rule.qos(for: max(message.qos, .atLeastOnce))
        guard rule.retain != .clear, qos > .atMostOnce, let session = link.session else { return }
        var delivery = Delivery(receiver: link.receiver, qos: qos, isRetained: true)
        // What is published to the topic next goes by that as well, and must not go first.
        delivery.priority = UInt8(clamping: rule.priority)
        book(.replayed, session, message, qos, isRetained: true, [])
        store(.message(message, deliveries: [delivery]))
        let kind = Route.Kind(qos: qos, isRetained: true)
        let audience = Audience(topic: message.topic, kind, durable: [session], deliveries: [delivery])
        stored.append(StoredMessage(message: message, audience: audience))
    }
}

extension Link {
    /// Whether what is retained under this topic may have come in over this link, and would only go back.
    func mayHaveBrought(_ topic: MQTTString, as name: MQTTString) -> Bool {
        guard case .crosses(_, topic) = Self.way(of: name, by: settings.inRules) else { return false }
        return true
    }
}

extension Link {
    /// What the spool has of it, beside its queue.
    func restoreRetained(_ records: [SubscriptionRecord]) {
        let places = records.map(\.filter).filter { $0.string.hasPrefix(LinkHoldings.Upstream.recordPrefix) }
        lastPlace = places.last
        retainedMarks = Set(records.map(\.filter)).subtracting(places)
    }
}

extension LinkRule {
    /// What a rule does to topics, as text: a rule that does otherwise is a new one.
    fileprivate var retainedMark: MQTTString {
        let parts =
            [filter.text.string, retain.rawValue, stripPrefix.string] + template.pieces.map { "\($0)" }
            + exclude.map(\.text.string)
        return MQTTString(parts.joined(separator: " "))
    }
}
