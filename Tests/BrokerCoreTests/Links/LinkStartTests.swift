import BrokerCore
import MQTTCodec
import TestSupport
import Testing

@Suite("When links connect")
struct LinkStartTests {
    private static func site(
        _ start: LinkStart,
        _ change: (inout BrokerSettings) -> Void = { _ in }
    ) throws -> ShardHarness {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        link.start = start
        var settings = BrokerSettings()
        settings.links = [link]
        change(&settings)
        return ShardHarness(settings)
    }

    private static func link(_ broker: ShardHarness) throws -> Link { try #require(broker.shard.links.first) }

    private static func accepts(_ broker: ShardHarness) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
        return upstream
    }

    private static func tell(_ broker: ShardHarness, _ action: LinkAction) {
        broker.perform { shard, now in
            let isKnown = shard.act(action, onLink: "hub", now: now)
            #expect(isKnown)
        }
    }

    /// The upstream answers pings for so long.
    private static func pass(_ seconds: Int, _ broker: ShardHarness, _ upstream: ScriptedPeer) {
        for _ in 0..<seconds {
            broker.advance(.seconds(1))
            for packet in upstream.takes() {
                if packet == .pingReq { upstream.sends(.pingResp) }
                if case .publish(let publish) = packet, publish.qos == .atLeastOnce {
                    upstream.sends(.pubAck(id: publish.packetID))
                }
            }
        }
    }

    @Test("a window is open from its first minute to its last, over midnight too")
    func windows() {
        let night = DailyWindow(from: 120, to: 300)
        let late = DailyWindow(from: 22 * 60, to: 60)
        for (window, second, isOpen, change) in [
            (night, 7_199, false, 1), (night, 7_200, true, 10_800), (night, 17_999, true, 1),
            (night, 18_000, false, 75_600),
            (late, 0, true, 3_600), (late, 3_600, false, 75_600), (late, 79_199, false, 1), (late, 86_399, true, 3_601),
        ] {
            #expect(window.contains(second: second) == isOpen)
            #expect(window.untilChange(second: second) == change)
        }
    }

    @Test("a link that is started by hand waits for that, keeps what is for it, and ends by hand")
    func manual() throws {
        let broker = try Self.site(.manual)
        let link = try Self.link(broker)
        #expect(link.state == .disabled && broker.dials.isEmpty)
        broker.connects("a").sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1))
        #expect(broker.spool.rows == 1)
        Self.tell(broker, .start)
        let upstream = try Self.accepts(broker)
        #expect(upstream.takesMessages().map(\.text) == ["x"])
        // It comes back until it is stopped.
        upstream.vanishes()
        broker.advance(.seconds(10))
        let again = try Self.accepts(broker)
        Self.tell(broker, .stop)
        #expect(again.takes().last == .disconnect(reason: .success))
        #expect(again.isClosed && link.state == .disabled)
        broker.advance(.seconds(1_000))
        #expect(broker.dials.isEmpty)
    }

    @Test("a link that connects once tries until it was good, and no more")
    func once() throws {
        let broker = try Self.site(.once)
        let link = try Self.link(broker)
        let dial = try #require(broker.dials.first)
        broker.refuses(dial)
        #expect(link.state == .backingOff)
        broker.advance(.seconds(10))
        let upstream = try Self.accepts(broker)
        #expect(link.state == .live)
        upstream.vanishes()
        #expect(link.state == .idle)
        broker.advance(.seconds(1_000))
        #expect(broker.dials.isEmpty)
        Self.tell(broker, .start)
        _ = try Self.accepts(broker)
        #expect(link.state == .live)
    }

    @Test("a lazy link connects when something waits, and hangs up when nothing did for a minute")
    func lazy() throws {
        let broker = try Self.site(.lazy)
        let link = try Self.link(broker)
        #expect(link.state == .idle)
        broker.advance(.seconds(10))
        #expect(broker.dials.isEmpty)
        let client = broker.connects("a")
        client.sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1))
        broker.advance(.seconds(1))
        let upstream = try Self.accepts(broker)
        Self.pass(50, broker, upstream)
        #expect(!upstream.isClosed && broker.spool.rows == 0)
        client.sends(.publish(topic: "out/1", payload: "y", qos: .atLeastOnce, id: 2))
        Self.pass(50, broker, upstream)
        #expect(!upstream.isClosed)
        Self.pass(40, broker, upstream)
        #expect(upstream.isClosed && link.state == .idle)
        broker.advance(.seconds(100))
        #expect(broker.dials.isEmpty)
        client.sends(.publish(topic: "out/1", payload: "z", qos: .exactlyOnce, id: 3))
        broker.advance(.seconds(1))
        let again = try Self.accepts(broker)
        broker.settle()
        #expect(again.takesMessages().map(\.text) == ["z"])
    }

    @Test("a lazy link that left something when the node ended connects at once")
    func lazyRestart() throws {
        let broker = try Self.site(.lazy)
        broker.connects("a").sends(.publish(topic: "out/1", payload: "x", qos: .atLeastOnce, id: 1))
        broker.restarts()
        let upstream = try Self.accepts(broker)
        #expect(upstream.takesMessages().map(\.text) == ["x"])
    }

    @Test("a link with a window connects when it opens and hangs up when it closes, by the clock on the wall")
    func window() throws {
        // The harness starts at 08:00 UTC; here it is nine, and the window opens at ten.
        let broker = try Self.site(.window(DailyWindow(from: 600, to: 660))) {
            $0.secondsEastOfGreenwich = { _ in 3_600 }
        }
        #expect(broker.now.wall.microseconds / 1_000_000 % 86_400 == 8 * 3_600)
        let link = try Self.link(broker)
        #expect(link.state == .idle)
        broker.advance(.seconds(3_599))
        #expect(broker.dials.isEmpty)
        broker.advance(.seconds(1))
        let upstream = try Self.accepts(broker)
        Self.pass(3_599, broker, upstream)
        #expect(!upstream.isClosed)
        broker.advance(.seconds(1))
        #expect(upstream.isClosed && link.state == .idle)
        broker.advance(.seconds(3_600))
        #expect(broker.dials.isEmpty)
        Self.tell(broker, .start)
        #expect(!broker.dials.isEmpty)
        #expect(broker.shard.timerCount < 50)
    }

    @Test("a try that fails when the window has closed is not followed by another")
    func windowClosesDuringBackOff() throws {
        let broker = try Self.site(.window(DailyWindow(from: 420, to: 481)))
        let link = try Self.link(broker)
        for _ in 0..<100 {
            if let dial = broker.dials.first { broker.refuses(dial) }
            broker.advance(.seconds(2))
        }
        #expect(link.state == .idle && broker.dials.isEmpty)
    }

    @Test("a link that is paused sends nothing and hears all, also over its next connection", arguments: bothVersions)
    func pause(_ version: ProtocolVersion) throws {
        let broker = try Self.site(.automatic) { settings in
            settings.links[0].version = version
            settings.links[0].inRules = TopicFilter("in/#").map { [LinkRule(filter: $0)] } ?? []
        }
        let link = try Self.link(broker)
        var upstream = try Self.accepts(broker)
        upstream.sends(.subAck(id: upstream.takes().subscribeID, reasons: .success))
        Self.tell(broker, .pause)
        #expect(link.state == .paused)
        let client = broker.connects("a")
        client.sends(.subscribe(id: 1, filters: "in/#"))
        _ = client.takes()
        client.sends(.publish(topic: "out/1", payload: "1", qos: .atLeastOnce, id: 1))
        upstream.becomesWritable(true)
        upstream.receivesNothing()
        upstream.vanishes()
        broker.advance(.seconds(10))
        upstream = try Self.accepts(broker)
        upstream.sends(.subAck(id: upstream.takes().subscribeID, reasons: .success))
        upstream.becomesWritable(true)
        client.sends(.publish(topic: "out/1", payload: "2", qos: .atLeastOnce, id: 2))
        upstream.sends(.publish(topic: "in/1", payload: "down"))
        #expect(client.takesMessages().map(\.text) == ["down"])
        upstream.receivesNothing()
        #expect(link.state == .paused)
        Self.tell(broker, .resume)
        #expect(upstream.takesMessages().map(\.text) == ["1", "2"])
        #expect(link.state == .live)
    }

    @Test("nobody can tell a link that is not there")
    func unknown() throws {
        let broker = try Self.site(.automatic)
        broker.perform { shard, now in
            let isKnown = shard.act(.stop, onLink: "other", now: now)
            #expect(!isKnown)
        }
    }

    @Test("other settings start what was stopped, as they say")
    func reconfigured() throws {
        let broker = try Self.site(.automatic)
        Self.tell(broker, .stop)
        broker.dials.removeAll()
        broker.reconfigures { $0.links[0].keepAlive = .seconds(20) }
        #expect(broker.dials.count == 1)
        broker.dials.removeAll()
        broker.reconfigures { $0.links[0].start = .manual }
        #expect(broker.dials.isEmpty)
        #expect(try Self.link(broker).state == .disabled)
    }
}
