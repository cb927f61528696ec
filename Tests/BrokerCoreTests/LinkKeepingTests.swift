import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// What a link keeps for its upstream, and what it lets go so that the rest moves.
@Suite("What links keep and give up")
struct LinkKeepingTests {
    private static func settings(_ change: (inout LinkSettings) -> Void = { _ in }) throws -> BrokerSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        change(&link)
        var settings = BrokerSettings()
        settings.links = [link]
        settings.queueMessagesMax = 5
        return settings
    }

    private static func connect(
        _ broker: ShardHarness,
        isSessionPresent: Bool = false,
        _ change: (inout ConnAck) -> Void = { _ in }
    ) throws -> ScriptedPeer {
        let dial = try #require(broker.dials.first)
        let upstream = try #require(broker.accepts(dial))
        _ = upstream.takes()
        var ack = ConnAck(reason: .success, isSessionPresent: isSessionPresent)
        change(&ack)
        upstream.sends(.connAck(ack))
        return upstream
    }

    private static func drops(_ broker: ShardHarness) -> DropCounts {
        broker.shard.dropsOfReceivers.first { $0.kind == .link }?.counts ?? DropCounts()
    }

    // MARK: - QoS 0

    @Test("QoS 0 that came while the link was down is sent when it is back, in order, if it is to be kept in memory")
    func memory() throws {
        let broker = ShardHarness(try Self.settings { $0.keptQoS0 = .memory })
        let client = broker.connects("a")
        for number in 1...7 { client.sends(.publish(topic: "out/1", payload: "\(number)")) }
        // Five have room.
        #expect(Self.drops(broker)[.oldest] == 2)
        #expect(broker.spool.rows == 0)
        let upstream = try Self.connect(broker)
        client.sends(.publish(topic: "out/1", payload: "8"))
        #expect(upstream.takesMessages().map(\.text) == ["3", "4", "5", "6", "7", "8"])
        upstream.becomesWritable(false)
        client.sends(.publish(topic: "out/1", payload: "9"))
        #expect(upstream.takesMessages().isEmpty)
        upstream.becomesWritable(true)
        #expect(upstream.takesMessages().map(\.text) == ["9"])
    }

    @Test("QoS 0 that is kept on disk survives, and is sent once, in its place among the others")
    func disk() throws {
        let broker = ShardHarness(try Self.settings { $0.keptQoS0 = .disk })
        let client = broker.connects("a")
        for number in 1...7 {
            let qos: QoS = number % 3 == 0 ? .atLeastOnce : .atMostOnce
            client.sends(.publish(topic: "out/1", payload: "\(number)", qos: qos, id: qos == .atMostOnce ? 0 : 1))
        }
        #expect(broker.spool.rows == 7)
        let upstream = try Self.connect(broker)
        let messages = upstream.takesMessages()
        #expect(messages.map(\.text) == (1...7).map(String.init))
        #expect(messages.map(\.qos.rawValue) == [0, 0, 1, 0, 0, 1, 0])
        for message in messages where message.packetID > 0 { upstream.sends(.pubAck(id: message.packetID)) }
        #expect(broker.spool.rows == 0)
        client.sends(.publish(topic: "out/1", payload: "8"))
        #expect(upstream.takesMessages().map(\.text) == ["8"])
        #expect(broker.spool.rows == 0)
        #expect(Self.drops(broker).total == 0)
    }

    @Test("QoS 0 that is not kept is counted, by reason")
    func dropped() throws {
        let broker = ShardHarness(try Self.settings())
        let client = broker.connects("a")
        client.sends(.publish(topic: "out/1", payload: "1"))
        let upstream = try Self.connect(broker)
        upstream.becomesWritable(false)
        client.sends(.publish(topic: "out/1", payload: "2"))
        #expect(Self.drops(broker)[.away] == 1)
        #expect(Self.drops(broker)[.buffer] == 1)
    }

    // MARK: - What the upstream does not take

    @Test("what is larger than the upstream's packets is given up, before and after a reconnect, and the rest goes on")
    func tooLarge() throws {
        let broker = ShardHarness(try Self.settings())
        let client = broker.connects("a")
        let large = String(repeating: "x", count: 200)
        let upstream = try Self.connect(broker)
        client.sends(.publish(topic: "out/1", payload: large, qos: .exactlyOnce, id: 1))
        #expect(upstream.takesMessages().map(\.text) == [large])
        upstream.vanishes()
        broker.advance(.seconds(10))
        // It takes less than it did.
        let again = try Self.connect(broker, isSessionPresent: true) { $0.properties.maximumPacketSize = 100 }
        client.sends(.publish(topic: "out/2", payload: large, qos: .atLeastOnce, id: 2))
        client.sends(.publish(topic: "out/3", payload: "small", qos: .atLeastOnce, id: 3))
        let packets = again.takes()
        let messages = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(messages.map(\.text) == ["small"])
        // The upstream may have the first one, so that its identifier is released.
        let released = packets.compactMap { if case .pubRel(let ack) = $0 { ack.packetID } else { nil } }
        try #require(released.count == 1)
        again.sends(.pubComp(id: released[0]), .pubAck(id: messages[0].packetID))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    /// Closes whenever it is sent the bad one; settles what was sent before it.
    private static func closeAtBad(_ broker: ShardHarness, _ isSessionPresent: Bool) throws -> [String] {
        let upstream = try connect(broker, isSessionPresent: isSessionPresent)
        var heard: [String] = []
        for _ in 0..<20 {
            let packets = upstream.takes()
            if packets.isEmpty { break }
            for packet in packets {
                if case .pubRel(let ack) = packet { upstream.sends(.pubComp(id: ack.packetID)) }
                guard case .publish(let publish) = packet else { continue }
                heard.append(publish.text)
                if publish.text == "bad" {
                    upstream.vanishes()
                    return heard
                }
                if publish.qos == .atLeastOnce { upstream.sends(.pubAck(id: publish.packetID)) }
                if publish.qos == .exactlyOnce { upstream.sends(.pubRec(id: publish.packetID)) }
            }
        }
        return heard
    }

    @Test(
        "a message at which the upstream closes each time is sent alone, and given up in the end; the rest goes on",
        arguments: [QoS.atLeastOnce, .exactlyOnce], [true, false])
    func poison(_ qos: QoS, _ isSessionPresent: Bool) throws {
        let broker = ShardHarness(
            try Self.settings {
                $0.version = .v3_1_1
                $0.backoff.base = .seconds(9)
                $0.backoff.cap = .seconds(10)
            }
        )
        let client = broker.connects("a")
        for (id, text) in ["1", "bad", "2", "3"].enumerated() {
            client.sends(.publish(topic: "out/1", payload: text, qos: qos, id: UInt16(id + 1)))
            if qos == .exactlyOnce { client.sends(.pubRel(id: UInt16(id + 1))) }
        }
        var rounds: [[String]] = []
        while broker.spool.rows > 0, rounds.count < 20 {
            rounds.append(try Self.closeAtBad(broker, isSessionPresent))
            broker.advance(.seconds(12))
        }
        #expect(rounds.first == ["1", "bad"])
        #expect(rounds.dropFirst().dropLast().allSatisfy { $0 == ["bad"] })
        #expect((6...10).contains(rounds.dropLast().count))
        #expect(rounds.last == ["2", "3"])
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("a line that breaks in the midst of things loses nothing")
    func flapping() throws {
        let broker = ShardHarness(try Self.settings())
        let client = broker.connects("a")
        client.sends(.publish(topic: "out/1", payload: "1", qos: .atLeastOnce, id: 1))
        for _ in 0..<30 {
            let upstream = try Self.connect(broker, isSessionPresent: true)
            #expect(upstream.takesMessages().map(\.text) == ["1"])
            // The upstream is silent instead of closing.
            broker.advance(.seconds(200))
            #expect(upstream.isClosed)
            if broker.dials.isEmpty { broker.advance(.seconds(120)) }
        }
        #expect(broker.spool.rows == 1)
    }
}
