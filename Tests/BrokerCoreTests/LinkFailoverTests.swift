import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// Links with several addresses and versions: where they go, and what becomes of what is on its way.
@Suite("Links between addresses and versions")
struct LinkFailoverTests {
    private static func settings(
        addresses: Int = 2,
        _ change: (inout LinkSettings) -> Void = { _ in }
    ) throws -> BrokerSettings {
        var link = LinkSettings(name: "hub", clientID: "site-7")
        link.addressCount = addresses
        link.outRules = [LinkRule(filter: try #require(TopicFilter("out/#")))]
        change(&link)
        var settings = BrokerSettings()
        settings.links = [link]
        return settings
    }

    /// The upstream at the address takes the connection, and CONNECT is on its way.
    private static func accept(_ broker: ShardHarness, at address: Int) throws -> (ScriptedPeer, Connect) {
        let dial = try #require(broker.dials.first)
        #expect(dial.address == address)
        let upstream = try #require(broker.accepts(dial))
        guard case .connect(let connect)? = upstream.takes().first else { throw Missing() }
        return (upstream, connect)
    }

    private struct Missing: Error {}

    private static func connect(
        _ broker: ShardHarness,
        at address: Int,
        isSessionPresent: Bool = false
    ) throws -> ScriptedPeer {
        let (upstream, _) = try accept(broker, at: address)
        upstream.sends(.connAck(ConnAck(reason: .success, isSessionPresent: isSessionPresent)))
        return upstream
    }

    /// Time passes, and the upstream answers pings.
    private static func pass(_ seconds: Int, _ broker: ShardHarness, with upstream: ScriptedPeer) {
        for _ in 0..<seconds {
            broker.advance(.seconds(1))
            if upstream.takes().contains(.pingReq) { upstream.sends(.pingResp) }
        }
    }

    // MARK: - Versions

    @Test("an upstream that refuses version 5 is asked again at once in 3.1.1, whichever way it says so")
    func refusedVersion() throws {
        let refusals: [[UInt8]] = [[0x20, 3, 0, 0x84, 0], [0x20, 2, 0, 1]]
        for refusal in refusals {
            let broker = ShardHarness(try Self.settings(addresses: 1) { $0.versions = [.v5, .v3_1_1] })
            let (five, connect) = try Self.accept(broker, at: 0)
            #expect(connect.version == .v5)
            var bytes = ByteBuffer(bytes: refusal)
            var decoder = PacketDecoder(role: .client, version: .v5)
            do throws(DecodeError) {
                if let packet = try decoder.next(from: &bytes) { five.sends(packet) }
            } catch {
                broker.perform { $0.decodeFailed(error, version: .v5, on: five.connection, now: $1) }
            }
            #expect(five.isClosed)
            let (three, again) = try Self.accept(broker, at: 0)
            #expect(again.version == .v3_1_1)
            three.sends(.connAck(ConnAck(reason: .success)))
            #expect(broker.shard.links.first?.state == .live)
            // The next connection asks for what is wanted most again.
            three.vanishes()
            broker.advance(.seconds(120))
            #expect(try Self.accept(broker, at: 0).1.version == .v5)
        }
    }

    @Test("a pinned version is not left, and the reason stands in the link's last error")
    func pinned() throws {
        let broker = ShardHarness(try Self.settings(addresses: 1))
        let (five, _) = try Self.accept(broker, at: 0)
        five.sends(.connAck(ConnAck(reason: .unsupportedProtocolVersion)))
        #expect(broker.dials.isEmpty)
        #expect(broker.shard.links.first?.lastError?.contains("nsupported") == true)
    }

    @Test("an upstream that closes instead of answering is asked in 3.1.1 when it does so again")
    func silentVersion() throws {
        let broker = ShardHarness(try Self.settings(addresses: 1) { $0.versions = [.v5, .v3_1_1] })
        try Self.accept(broker, at: 0).0.vanishes()
        #expect(broker.dials.isEmpty)
        broker.advance(.seconds(10))
        let (again, connect) = try Self.accept(broker, at: 0)
        #expect(connect.version == .v5)
        again.vanishes()
        #expect(try Self.accept(broker, at: 0).1.version == .v3_1_1)
    }

    // MARK: - Addresses

    @Test("a dead address costs no pause, and one that accepts and is silent its timeout")
    func deadAddresses() throws {
        let broker = ShardHarness(try Self.settings(addresses: 3))
        broker.refuses(try #require(broker.dials.first))
        let (silent, _) = try Self.accept(broker, at: 1)
        broker.advance(.seconds(5))
        #expect(silent.isClosed)
        _ = try Self.connect(broker, at: 2)
        #expect(broker.shard.links.first?.state == .live)
    }

    @Test("the link returns to the first address when that has answered CONNECT, and keeps its connection until then")
    func returns() throws {
        let broker = ShardHarness(try Self.settings())
        broker.refuses(try #require(broker.dials.first))
        let second = try Self.connect(broker, at: 1)
        let link = try #require(broker.shard.links.first)
        #expect(link.state == .live)

        // Not there yet, then silent, then busy: nobody notices.
        Self.pass(30, broker, with: second)
        broker.refuses(try #require(broker.dials.first))
        Self.pass(30, broker, with: second)
        let (silent, _) = try Self.accept(broker, at: 0)
        Self.pass(6, broker, with: second)
        #expect(silent.isClosed)
        Self.pass(30, broker, with: second)
        let (busy, _) = try Self.accept(broker, at: 0)
        busy.sends(.connAck(ConnAck(reason: .serverBusy)))
        #expect(busy.isClosed)
        #expect(!second.isClosed && link.state == .live)

        Self.pass(30, broker, with: second)
        let (first, connect) = try Self.accept(broker, at: 0)
        #expect(connect.clientID == "site-7" && !connect.cleanStart)
        broker.connects("a").sends(.publish(topic: "out/1", payload: "to the second", qos: .atLeastOnce, id: 1))
        #expect(second.takesMessages().map(\.text) == ["to the second"])
        first.sends(.connAck(ConnAck(reason: .success)))
        #expect(second.takes().last == .disconnect(Disconnect(reason: .success)))
        #expect(second.isClosed)
        #expect(link.state == .live)
        // It was not settled there, so that it goes out as new.
        #expect(first.takesMessages().map(\.text) == ["to the second"])
        broker.advance(.seconds(14))
        #expect(broker.dials.isEmpty)
    }

    @Test("the first address, as another door of one broker, takes the session over: the link waits for its answer")
    func takesOver() throws {
        let broker = ShardHarness(try Self.settings())
        broker.refuses(try #require(broker.dials.first))
        let second = try Self.connect(broker, at: 1)
        Self.pass(30, broker, with: second)
        let (first, _) = try Self.accept(broker, at: 0)
        second.sends(.disconnect(reason: .sessionTakenOver))
        #expect(broker.dials.isEmpty)
        first.sends(.connAck(ConnAck(reason: .success, isSessionPresent: true)))
        #expect(broker.shard.links.first?.state == .live)
        #expect(broker.dials.isEmpty)
    }

    @Test("a return that is about to answer and fails leads to the other addresses")
    func failedReturn() throws {
        let broker = ShardHarness(try Self.settings())
        broker.refuses(try #require(broker.dials.first))
        let second = try Self.connect(broker, at: 1)
        Self.pass(30, broker, with: second)
        let (first, _) = try Self.accept(broker, at: 0)
        second.vanishes()
        #expect(broker.dials.isEmpty)
        broker.advance(.seconds(5))
        #expect(first.isClosed)
        _ = try Self.connect(broker, at: 1, isSessionPresent: true)
        #expect(broker.shard.links.first?.state == .live)
    }

    @Test("a link that is stopped gives its return up")
    func stopped() throws {
        let broker = ShardHarness(try Self.settings())
        broker.refuses(try #require(broker.dials.first))
        let second = try Self.connect(broker, at: 1)
        Self.pass(30, broker, with: second)
        let (first, _) = try Self.accept(broker, at: 0)
        broker.perform { shard, now in shard.drain(now: now) }
        #expect(first.isClosed)
        broker.advance(.seconds(1_000))
        #expect(broker.dials.isEmpty)
    }

    // MARK: - Sessions

    @Test("a session of the time before is none: what was left open there is released, and what waits is sent as new")
    func oldSession() throws {
        let broker = ShardHarness(try Self.settings())
        let first = try Self.connect(broker, at: 0)
        let client = broker.connects("a")
        client.sends(.publish(topic: "out/1", payload: "1", qos: .exactlyOnce, id: 1))
        let open = try #require(first.takesMessages().first).packetID
        // The first has the message and has not said so; the second knows nothing of us.
        first.vanishes()
        let second = try Self.connect(broker, at: 1)
        let message = try #require(second.takesMessages().first)
        #expect(message.text == "1" && !message.isDuplicate)
        second.vanishes()
        broker.advance(.seconds(10))
        let again = try Self.connect(broker, at: 0, isSessionPresent: true)
        let packets = again.takes()
        #expect(packets.contains(.pubRel(id: open)))
        let messages = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(messages.map(\.text) == ["1"])
        #expect(messages.map(\.isDuplicate) == [false])
        #expect(messages.map(\.packetID) != [open])
        again.sends(.pubComp(id: open))
        again.sends(.pubRec(id: messages[0].packetID))
        again.sends(.pubComp(id: messages[0].packetID))
        #expect(broker.spool.rows == 0)
        #expect(broker.spool.identifiers == 0)
    }

    @Test("a session that moved with us, as in a cluster, goes on: the same identifiers, marked as sent before")
    func sharedSession() throws {
        let broker = ShardHarness(try Self.settings())
        let first = try Self.connect(broker, at: 0)
        broker.connects("a").sends(.publish(topic: "out/1", payload: "1", qos: .exactlyOnce, id: 1))
        let open = try #require(first.takesMessages().first).packetID
        first.vanishes()
        let second = try Self.connect(broker, at: 1, isSessionPresent: true)
        let message = try #require(second.takesMessages().first)
        #expect(message.packetID == open && message.isDuplicate)
    }
}
