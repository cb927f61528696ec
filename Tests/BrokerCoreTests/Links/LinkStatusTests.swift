import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("What a node says of its links")
struct LinkStatusTests {
    private static let topic: MQTTString = "$SYS/broker/connection/site.hub/state"
    private static let detail: MQTTString = "$SYS/broker/connection/site.hub/detail"

    private static func site(_ change: (inout LinkStatusSettings) -> Void = { _ in }) throws -> ShardHarness {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        var status = LinkStatusSettings(topic: topic)
        change(&status)
        link.status = status
        var settings = BrokerSettings()
        settings.links = [link]
        return ShardHarness(settings)
    }

    private static func text(_ broker: ShardHarness, _ topic: MQTTString) -> String? {
        broker.shard.retained[topic: topic].map { String(buffer: $0.payload) }
    }

    @Test("1 while something moves, else 0, retained, as mosquitto has it")
    func state() throws {
        let broker = try Self.site()
        #expect(Self.text(broker, Self.topic) == "0")
        let reader = broker.connects("reader")
        reader.sends(.subscribe(id: 1, filters: "$SYS/broker/connection/+/state"))
        #expect(reader.takesMessages().map(\.text) == ["0"])
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        guard case .connect(let connect)? = upstream.takes().first else { return }
        #expect(connect.will == nil, "the upstream does not hear it unless it is to")
        upstream.sends(.connAck(ConnAck(reason: .success)))
        #expect(reader.takesMessages().map(\.text) == ["1"])
        upstream.receivesNothing()
        upstream.vanishes()
        #expect(reader.takesMessages().map(\.text) == ["0"])
        broker.reconfigures { $0.links = [] }
        #expect(Self.text(broker, Self.topic) == nil)
        #expect(reader.takesMessages().map(\.text) == [""])
        #expect(broker.spool.rows == 0)
    }

    @Test("the upstream hears it by a will and by word, where that is wanted")
    func upstream() throws {
        let broker = try Self.site { $0.isLocalOnly = false }
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        guard case .connect(let connect)? = upstream.takes().first else { return }
        let will = try #require(connect.will)
        #expect(will.topic == Self.topic && String(buffer: will.payload) == "0" && will.isRetained)
        upstream.sends(.connAck(ConnAck(reason: .success)))
        _ = upstream.receivesMessage(Self.topic, "1", isRetained: true)
        broker.perform { shard, now in shard.drain(now: now) }
        upstream.receives(
            .publish(topic: Self.topic, payload: "0", isRetained: true), .disconnect(reason: .success))
    }

    @Test("beside it stands all there is to say, as JSON")
    func detail() throws {
        let broker = try Self.site()
        let link = try #require(broker.shard.links.first)
        let since = broker.now.wall.microseconds / 1_000_000
        let dial = try #require(broker.dials.first)
        broker.refuses(dial)
        broker.perform { shard, now in
            shard.tellDetail(of: link, LinkQueueFigures(messages: 3, bytes: 40, oldestSeconds: 7), now: now)
        }
        let expected = """
            {"state":"backing off","since":\(since),"queue":3,"queue_bytes":40,"oldest_s":7,"rate":0.00,"rate_in":0.00,\
            "last_error":"nobody there"}
            """
        #expect(Self.text(broker, Self.detail) == expected)
        broker.reconfigures { $0.links[0].status?.hasDetail = false }
        #expect(Self.text(broker, Self.detail) == nil)
        #expect(Self.text(broker, Self.topic) == "0")
    }

    @Test("a topic of another name gets a level more for what is beside it")
    func names() {
        #expect(LinkStatusSettings(topic: Self.topic).detailTopic == Self.detail)
        #expect(LinkStatusSettings(topic: "links/hub").detailTopic == "links/hub/detail")
    }

    @Test("the pace is what moved since somebody looked, a second ago or more")
    func pace() {
        func at(_ seconds: Int) -> Instant { Instant(nanoseconds: 1_000_000_000).advanced(by: .seconds(seconds)) }
        var traffic = LinkTraffic()
        var pace = LinkPace()
        pace.look(at: traffic, at(0))
        traffic = LinkTraffic(sent: 100, received: 10)
        pace.look(at: traffic, Instant(nanoseconds: 1_500_000_000))
        #expect(pace.sentPerSecond == 0)
        pace.look(at: traffic, at(4))
        #expect(pace.sentPerSecond == 25 && pace.receivedPerSecond == 2.5)
        pace.look(at: traffic, at(5))
        #expect(pace.sentPerSecond == 0)
    }
}
