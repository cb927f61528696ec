import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Which value of a topic stays, and what crosses a link because of it: versions, deletions, other upstreams.
@Suite("Retained messages over links, by version")
struct LinkRetainedVersionTests {
    private static func settings(_ change: (inout LinkSettings) -> Void = { _ in }) throws -> BrokerSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        let rule = LinkRule(filter: try #require(TopicFilter("a/#")))
        link.outRules = [rule]
        link.inRules = [rule]
        change(&link)
        var settings = BrokerSettings()
        settings.links = [link]
        return settings
    }

    private static func version(_ high: UInt64, node: UInt64 = 0xABC) -> MessageID {
        MessageID(high: high, low: node << 16 | 1)
    }

    /// The upstream takes the connection.
    ///
    /// - Parameter node: the number of a Drawbridge; nil for another broker.
    private static func connect(
        _ broker: ShardHarness,
        isSessionPresent: Bool = false,
        node: UInt64? = nil
    ) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        var ack = ConnAck(reason: .success, isSessionPresent: isSessionPresent)
        if let node {
            ack.properties.userProperties = [.init(LinkMark.name, MQTTString("node=\(String(node, radix: 16))"))]
        }
        upstream.sends(.connAck(ack))
        return upstream
    }

    /// All that came, acknowledged.
    private static func messages(_ upstream: ScriptedPeer) -> [Publish] {
        var all: [Publish] = []
        for _ in 0..<8 {
            for packet in upstream.takes() {
                switch packet {
                case .publish(let message) where !message.topic.string.hasPrefix("$"):
                    all.append(message)
                    if message.qos == .atLeastOnce { upstream.sends(.pubAck(id: message.packetID)) }
                case .subscribe(let subscribe):
                    upstream.sends(.subAck(id: subscribe.packetID, reasons: .grantedQoS1))
                default: break
                }
            }
        }
        return all
    }

    private static func send(
        _ upstream: ScriptedPeer,
        _ payload: String,
        _ version: MessageID? = nil,
        isRetained: Bool = true,
        id: UInt16 = 1
    ) {
        upstream.sends(
            .publish(
                Publish(
                    topic: "a/1",
                    payload: ByteBuffer(string: payload),
                    qos: .atLeastOnce,
                    packetID: id,
                    isRetained: isRetained,
                    mark: version.map { LinkMark(id: $0, hops: 1) }
                )
            )
        )
    }

    private static func retain(_ broker: ShardHarness, _ topic: MQTTString, _ payload: String, id: UInt16 = 1) {
        broker.connects("retainer")
            .sends(.publish(topic: topic, payload: payload, qos: .atLeastOnce, id: id, isRetained: true))
        broker.settle()
    }

    private static func reader(_ broker: ShardHarness) -> ScriptedPeer {
        let reader = broker.connects("reader")
        reader.sends(.subscribe(id: 1, filters: "a/#", options: SubscriptionOptions(maximumQoS: .atMostOnce)))
        _ = reader.takes()
        return reader
    }

    private static func kept(_ broker: ShardHarness, _ topic: MQTTString = "a/1") -> String? {
        broker.shard.retained[topic: topic].map { String(buffer: $0.payload) }
    }

    @Test("an older value does not take the place of a newer one, and arrives as any message does")
    func older() throws {
        let broker = ShardHarness(try Self.settings())
        let upstream = try Self.connect(broker, node: 0xABC)
        let reader = Self.reader(broker)
        Self.send(upstream, "new", Self.version(20))
        Self.send(upstream, "old", Self.version(10, node: 0xDEF), id: 2)
        #expect(reader.takesMessages().map(\.text) == ["new", "old"])
        #expect(Self.kept(broker) == "new")
        broker.advance(.seconds(3_600))
        // Nobody remembers that it was here, but it is what is retained.
        Self.send(upstream, "new", Self.version(20), id: 3)
        #expect(reader.takesMessages().isEmpty)
    }

    @Test("a deletion has a version as well: what is older does not come back to life, also after a restart")
    func tombstones() throws {
        let broker = ShardHarness(try Self.settings())
        let upstream = try Self.connect(broker, node: 0xABC)
        Self.send(upstream, "value", Self.version(10))
        Self.send(upstream, "", Self.version(30), id: 2)
        #expect(Self.kept(broker) == nil)
        Self.send(upstream, "between", Self.version(20, node: 0xDEF), id: 3)
        #expect(Self.kept(broker) == nil)
        broker.settle()
        broker.restarts()
        let again = try Self.connect(broker, isSessionPresent: true, node: 0xABC)
        Self.send(again, "late", Self.version(25, node: 0xDEF))
        #expect(Self.kept(broker) == nil)
        Self.send(again, "later", Self.version(40, node: 0xDEF), id: 2)
        #expect(Self.kept(broker) == "later")
    }

    @Test("what is published on top of a value from a clock that is ahead is newer, and says so")
    func clocks() throws {
        let broker = ShardHarness(try Self.settings())
        let upstream = try Self.connect(broker, node: 0xABC)
        let ahead = broker.now.wall.microseconds + 3_600_000_000
        Self.send(upstream, "theirs", Self.version(ahead))
        _ = Self.messages(upstream)
        Self.retain(broker, "a/1", "ours")
        let sent = try #require(Self.messages(upstream).first)
        let mark = try #require(sent.mark)
        #expect(mark.id.high == ahead + 1 && mark.hops == 1)
        Self.send(upstream, "theirs again", Self.version(ahead, node: 0xDEF), id: 2)
        #expect(Self.kept(broker) == "ours")
    }

    @Test("a deletion while the line is down arrives in its place")
    func deletionWhileDown() throws {
        let broker = ShardHarness(try Self.settings())
        Self.retain(broker, "a/1", "1")
        let upstream = try Self.connect(broker, node: 0xABC)
        #expect(Self.messages(upstream).map(\.text) == ["1"])
        upstream.vanishes()
        Self.retain(broker, "a/1", "2")
        Self.retain(broker, "a/1", "")
        Self.retain(broker, "a/2", "3")
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, isSessionPresent: true, node: 0xABC)
        let after = Self.messages(again)
        #expect(after.map(\.text) == ["2", "", "3"])
        #expect(after.allSatisfy { $0.isRetained })
    }

    @Test("another Drawbridge gets what it may lack, deletions included; one that only lost the session gets nothing")
    func failover() throws {
        let broker = ShardHarness(try Self.settings { $0.addressCount = 2 })
        Self.retain(broker, "a/1", "1")
        Self.retain(broker, "a/2", "2")
        let first = try Self.connect(broker, node: 1)
        #expect(Self.messages(first).count == 2)
        broker.advance(.seconds(20))
        first.vanishes()
        let second = try Self.connect(broker, node: 2)
        #expect(Self.messages(second).map(\.text) == ["1", "2"], "never there before")
        Self.retain(broker, "a/2", "")
        Self.retain(broker, "a/3", "3")
        #expect(Self.messages(second).map(\.text) == ["", "3"])
        broker.settle()
        second.vanishes()
        broker.advance(.seconds(200))
        let back = try Self.connect(broker, node: 1)
        #expect(Self.messages(back).map(\.text).sorted() == ["", "3"], "since it was left")
        broker.settle()
        back.vanishes()
        broker.advance(.seconds(200))
        let same = try Self.connect(broker, node: 1)
        #expect(Self.messages(same).isEmpty)
        broker.restarts()
        let known = try Self.connect(broker, node: 1)
        #expect(Self.messages(known).isEmpty, "the spool knows where it was")
        broker.restarts()
        let other = try Self.connect(broker, node: 2)
        #expect(Self.messages(other).map(\.text).sorted() == ["", "1", "3"])
    }

    @Test("a broker of others that lost our session gets what was published here again, and not what it sent")
    func forgetful() throws {
        let broker = ShardHarness(try Self.settings { $0.sessionExpiry = 3_600 })
        let upstream = try Self.connect(broker)
        Self.retain(broker, "a/2", "ours")
        Self.send(upstream, "theirs")
        #expect(Self.messages(upstream).map(\.text) == ["ours"])
        broker.settle()
        upstream.vanishes()
        broker.advance(.seconds(10))
        let same = try Self.connect(broker, isSessionPresent: true)
        #expect(Self.messages(same).isEmpty)
        same.vanishes()
        broker.advance(.seconds(10))
        let lost = try Self.connect(broker)
        #expect(Self.messages(lost).map(\.text) == ["ours"])
    }

    @Test("what an upstream of version 3 says again at each connect goes no further, unless it has changed")
    func replays() throws {
        let broker = ShardHarness(try Self.settings { $0.versions = [.v3_1_1] })
        let reader = Self.reader(broker)
        var upstream = try Self.connect(broker)
        Self.send(upstream, "1")
        #expect(reader.takesMessages().map(\.text) == ["1"])
        for _ in 0..<3 {
            upstream.vanishes()
            broker.advance(.seconds(10))
            upstream = try Self.connect(broker, isSessionPresent: true)
            Self.send(upstream, "1")
            #expect(reader.takesMessages().isEmpty)
            // Without RETAIN it is published now.
            Self.send(upstream, "1", isRetained: false, id: 2)
            #expect(reader.takesMessages().map(\.text) == ["1"])
        }
        upstream.vanishes()
        broker.advance(.seconds(10))
        Self.send(try Self.connect(broker, isSessionPresent: true), "2")
        #expect(reader.takesMessages().map(\.text) == ["2"])
        #expect(Self.kept(broker) == "2")
    }

    @Test("what an older broker retains does not undo what waits to go there")
    func oursWaits() throws {
        let broker = ShardHarness(try Self.settings { $0.versions = [.v3_1_1] })
        let upstream = try Self.connect(broker)
        Self.send(upstream, "theirs")
        _ = Self.messages(upstream)
        broker.settle()
        upstream.vanishes()
        Self.retain(broker, "a/1", "ours")
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, isSessionPresent: true)
        Self.send(again, "theirs")
        #expect(Self.kept(broker) == "ours")
        #expect(Self.messages(again).map(\.text) == ["ours"])
    }

    @Test("version 5 that publishes the same value anew is heard; said again in a new session it is not")
    func publishedAnew() throws {
        let broker = ShardHarness(try Self.settings())
        let reader = Self.reader(broker)
        let upstream = try Self.connect(broker)
        _ = Self.messages(upstream)
        Self.send(upstream, "1")
        Self.send(upstream, "1", id: 2)
        #expect(reader.takesMessages().count == 2)
        upstream.vanishes()
        broker.advance(.seconds(10))
        let same = try Self.connect(broker, isSessionPresent: true)
        Self.send(same, "1")
        #expect(reader.takesMessages().count == 1)
        same.vanishes()
        broker.advance(.seconds(10))
        let lost = try Self.connect(broker)
        Self.send(lost, "1")
        #expect(reader.takesMessages().isEmpty)
        Self.send(lost, "1", id: 2)
        #expect(reader.takesMessages().count == 1)
    }

    @Test("identifiers that an upstream begins and never releases do not stop the link, and serve for other messages")
    func unreleased() throws {
        let broker = ShardHarness(try Self.settings())
        var settings = broker.settings
        settings.awaitingReleaseMax = 4
        broker.reconfigures { $0 = settings }
        let reader = Self.reader(broker)
        var upstream = try Self.connect(broker)
        func send(_ id: UInt16, _ text: String, isDuplicate: Bool = false) {
            var publish = Publish(topic: "a/1", payload: ByteBuffer(string: text), qos: .exactlyOnce, packetID: id)
            publish.isDuplicate = isDuplicate
            upstream.sends(.publish(publish))
            broker.settle()
        }
        for id in UInt16(1)...10 {
            send(id, "\(id)")
            guard id % 2 == 0 else { continue }
            upstream.vanishes()
            broker.advance(.seconds(10))
            upstream = try Self.connect(broker, isSessionPresent: true)
        }
        for id in UInt16(11)...20 { send(id, "\(id)") }
        #expect(!upstream.isClosed)
        #expect(reader.takesMessages().map(\.text) == (1...20).map { "\($0)" })
        // Of these it has spoken, and of this one it speaks.
        send(20, "20")
        send(3, "3", isDuplicate: true)
        #expect(reader.takesMessages().isEmpty)
        send(4, "another")
        send(4, "another")
        #expect(reader.takesMessages().map(\.text) == ["another"])
        broker.restarts()
        upstream = try Self.connect(broker, isSessionPresent: true)
        let later = Self.reader(broker)
        send(4, "another", isDuplicate: true)
        #expect(later.takesMessages().isEmpty)
    }
}
