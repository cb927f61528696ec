package import BrokerServer
package import MQTTCodec

/// Who takes part in a run: every client with what it publishes and what it hears.
package struct BenchPlan: Sendable {
    /// One client.
    package struct Role: Sendable {
        package var clientID: String
        /// What it subscribes to; nil for nothing.
        package var filter: TopicFilter?
        /// Publishers that it must hear; nil: whoever sends.
        package var hears: Range<Int>?
        /// What it publishes to; nil for nothing.
        package var topic: MQTTString?
        /// Its number among publishers.
        package var publisher = 0
        /// Which thread it lives on.
        package var thread: Int
        /// Its turn among the hosts, where there are several.
        package var turn = 0
    }

    package var roles: [Role] = []
    package private(set) var publishers = 0
    /// Subscribers that each message goes to; 0 when they are somewhere else.
    package private(set) var copies = 0

    private let settings: BenchSettings
    private let username: String

    package init(_ settings: BenchSettings) throws(UsageProblem) {
        self.settings = settings
        self.username = settings.client.connect.username?.string ?? ""
        let count = settings.count
        switch settings.scenario {
        case .conn:
            for index in 0..<count { roles.append(Role(clientID: id("c", index), thread: thread(index), turn: index)) }
        case .sub:
            for index in 0..<count { try subscribe(index, to: topic(id("s", index), index), hears: nil) }
        case .pub:
            for index in 0..<count { try publish(index, to: topic(id("p", index), index)) }
        case .pair, .backlog:
            copies = 1
            // Both of a pair say %c and mean one topic: the publisher's id.
            for index in 0..<count {
                try subscribe(index, to: own(topic(id("p", index), index)), hears: index..<index + 1)
            }
            // Not where its subscriber is: brokers that are joined carry every message from one to the other.
            for index in 0..<count { try publish(index, to: own(topic(id("p", index), index)), turn: index + 1) }
        case .fanin:
            copies = settings.shareName == nil ? settings.others : 1
            let all = topic("", 0).contains("/") ? "#" : "+"
            let filter = (settings.shareName.map { "$share/\($0)/" } ?? "") + own(all)
            for index in 0..<settings.others { try subscribe(index, to: filter, hears: 0..<count) }
            for index in 0..<count {
                try publish(index, to: own(topic(id("p", index), index)), thread: index + settings.others)
            }
        case .fanout:
            copies = count
            let topic = own(topic("", 0))
            for index in 0..<count { try subscribe(index, to: topic, hears: 0..<settings.others) }
            for index in 0..<settings.others { try publish(index, to: topic) }
        case .chat:
            copies = settings.groupSize
            for index in 0..<count { try chat(index, inGroup: index / copies) }
        case .idle:
            for index in 0..<count {
                let place = index % settings.topics
                try subscribe(index, to: own(topic(id("p", place), place)), hears: place..<place + 1)
            }
        }
    }

    /// The publishers of `idle`, who come when all have waited.
    package func probes() throws(UsageProblem) -> BenchPlan {
        var plan = self
        plan.roles = []
        for index in 0..<settings.topics { try plan.publish(index, to: own(topic(id("p", index), index))) }
        plan.copies = 1
        return plan
    }

    private func id(_ kind: String, _ index: Int) -> String { "\(settings.prefix)\(kind)\(number(index))" }

    /// From 1 on, as emqtt_bench counts.
    private func number(_ index: Int) -> Int { settings.startNumber + index + 1 }

    private func thread(_ index: Int) -> Int { index % settings.threads }

    private func topic(_ clientID: String, _ index: Int) -> String {
        settings.topic.text(username: username, clientID: clientID, number: number(index))
    }

    /// Below a level of this run's, so that runs do not hear one another.
    private func own(_ text: String) -> String { "\(settings.prefix)/\(text)" }

    private mutating func subscribe(_ index: Int, to text: String, hears: Range<Int>?) throws(UsageProblem) {
        guard let filter = TopicFilter(text) else {
            throw UsageProblem("Invalid subscription topic '\(text)', are all '+' and '#' wildcards correct?")
        }
        var role = Role(clientID: id("s", index), thread: thread(index))
        role.filter = filter
        role.hears = hears
        role.turn = roles.count
        roles.append(role)
    }

    /// A member of a group, which lives on one thread.
    private mutating func chat(_ index: Int, inGroup group: Int) throws(UsageProblem) {
        let text = own(topic(id("g", group), group))
        let members = group * copies..<(group + 1) * copies
        try subscribe(index, to: text, hears: members)
        let subscriber = roles.removeLast()
        try publish(index, to: text, thread: group)
        roles[roles.count - 1].filter = subscriber.filter
        roles[roles.count - 1].hears = subscriber.hears
    }

    private mutating func publish(
        _ index: Int,
        to text: String,
        thread: Int? = nil,
        turn: Int? = nil
    ) throws(UsageProblem) {
        let topic = MQTTString(text)
        guard TopicName.isValid(topic), topic.count <= CodecLimits.fieldBytesMax else {
            throw UsageProblem("Invalid publish topic '\(text)', does it contain '+' or '#'?")
        }
        var role = Role(clientID: id("p", index), thread: self.thread(thread ?? index))
        role.topic = topic
        role.publisher = publishers
        role.turn = turn ?? roles.count
        publishers += 1
        roles.append(role)
    }
}
