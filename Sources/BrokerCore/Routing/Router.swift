import MQTTCodec

/// One receiver of a topic: all matching subscriptions of a session, folded into one copy.
struct RouteTarget {
    let slot: Int32
    /// The highest granted QoS of the subscriptions that match [5:MQTT-3.3.4-2] [311:MQTT-3.3.5-1].
    var maximumQoS: QoS
    /// Only when every subscription that matches says so.
    var noLocal: Bool
    var retainAsPublished: Bool
    /// Of all of them [5:MQTT-3.3.4-3] [5:MQTT-3.3.4-4]; there is one copy, so none has an identifier of its own
    /// [5:MQTT-3.3.4-5].
    var subscriptionIdentifiers: [UInt32]
}

/// Who gets a topic, and what was found out about the messages that are published to it.
final class Route {
    let targets: [RouteTarget]
    /// Slots of the sessions that do not want what they publish themselves.
    let localOnes: Set<Int32>
    /// The audiences that all publishers have in common.
    var audiences: [Kind: Audience] = [:]
    /// The same where a share group keeps the messages of a publisher together.
    var audiencesByPublisher: [PublisherKind: Audience] = [:]
    var isByPublisher = false

    init(targets: [RouteTarget]) {
        self.targets = targets
        localOnes = Set(targets.lazy.filter(\.noLocal).map(\.slot))
    }

    struct Kind: Hashable {
        var qos: QoS
        var isRetained: Bool
    }

    struct PublisherKind: Hashable {
        var qos: QoS
        var isRetained: Bool
        var publisher: UInt32?
    }
}

/// Who gets a topic: cached per topic, valid for one generation of the subscription tree.
struct Router {
    var tree = SubscriptionTree()
    /// Whether the session in a slot may receive a topic; asked once for each route.
    var mayReceive: (_ slot: Int32, _ topic: MQTTString) -> Bool = { _, _ in true }
    private var cache: [MQTTString: Route] = [:]
    private var cachedGeneration: UInt64 = 0
    /// A flood of topics that nobody repeats must not fill the memory.
    private static let cachedTopicsMax = 16_384
    /// Nor must a thousand receivers of every topic: targets of all cached topics together.
    private static let cachedTargetsMax = 1 << 20
    private var cachedTargets = 0
    /// Topics may have 65,535 bytes each.
    private static let cachedTopicBytesMax = 16 << 20
    private var cachedTopicBytes = 0

    /// Complexity: one hash and one comparison when the topic was seen in this generation.
    mutating func route(_ topic: MQTTString) -> Route {
        if cachedGeneration != tree.generation || cache.count >= Self.cachedTopicsMax
            || cachedTargets >= Self.cachedTargetsMax || cachedTopicBytes >= Self.cachedTopicBytesMax
        {
            cache.removeAll(keepingCapacity: true)
            cachedTargets = 0
            cachedTopicBytes = 0
            cachedGeneration = tree.generation
        }
        if let route = cache[topic] { return route }
        let route = Route(targets: match(topic).filter { mayReceive($0.slot, topic) })
        cache[topic] = route
        cachedTargets += route.targets.count
        cachedTopicBytes += topic.count
        return route
    }

    /// Whether any filter matches the topic. Not cached, for topics that are rarely published to.
    func hasListener(_ topic: MQTTString) -> Bool {
        var isFound = false
        tree.forEachMatch(topic) { _ in isFound = true }
        return isFound
    }

    /// What routes were made of has changed, other than subscriptions.
    mutating func forgetRoutes() { cachedGeneration = 0 }

    private func match(_ topic: MQTTString) -> [RouteTarget] {
        var targets: [RouteTarget] = []
        var places: [Int32: Int] = [:]
        tree.forEachMatch(topic) { subscriber in
            let options = subscriber.options
            guard let place = places[subscriber.slot] else {
                places[subscriber.slot] = targets.count
                targets.append(
                    RouteTarget(
                        slot: subscriber.slot,
                        maximumQoS: options.maximumQoS,
                        noLocal: options.noLocal,
                        retainAsPublished: options.retainAsPublished,
                        subscriptionIdentifiers: subscriber.identifier.map { [$0] } ?? []
                    )
                )
                return
            }
            targets[place].maximumQoS = max(targets[place].maximumQoS, options.maximumQoS)
            targets[place].noLocal = targets[place].noLocal && options.noLocal
            targets[place].retainAsPublished = targets[place].retainAsPublished || options.retainAsPublished
            if let identifier = subscriber.identifier { targets[place].subscriptionIdentifiers.append(identifier) }
        }
        return targets
    }
}
