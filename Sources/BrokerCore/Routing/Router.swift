import MQTTCodec

/// One receiver of a topic: all matching subscriptions of a session, folded into one copy; or, where each is to bring
/// a copy of its own, one of them.
struct RouteTarget {
    let slot: Int32
    /// The highest granted QoS of the subscriptions that match [5:MQTT-3.3.4-2] [311:MQTT-3.3.5-1].
    var maximumQoS: QoS
    /// Only when every subscription that matches says so.
    var noLocal: Bool
    var retainAsPublished: Bool
    /// Of all of them [5:MQTT-3.3.4-3] [5:MQTT-3.3.4-4]; or, if each brings a copy, its own [5:MQTT-3.3.4-5].
    var subscriptionIdentifiers: [UInt32]
}

extension RouteTarget {
    fileprivate init(_ subscriber: SubscriptionTree.Subscriber) {
        self.init(
            slot: subscriber.slot,
            maximumQoS: subscriber.options.maximumQoS,
            noLocal: subscriber.options.noLocal,
            retainAsPublished: subscriber.options.retainAsPublished,
            subscriptionIdentifiers: subscriber.identifier.map { [$0] } ?? []
        )
    }

    /// Another subscription of the same session matches.
    fileprivate mutating func add(_ subscriber: SubscriptionTree.Subscriber) {
        maximumQoS = max(maximumQoS, subscriber.options.maximumQoS)
        noLocal = noLocal && subscriber.options.noLocal
        retainAsPublished = retainAsPublished || subscriber.options.retainAsPublished
        if let identifier = subscriber.identifier { subscriptionIdentifiers.append(identifier) }
    }
}

/// Who gets a topic, and what was found out about the messages that are published to it.
final class Route {
    let topic: MQTTString
    let targets: [RouteTarget]
    /// Slots of the sessions that do not want, in one subscription at least, what they publish themselves.
    let localOnes: Set<Int32>
    /// What is left of those for their own messages, where other subscriptions match as well [5:MQTT-3.8.3-3].
    let own: [Int32: RouteTarget]
    /// The audiences that all publishers have in common, by kind.
    private var audiences: [Audience?] = Array(repeating: nil, count: Kind.count)
    /// The same where a share group keeps the messages of a publisher together.
    var audiencesByPublisher: [PublisherKind: Audience] = [:]
    var isByPublisher = false
    /// Whether a link that names messages after their publishers may take it: then nothing is remembered.
    var isByClientID = false

    init(topic: MQTTString, targets: [RouteTarget], own: [Int32: RouteTarget]) {
        self.topic = topic
        self.targets = targets
        self.own = own
        localOnes = Set(targets.lazy.filter(\.noLocal).map(\.slot)).union(own.keys)
    }

    /// The receivers of what a publisher publishes: it may be one of them, by some of its subscriptions only.
    func targets(of publisher: Int32?) -> [RouteTarget] {
        guard let publisher, let left = own[publisher] else { return targets }
        return targets.map { $0.slot == publisher ? left : $0 }
    }

    subscript(kind: Kind) -> Audience? {
        get { audiences[kind.index] }
        set { audiences[kind.index] = newValue }
    }

    struct Kind {
        var qos: QoS
        var isRetained: Bool

        static let count = 6
        var index: Int { Int(qos.rawValue) * 2 + (isRetained ? 1 : 0) }
    }

    struct PublisherKind: Hashable {
        var qos: QoS
        var isRetained: Bool
        var publisher: UInt32?
    }
}

/// Who gets a topic: cached per topic, valid for one generation of the subscription tree.
///
/// A class, since whoever asks a struct that lies in a class may be given a copy of it with all that it refers to.
final class Router {
    var tree = SubscriptionTree()
    /// Whether overlapping subscriptions of a session bring one copy together.
    var foldsOverlapping = true {
        didSet { if foldsOverlapping != oldValue { forgetRoutes() } }
    }
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
    /// To whom the last message of each publisher went, by the end of its slot: most publish to one topic.
    private var recent: [Recent?] = Array(repeating: nil, count: Router.recentMax)
    private static let recentMax = 1_024

    /// The audience of a publisher's last message, when this one is another of its kind.
    ///
    /// - Complexity: one look at the topic.
    func recent(_ topic: MQTTString, _ kind: Route.Kind, of publisher: Int32) -> Audience? {
        let place = Int(publisher) & (Self.recentMax - 1)
        guard cachedGeneration == tree.generation, let last = recent[place], last.publisher == publisher,
            last.audience.kind.index == kind.index, last.audience.topic == topic
        else { return nil }
        return last.audience
    }

    func note(_ audience: Audience, of publisher: Int32) {
        let place = Int(publisher) & (Self.recentMax - 1)
        recent[place] = Recent(publisher: publisher, audience: audience)
    }

    private struct Recent {
        let publisher: Int32
        let audience: Audience
    }

    /// - Complexity: one hash and one comparison when the topic was seen in this generation.
    func route(_ topic: MQTTString) -> Route {
        if cachedGeneration != tree.generation || cache.count >= Self.cachedTopicsMax
            || cachedTargets >= Self.cachedTargetsMax || cachedTopicBytes >= Self.cachedTopicBytesMax
        {
            cache.removeAll(keepingCapacity: true)
            for place in recent.indices { recent[place] = nil }
            cachedTargets = 0
            cachedTopicBytes = 0
            cachedGeneration = tree.generation
        }
        if let route = cache[topic] { return route }
        let (targets, mixed) = match(topic)
        let route = Route(
            topic: topic,
            targets: targets.filter { mayReceive($0.slot, topic) },
            own: mixed.isEmpty ? [:] : match(topic, own: mixed)
        )
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

    /// False when no filter begins with this level, which is one that wildcards spare.
    func mayHaveListener(below level: MQTTString) -> Bool { tree.hasBranch(level) }

    /// What routes were made of has changed, other than subscriptions.
    func forgetRoutes() { cachedGeneration = 0 }

    /// - Returns: the receivers, and the slots of those that have matching subscriptions with and without No Local.
    private func match(_ topic: MQTTString) -> (targets: [RouteTarget], mixed: Set<Int32>) {
        var targets: [RouteTarget] = []
        var places: [Int32: Int] = [:]
        var mixed: Set<Int32> = []
        tree.forEachMatch(topic) { subscriber in
            guard foldsOverlapping, let place = places[subscriber.slot] else {
                places[subscriber.slot] = targets.count
                targets.append(RouteTarget(subscriber))
                return
            }
            if targets[place].noLocal != subscriber.options.noLocal { mixed.insert(subscriber.slot) }
            targets[place].add(subscriber)
        }
        return (targets, mixed)
    }

    /// What some receivers get of their own messages: by their subscriptions without No Local.
    private func match(_ topic: MQTTString, own slots: Set<Int32>) -> [Int32: RouteTarget] {
        var own: [Int32: RouteTarget] = [:]
        tree.forEachMatch(topic) { subscriber in
            guard slots.contains(subscriber.slot), !subscriber.options.noLocal else { return }
            if own[subscriber.slot]?.add(subscriber) == nil { own[subscriber.slot] = RouteTarget(subscriber) }
        }
        return own
    }
}
