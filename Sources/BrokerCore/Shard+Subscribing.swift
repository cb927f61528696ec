import MQTTCodec

/// SUBSCRIBE, UNSUBSCRIBE and the replay of retained messages: §3.8 to §3.11.
extension Shard {
    func subscribeReceived(_ packet: Subscribe, _ session: Session, on connection: Connection, _ now: Now) {
        let limits = connection.door.limits
        if !limits.allowsWildcards, connection.version == .v5,
            packet.subscriptions.contains(where: \.filter.hasWildcard)
        {
            // [5:§3.2.2.3.11] CONNACK said so; version 3 could not be told and is refused filter by filter.
            return fail(connection, .wildcardSubscriptionsNotSupported, now)
        }
        let identifier = packet.properties.subscriptionIdentifiers.first
        var reasons: [ReasonCode] = []
        var isStored = false
        // [5:MQTT-3.8.4-5] [311:MQTT-3.8.4-4] filter by filter, one SUBACK.
        for entry in packet.subscriptions {
            if isOwnProbe(entry.filter.text, of: session) {
                reasons.append(.success)
                continue
            }
            if denial(of: entry.filter, by: session, on: connection, now) {
                // [5:§3.9.3] 0x87; version 3 knows 0x80 only.
                reasons.append(connection.version == .v5 ? .notAuthorized : .unspecifiedError)
                continue
            }
            if entry.filter.hasWildcard, !limits.allowsWildcards {
                // [311:MQTT-3.8.3-2]
                reasons.append(.unspecifiedError)
                continue
            }
            let filter = entry.filter.text
            let isNew = session.subscriptions[filter] == nil
            if isNew,
                session.subscriptions.count >= min(limits.subscriptionsMax ?? .max, settings.subscriptionsMax)
                    || hasNoPlace(in: entry.filter, for: session)
            {
                reasons.append(connection.version == .v5 ? .quotaExceeded : .unspecifiedError)
                continue
            }
            // What version 3 cannot say, the bridge bit says for all subscriptions: no echo, RETAIN as it was, and
            // retained messages only once, since an old one that is replayed at every reconnect would replace a newer
            // one that is still on its way here.
            var options = entry.options
            // [5:MQTT-3.2.2-10] whatever is asked for is accepted, and no more than there is granted.
            options.maximumQoS = min(options.maximumQoS, limits.maximumQoS)
            if session.isBridge {
                // Members of a group have no say in whose messages they get.
                options.noLocal = !entry.filter.isShared
                options.retainAsPublished = true
                options.retainHandling = .sendOnNewSubscription
            }
            subscribe(session, filter, options, identifier: identifier)
            if let receiver = session.receiver {
                store(
                    .subscribe(
                        receiver,
                        SubscriptionRecord(filter: filter, options: options, identifier: identifier)
                    )
                )
                isStored = true
            }
            reasons.append(options.maximumQoS.grantedReason)
            // [5:MQTT-3.3.1-9] [5:MQTT-3.3.1-10] [5:MQTT-3.3.1-11] the index first, then the store.
            let replaysRetained =
                switch options.retainHandling {
                // [5:§4.8.2] a group gets no retained messages: nobody could say which member should have them.
                case _ where entry.filter.isShared: false
                case .sendOnSubscribe: true
                case .sendOnNewSubscription: isNew
                case .doNotSend: false
                }
            if replaysRetained {
                session.startReplay(
                    of: filter,
                    maximumQoS: options.maximumQoS,
                    subscriptionIdentifiers: identifier.map { [$0] } ?? [],
                    change: retained.changes
                )
            }
        }
        // The answer first: what it makes known is replayed behind it.
        // [5:MQTT-3.8.4-1] [5:MQTT-3.8.4-2] [5:MQTT-3.8.4-6] [5:MQTT-3.8.4-7] [5:MQTT-3.9.3-1] [5:MQTT-2.2.1-6]
        // [311:MQTT-3.8.4-1] [311:MQTT-3.8.4-2] [311:MQTT-3.8.4-5] [311:MQTT-3.9.3-1] [311:MQTT-2.3.1-7]
        if isStored { session.changed = ticket }
        answer(.subAck(connection.subAck(packet.packetID, reasons)), on: connection, after: session.changed)
        feed(session, now)
    }

    /// Adds or replaces a subscription [5:MQTT-3.8.4-3] [311:MQTT-3.8.4-3]. What is queued or in flight is not touched, so
    /// that nothing is lost [5:MQTT-3.8.4-4].
    func subscribe(_ session: Session, _ filter: MQTTString, _ options: SubscriptionOptions, identifier: UInt32?) {
        // A replay that was begun goes on, unless it is started anew.
        let replay = session.subscriptions[filter]?.replay ?? 0
        session.subscriptions[filter] = Session.Subscription(options: options, identifier: identifier, replay: replay)
        if filter.isShared { return join(session, filter, options, identifier: identifier) }
        router.tree.insert(
            filter,
            SubscriptionTree.Subscriber(slot: session.slot, options: options, identifier: identifier)
        )
    }

    func unsubscribeReceived(_ packet: Unsubscribe, _ session: Session, on connection: Connection, _ now: Now) {
        var reasons: [ReasonCode] = []
        var isStored = false
        for filter in packet.filters {
            // [5:MQTT-3.10.4-1] [311:MQTT-3.10.4-1]
            guard session.subscriptions.removeValue(forKey: filter.text) != nil else {
                // [5:§3.11.3]
                reasons.append(.noSubscriptionExisted)
                continue
            }
            // [5:MQTT-3.10.4-2] [311:MQTT-3.10.4-2] no new message finds the way; [5:MQTT-3.10.4-3] [311:MQTT-3.10.4-3]
            // what was begun is in the window and stays there.
            if filter.isShared {
                leave(session, filter.text, now)
            } else {
                router.tree.remove(filter.text, slot: session.slot)
            }
            if let receiver = session.receiver {
                store(.unsubscribe(receiver, filter: filter.text))
                isStored = true
            }
            reasons.append(.success)
        }
        if isStored { session.changed = ticket }
        // [5:MQTT-3.10.4-4] [5:MQTT-3.10.4-5] [5:MQTT-3.10.4-6] [5:MQTT-3.11.3-1] [311:MQTT-3.10.4-4] [311:MQTT-3.10.4-5]
        // [311:MQTT-3.10.4-6] without properties, which could be too much [5:MQTT-3.11.2-1] [5:MQTT-3.11.2-2]: what was not there may be a change that is not on
        // disk yet, made over an earlier connection.
        answer(
            .unsubAck(UnsubAck(packetID: packet.packetID, reasons: connection.version == .v5 ? reasons : [])),
            on: connection,
            after: session.changed
        )
    }
}

extension QoS {
    /// SUBACK's word for it (§3.9.3).
    var grantedReason: ReasonCode {
        switch self {
        case .atMostOnce: .success
        case .atLeastOnce: .grantedQoS1
        case .exactlyOnce: .grantedQoS2
        }
    }
}
