import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Clients with one filter each, asked through a whole shard: who gets a topic?
struct RouteTable {
    private let broker: ShardHarness
    private let publisher: ScriptedPeer
    private var subscribers: [(number: Int, peer: ScriptedPeer)] = []

    init() {
        var settings = BrokerSettings()
        // Some of the filters would hear of every client that comes.
        settings.systemNames = []
        broker = ShardHarness(settings)
        publisher = broker.connects("publisher")
    }

    mutating func subscribe(_ filter: String, _ number: Int) {
        let peer: ScriptedPeer
        if let known = subscribers.first(where: { $0.number == number }) {
            peer = known.peer
        } else {
            peer = broker.connects(MQTTString("subscriber-\(number)"))
            subscribers.append((number, peer))
        }
        peer.sends(.subscribe(id: 1, filters: filter))
        _ = peer.takes()
    }

    func unsubscribe(_ filter: String, _ number: Int) {
        for subscriber in subscribers where subscriber.number == number {
            subscriber.peer.sends(.unsubscribe(id: 2, filters: filter))
            _ = subscriber.peer.takes()
        }
    }

    /// A will may name no `$` topic and a client publish none; the gateway's door is open to the server itself.
    func route(_ topic: MQTTString) -> [Int] {
        let request = GatewayPublish(topic: topic, payload: ByteBuffer(), qos: .atMostOnce, isRetained: false)
        broker.perform { shard, now in shard.publish(request, token: 0, now: now) }
        return subscribers.filter { !$0.peer.takes().isEmpty }.map(\.number)
    }
}

@Suite("Tables against slow references")
struct TableTests {
    private static let words = ["a", "b", "", "$SYS", "é", "e\u{301}", "long-level-of-a-topic"]

    private static func topic(_ random: inout RandomSource) -> String {
        let levels = (0..<Int.random(in: 1...4, using: &random)).map { _ in
            words[Int.random(in: 0..<words.count, using: &random)]
        }
        let topic = levels.joined(separator: "/")
        return topic.isEmpty ? "a" : topic
    }

    private static func filter(_ random: inout RandomSource) -> String {
        var levels = topic(&random).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        for index in levels.indices where Int.random(in: 0..<3, using: &random) == 0 { levels[index] = "+" }
        if Int.random(in: 0..<3, using: &random) == 0 { levels[levels.count - 1] = "#" }
        return levels.joined(separator: "/")
    }

    @Test("the subscription tree agrees with TopicFilter.matches", arguments: 0..<10)
    func subscriptionTree(_ seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var table = RouteTable()
        var filters: [(number: Int, filter: TopicFilter)] = []
        for number in 0..<60 {
            let filter = try #require(TopicFilter(Self.filter(&random)))
            table.subscribe(filter.text.string, number)
            filters.append((number, filter))
        }
        for round in 0..<300 {
            let topic = MQTTString(Self.topic(&random))
            #expect(table.route(topic) == filters.filter { $0.filter.matches(topic) }.map(\.number), "\(topic)")
            if round % 10 == 0, !filters.isEmpty {
                let (number, filter) = filters.remove(at: Int.random(in: 0..<filters.count, using: &random))
                table.unsubscribe(filter.text.string, number)
            }
        }
    }

    @Test("a crowd with one filter comes and goes in any order", arguments: ["hall", "hall/#"])
    func crowd(_ filter: String) {
        var random = RandomSource(seed: 26)
        var table = RouteTable()
        var present: Set<Int> = []
        // Past the length at which a list is looked through no more, and back, several times.
        for size in [120, 10, 66, 64, 65, 63, 130, 0, 70] {
            while present.count != size {
                let number = Int.random(in: 0..<140, using: &random)
                let isAgain = present.contains(number) && Int.random(in: 0..<8, using: &random) == 0
                if present.count < size || isAgain {
                    table.subscribe(filter, number)
                    present.insert(number)
                } else {
                    table.unsubscribe(filter, number)
                    present.remove(number)
                }
            }
            #expect(Set(table.route("hall")) == present)
        }
    }

    @Test("retained messages are found by filters as TopicFilter.matches finds them", arguments: 0..<20)
    func retained(_ seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var retained = RetainedMessages()
        var topics: Set<MQTTString> = []
        for round in 0..<400 {
            let topic = MQTTString(Self.topic(&random))
            if Int.random(in: 0..<3, using: &random) == 0 {
                retained.remove(topic)
                topics.remove(topic)
            } else {
                retained.set(
                    Message(
                        id: MessageID(high: 0, low: UInt64(round)),
                        topic: topic,
                        payload: ByteBuffer(),
                        qos: .atMostOnce,
                        isRetained: true,
                        properties: Properties(),
                        expiry: nil
                    )
                )
                topics.insert(topic)
            }
            let filter = try #require(TopicFilter(Self.filter(&random)))
            let found = retained.topics(matching: filter.text)
            #expect(found.sorted() == topics.filter { filter.matches($0) }.sorted(), "\(filter)")
            // What the server keeps counts apart.
            #expect(retained.count == topics.count { !$0.string.hasPrefix("$") })
            #expect((retained[topic: topic] != nil) == topics.contains(topic))
        }
        for topic in topics { retained.remove(topic) }
        #expect(retained.count == 0)
        #expect(retained.topics(matching: "#").isEmpty)
    }

    @Test(
        "a packet window gives identifiers that are not 0 and not in use [5:MQTT-2.2.1-4] [311:MQTT-2.3.1-4]",
        arguments: 0..<20)
    func packetWindow(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var window = PacketWindow(firstID: UInt16.random(in: .min ... .max, using: &random))
        var reference: [UInt16: PacketWindow.Entry] = [:]
        for step in 0..<3000 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<4:
                guard reference.count < 300, let id = window.add(.published1, position: Position(UInt64(step))) else {
                    break
                }
                #expect(id != 0 && reference[id] == nil)
                reference[id] = PacketWindow.Entry(packetID: id, position: Position(UInt64(step)))
            case 4..<6:
                guard let id = reference.keys.sorted().randomElement(using: &random) else { break }
                window.remove(id)
                reference[id] = nil
            case 6:
                guard var entry = reference.keys.sorted().randomElement(using: &random).flatMap({ reference[$0] })
                else { break }
                entry.state = .released2
                entry.needsResend.toggle()
                window.update(entry)
                reference[entry.packetID] = entry
            default:
                let entry = PacketWindow.Entry(
                    packetID: UInt16.random(in: 1 ... .max, using: &random),
                    state: .published2,
                    needsResend: true,
                    position: Position(UInt64(step))
                )
                guard reference.count < 300, reference[entry.packetID] == nil else { break }
                window.restore(entry)
                reference[entry.packetID] = entry
            }
            #expect(window.count == reference.count)
            #expect(window.resendCount == reference.values.filter(\.needsResend).count)
        }
        for (id, entry) in reference {
            #expect(window[id]?.position == entry.position && window[id]?.state == entry.state)
        }
        window.markAllForResend()
        #expect(window.resendCount == reference.count)
        #expect(window.all.map(\.position) == reference.values.map(\.position).sorted())
    }

    @Test("a window gives all 65,535 identifiers and no more")
    func fullWindow() {
        var window = PacketWindow(firstID: 65_000)
        var seen: Set<UInt16> = []
        while let id = window.add(.published1, position: .zero) { #expect(seen.insert(id).inserted) }
        #expect(seen.count == 65_535)
        window.remove(77)
        #expect(window.add(.published1, position: .zero) == 77)
    }

    @Test("a million message ids are unique and sorted, also when the wall clock steps back")
    func messageIDs() {
        var source = MessageIDSource(
            node: .max, run: .max, mark: Timestamp(microseconds: 1000), wall: Timestamp(microseconds: 1000))
        var random = RandomSource(seed: 1)
        var last = MessageID(high: 0, low: 0)
        var isSorted = true
        for _ in 0..<1_000_000 {
            let id = source.next(Timestamp(microseconds: UInt64.random(in: 0..<1010, using: &random)))
            if (id.high, id.low) <= (last.high, last.low) { isSorted = false }
            last = id
        }
        #expect(isSorted)
        #expect(last.high > 1000)
        #expect(last.low >> 16 == 0xFFFF_FFFF_FFFF)
    }

    @Test("after a crash and a clock set back, ids begin after those that the disk has forgotten")
    func messageIDsAfterAStepBack() {
        let (mark, wall) = (Timestamp(microseconds: 1_000_000_000), Timestamp(microseconds: 700_000_000))
        var before = MessageIDSource(node: 1, run: 1, mark: mark, wall: mark)
        let forgotten = before.next(Timestamp(microseconds: 1_059_000_000))
        var source = MessageIDSource(node: 1, run: 2, mark: mark, wall: wall)
        #expect(source.next(wall).high > forgotten.high)
        // Where the clock is right, nothing is named after a time to come.
        var right = MessageIDSource(node: 1, run: 2, mark: mark, wall: mark)
        #expect(right.next(Timestamp(microseconds: 1_000_000_500)).high == 1_000_000_500)
    }

    @Test("two runs of a node name nothing alike, even if the clock says the same")
    func messageIDsOfRuns() {
        var names: Set<MessageID> = []
        for run in 0..<16 as Range<UInt64> {
            var source = MessageIDSource(
                node: 1, run: run, mark: Timestamp(microseconds: 7), wall: Timestamp(microseconds: 7))
            for _ in 0..<10_000 { names.insert(source.next(Timestamp(microseconds: 7))) }
        }
        #expect(names.count == 160_000)
    }

    @Test("back-off stays between base and cap and grows")
    func backoff() {
        var settings = BackoffSettings()
        settings.base = .milliseconds(100)
        settings.cap = .seconds(5)
        var backoff = Backoff(settings)
        var random = RandomSource(seed: 3)
        #expect(backoff.next(&random) <= .milliseconds(300))
        var longest = Duration.zero
        for _ in 0..<1000 {
            let wait = backoff.next(&random)
            #expect(wait >= settings.base && wait <= settings.cap)
            longest = max(longest, wait)
        }
        #expect(longest > .seconds(4))
        backoff.reset()
        #expect(backoff.next(&random) <= .milliseconds(300))
        settings.base = .seconds(10)
        var odd = Backoff(settings)
        #expect(odd.next(&random) == .seconds(5))
    }

    @Test(
        "topics cross a link under the name that the rule gives",
        arguments: [
            ("#", "", "", "", "a/b", "a/b"),
            ("#", "", "site/", "", "a/b", "site/a/b"),
            ("a/#", "a/", "", "", "a/b", "b"),
            ("a/#", "a/", "x/", "/y", "a/b", "x/b/y"),
            ("a/#", "a/", "", "", "a", nil),
            ("a/#", "", "", "", "b", nil),
            ("a", "a", "", "", "a", nil),
            ("a", "a", "b", "", "a", "b"),
            ("#", "", "+/", "", "a", nil),
            ("#", "", "", "", "$SYS/x", nil),
            ("é/+", "é/", "", "", "é/1", "1"),
        ] as [(String, String, String, String, String, String?)]
    )
    func mapping(
        _ filter: String,
        _ strip: String,
        _ prefix: String,
        _ suffix: String,
        _ topic: String,
        _ expected: String?
    ) throws {
        var rule = LinkRule(filter: try #require(TopicFilter(filter)))
        rule.stripPrefix = MQTTString(strip)
        rule.template = TopicTemplate(prefix: MQTTString(prefix), suffix: MQTTString(suffix))
        #expect(rule.map(MQTTString(topic)) == expected.map { MQTTString($0) })
    }
}
