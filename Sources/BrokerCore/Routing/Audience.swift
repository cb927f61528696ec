import MQTTCodec

/// Who gets the messages of one topic that have the same QoS, RETAIN flag and publisher, and how: found once and shared
/// by all of them.
final class Audience {
    let topic: MQTTString
    let kind: Route.Kind
    /// Receivers that the message is stored for.
    let durable: [Session]
    /// How each of `durable` gets it. All messages of an audience hand the same array to the spool, which notices.
    let deliveries: [Delivery]
    let transient: [(session: Session, delivery: TransientDelivery)]
    /// The links among the durable ones.
    let links: [MQTTString]
    /// Links that would carry the message if one of their rules had a name for it.
    let unnamed: [Session]
    /// Those of them who get another copy, and so on: one for each subscription that matches, if that is wanted.
    let further: Audience?

    init(
        topic: MQTTString,
        _ kind: Route.Kind,
        durable: [Session] = [],
        deliveries: [Delivery] = [],
        transient: [(session: Session, delivery: TransientDelivery)] = [],
        links: [MQTTString] = [],
        unnamed: [Session] = [],
        further: Audience? = nil
    ) {
        self.topic = topic
        self.kind = kind
        self.durable = durable
        self.deliveries = deliveries
        self.transient = transient
        self.links = links
        self.unnamed = unnamed
        self.further = further
    }

    /// Whether any of its copies is stored.
    var isDurable: Bool { !durable.isEmpty || further?.isDurable == true }

    /// Receivers that the message is routed to.
    var count: Int { durable.count + transient.count }
}

/// How a receiver that is not durable gets a message.
struct TransientDelivery {
    var qos: QoS
    var isRetained: Bool
    var subscriptionIdentifiers: [UInt32]
}

extension Delivery {
    /// - Parameter receiver: nil for one that is not durable.
    init(_ delivery: TransientDelivery, to receiver: ReceiverID?) {
        self.init(
            receiver: receiver ?? ReceiverID(0),
            qos: delivery.qos,
            isRetained: delivery.isRetained,
            subscriptionIdentifiers: delivery.subscriptionIdentifiers
        )
    }
}

extension Shard {
    /// Who gets a message.
    ///
    /// - Complexity: one look at its topic, when its publisher's last one was of its kind; the lookup of its route, when
    ///   the last one of its kind is known.
    func audience(of publication: borrowing Publication) -> Audience {
        let kind = publication.kind
        // What comes over a link never leaves over the same one.
        guard publication.origin == nil, let publisher = publication.publisher else {
            return audience(of: publication, kind, router.route(publication.topic))
        }
        if let known = router.recent(publication.topic, kind, of: publisher) { return known }
        let route = router.route(publication.topic)
        let audience = audience(of: publication, kind, route)
        if !route.isByPublisher, !route.isByClientID { router.note(audience, of: publisher) }
        return audience
    }

    private func audience(of publication: borrowing Publication, _ kind: Route.Kind, _ route: Route) -> Audience {
        // No Local, and the link that it came over, make an audience that is this publisher's own.
        let isCommon =
            publication.origin == nil && (publication.publisher.map { !route.localOnes.contains($0) } ?? true)
        if isCommon, !route.isByPublisher, let known = route[kind] { return known }
        if settings.sharedOrder == .publisher, hasGroup(route) { return audience(of: publication, route, isCommon) }
        let audience = makeAudience(of: publication, route.targets(of: publication.publisher))
        if isCommon, !route.isByClientID { route[kind] = audience }
        return audience
    }

    /// A share group that keeps publishers apart has to know whose message it is.
    private func audience(of publication: borrowing Publication, _ route: Route, _ isCommon: Bool) -> Audience {
        let publisher = publisherKey(of: publication)
        let kind = Route.PublisherKind(qos: publication.qos, isRetained: publication.isRetained, publisher: publisher)
        if isCommon, let known = route.audiencesByPublisher[kind] { return known }
        let audience = makeAudience(of: publication, route.targets(of: publication.publisher), publisher: publisher)
        route.isByPublisher = true
        guard isCommon, !route.isByClientID else { return audience }
        if route.audiencesByPublisher.count >= Self.audiencesMax { route.audiencesByPublisher.removeAll() }
        route.audiencesByPublisher[kind] = audience
        return audience
    }

    /// Of one topic, for different publishers.
    private static let audiencesMax = 256

    private func hasGroup(_ route: Route) -> Bool {
        route.isByPublisher || route.targets.contains { sessions[Int($0.slot)]?.group != nil }
    }

    private func makeAudience(
        of publication: borrowing Publication,
        _ targets: [RouteTarget],
        publisher: UInt32? = nil
    ) -> Audience {
        // Which rule of a link takes a message may depend on the very client that published it.
        if namesPublishers, targets.contains(where: { sessions[Int($0.slot)]?.link?.namesPublishers == true }) {
            router.route(publication.topic).isByClientID = true
        }
        guard settings.overlapping == .each else { return makeLayer(of: publication, targets, publisher, nil) }
        // The spool knows a message for a receiver by its position: each further copy is a message of its own.
        var layers: [[RouteTarget]] = [[]]
        var copies: [Int32: Int] = [:]
        for target in targets {
            let copy = copies[target.slot, default: 0]
            // A link goes by its own rules, of which the first that matches decides.
            if copy > 0, sessions[Int(target.slot)]?.link != nil { continue }
            copies[target.slot] = copy + 1
            if copy == layers.count { layers.append([]) }
            layers[copy].append(target)
        }
        var audience: Audience?
        for layer in layers.reversed() { audience = makeLayer(of: publication, layer, publisher, audience) }
        return audience ?? Audience(topic: publication.topic, publication.kind)
    }

    private func makeLayer(
        of publication: borrowing Publication,
        _ targets: [RouteTarget],
        _ publisher: UInt32?,
        _ further: Audience?
    ) -> Audience {
        var durable: [Session] = []
        var deliveries: [Delivery] = []
        var transient: [(session: Session, delivery: TransientDelivery)] = []
        var links: [MQTTString] = []
        var unnamed: [Session] = []
        for target in targets {
            guard let session = sessions[Int(target.slot)] else { continue }
            // [5:MQTT-3.8.3-3] No Local; and what came in over a link never leaves over the same one.
            if target.noLocal, target.slot == publication.publisher { continue }
            // [5:MQTT-3.8.4-8] [311:MQTT-3.8.4-6]
            var qos = min(publication.qos, target.maximumQoS)
            // [5:MQTT-3.3.1-12] [5:MQTT-3.3.1-13] [311:MQTT-3.3.1-9]
            var isRetained = target.retainAsPublished && publication.isRetained
            var priority = 0
            if let link = session.link {
                // The first rule that matches decides, under the same name that the message will be sent with.
                if publication.origin === link { continue }
                switch Link.way(of: publication.topic, from: publication.clientID, by: link.settings.outRules) {
                case .crosses(let rule, _):
                    qos = link.settings.outRules[rule].qos(for: publication.qos)
                    isRetained = link.settings.outRules[rule].retains(publication.isRetained)
                    priority = link.settings.outRules[rule].priority
                case .unnamed:
                    unnamed.append(session)
                    continue
                case .stays: continue
                }
            }
            var identifiers = target.subscriptionIdentifiers
            if session.group != nil {
                // The identifiers that its members see are their own; in their place travels whose message it is.
                identifiers = publisher.map { [$0] } ?? []
            }
            guard let receiver = session.receiver, qos > .atMostOnce else {
                let delivery = TransientDelivery(
                    qos: qos,
                    isRetained: isRetained,
                    subscriptionIdentifiers: identifiers
                )
                transient.append((session, delivery))
                continue
            }
            // [5:MQTT-4.5.0-1] [311:MQTT-4.5.0-1] connected or not [311:MQTT-3.1.2-5].
            durable.append(session)
            deliveries.append(
                Delivery(
                    receiver: receiver,
                    qos: qos,
                    isRetained: isRetained,
                    subscriptionIdentifiers: identifiers,
                    priority: UInt8(clamping: priority)
                )
            )
            if let link = session.link { links.append(link.settings.name) }
        }
        return Audience(
            topic: publication.topic,
            publication.kind,
            durable: durable,
            deliveries: deliveries,
            transient: transient,
            links: links,
            unnamed: unnamed,
            further: further
        )
    }
}
