import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("CONNECT and CONNACK")
struct ConnectTests {
    @Test("a clean session is accepted at once and not present [5:MQTT-3.2.2-2]", arguments: bothVersions)
    func clean(_ version: ProtocolVersion) {
        let broker = ShardHarness(commitsAtOnce: false)
        let client = broker.opens(version)
        client.sends(.connect(clientID: "a", version: version))
        client.receivesConnAck()
        #expect(broker.shard.connectionCount == 1)
        client.sends(.pingReq)
        client.receives(.pingResp)
    }

    @Test("CONNACK of a new durable session waits for its row", arguments: bothVersions)
    func newRow(_ version: ProtocolVersion) {
        let broker = ShardHarness(commitsAtOnce: false)
        let client = broker.opens(version)
        client.sends(.connect(clientID: "a", version: version, cleanStart: false, expiry: 60))
        client.receivesNothing()
        client.sends(.pingReq)
        client.receivesNothing()
        broker.commit()
        let packets = client.takes()
        #expect(packets.count == 2)
        #expect(packets.last == .pingResp)
        #expect(broker.spool.receivers == 1)
    }

    @Test("a session is present after a return and after a restart [5:MQTT-3.2.2-3]", arguments: bothVersions)
    func present(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        broker.connectsDurably("a", version).receivesConnAck()
        broker.connectsDurably("a", version).receivesConnAck(isSessionPresent: true)
        broker.restarts()
        broker.connectsDurably("a", version).receivesConnAck(isSessionPresent: true)
    }

    @Test("CONNACK of Clean Start over a stored session waits for its deletion", arguments: bothVersions)
    func deletion(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        broker.connectsDurably("a", version).vanishes()
        broker.commitsAtOnce = false
        let client = broker.opens(version)
        client.sends(.connect(clientID: "a", version: version))
        client.receivesNothing()
        broker.commit()
        client.receivesConnAck()
        #expect(broker.spool.receivers == 0)
    }

    @Test("Clean Start over a connected session that ends with its connection waits for its deletion too")
    func deletionByTakeover() {
        let broker = ShardHarness()
        broker.connectsDurably("a").vanishes()
        let old = broker.connects("a", cleanStart: false, expiry: 0)
        broker.commitsAtOnce = false
        let new = broker.opens()
        new.sends(.connect(clientID: "a"))
        new.receivesNothing()
        old.receives(.disconnect(reason: .sessionTakenOver))
        broker.commit()
        new.receivesConnAck()
    }

    @Test("a takeover before the first CONNACK does not see a session that is not on disk")
    func takeoverOfUncommitted() {
        let broker = ShardHarness(commitsAtOnce: false)
        let first = broker.connectsDurably("a")
        let second = broker.connectsDurably("a")
        #expect(first.isClosed)
        second.receivesNothing()
        broker.settle()
        second.receivesConnAck(isSessionPresent: true)
        first.receivesNothing()
    }

    @Test("an empty client id is assigned one [5:MQTT-3.1.3-6] [5:MQTT-3.1.3-7]")
    func assigned() throws {
        let broker = ShardHarness()
        let client = broker.opens()
        client.sends(.connect(clientID: ""))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.assignedClientIdentifier?.isEmpty == false)
        #expect(ack.properties.receiveMaximum == 256)
        #expect(ack.properties.maximumPacketSize == 1 << 20)
        let old = broker.opens(.v3_1_1)
        old.sends(.connect(clientID: "", version: .v3_1_1))
        old.receivesConnAck()
        let refused = broker.opens(.v3_1_1)
        refused.sends(.connect(clientID: "", version: .v3_1_1, cleanStart: false))
        refused.receivesConnAck(.clientIdentifierNotValid)
        #expect(refused.isClosed)
    }

    @Test("what cannot be accepted is refused with its reason [5:MQTT-3.2.2-7]")
    func refused() {
        let broker = ShardHarness()
        let long = broker.opens()
        long.sends(.connect(clientID: MQTTString(String(repeating: "x", count: 257))))
        long.receivesConnAck(.clientIdentifierNotValid)
        let method = broker.opens()
        var connect = Connect(version: .v5, clientID: "a")
        connect.properties.authenticationMethod = "SCRAM"
        method.sends(.connect(connect))
        method.receivesConnAck(.badAuthenticationMethod)
        let will = broker.opens()
        will.sends(
            .connect(clientID: "a", will: Connect.Will(topic: "$SYS/x", payload: ByteBuffer(string: "x")))
        )
        will.receivesConnAck(.topicNameInvalid)
        #expect(broker.shard.connectionCount == 0)
    }

    @Test("another client with the same id takes over [5:MQTT-3.1.4-3]", arguments: bothVersions)
    func takeover(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let old = broker.connects("a", version)
        let new = broker.connects("a", version)
        if version == .v5 { old.receives(.disconnect(reason: .sessionTakenOver)) } else { old.receivesNothing() }
        #expect(old.isClosed)
        #expect(!new.isClosed)
        #expect(broker.shard.connectionCount == 1)
    }

    @Test("a second CONNECT ends the connection [5:MQTT-3.1.0-2]", arguments: bothVersions)
    func second(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connects("a", version)
        client.sends(.connect(clientID: "a", version: version))
        if version == .v5 { client.receives(.disconnect(reason: .protocolError)) } else { client.receivesNothing() }
        #expect(client.isClosed)
    }

    @Test("the first packet has to be CONNECT [5:MQTT-3.1.0-1]")
    func first() {
        let broker = ShardHarness()
        let client = broker.opens()
        client.sends(.pingReq)
        client.receivesNothing()
        #expect(client.isClosed)
    }

    @Test("CONNECT has to come in time")
    func connectTimeout() {
        let broker = ShardHarness()
        let client = broker.opens()
        broker.advance(.seconds(9))
        #expect(!client.isClosed)
        broker.advance(.seconds(1))
        #expect(client.isClosed)
    }

    @Test("a silent client is dropped after 1.5 keep-alive intervals [5:MQTT-3.1.2-22]", arguments: bothVersions)
    func keepAlive(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.connects("a", version, keepAlive: 10)
        for _ in 0..<20 {
            broker.advance(.seconds(14))
            client.sends(.pingReq)
            client.receives(.pingResp)
        }
        broker.advance(.milliseconds(14_999))
        #expect(!client.isClosed)
        broker.advance(.milliseconds(1))
        #expect(client.isClosed)
        if version == .v5 { client.receives(.disconnect(reason: .keepAliveTimeout)) }
    }

    @Test("the clock of a client whose CONNACK waits for the disk stands still")
    func keepAliveWhileHeld() {
        let broker = ShardHarness(commitsAtOnce: false)
        let client = broker.opens()
        client.sends(.connect(clientID: "a", cleanStart: false, expiry: 60, keepAlive: 10))
        broker.advance(.milliseconds(14_990))
        broker.commit()
        client.receivesConnAck()
        broker.advance(.milliseconds(20))
        #expect(!client.isClosed)
        broker.advance(.seconds(15))
        #expect(client.isClosed)
    }

    @Test("keep-alive 0 never ends a connection")
    func noKeepAlive() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        broker.advance(.seconds(1_000_000))
        #expect(!client.isClosed)
    }

    @Test("a session ends when its expiry is over, and CONNECT cancels that [5:§3.1.2.11.2]")
    func expiry() {
        let broker = ShardHarness()
        broker.connectsDurably("a").vanishes()
        broker.advance(.seconds(3599))
        let client = broker.connectsDurably("a")
        client.receivesConnAck(isSessionPresent: true)
        broker.advance(.seconds(3600))
        client.vanishes()
        broker.advance(.seconds(3600))
        #expect(broker.spool.receivers == 0)
        broker.connectsDurably("a").receivesConnAck()
    }

    @Test("DISCONNECT may shorten the expiry but not bring a session to life [5:§3.14.2.2.2]")
    func expiryOfDisconnect() {
        let broker = ShardHarness()
        let durable = broker.connectsDurably("a")
        durable.sends(.disconnect(reason: .success, expiry: 0))
        #expect(broker.spool.receivers == 0)
        let short = broker.connects("b")
        short.sends(.disconnect(reason: .success, expiry: 10))
        short.receives(.disconnect(reason: .protocolError))
    }

    @Test("a session that was connected at the crash and ends with its connection is not present")
    func endsWithCrash() {
        let broker = ShardHarness()
        broker.connectsDurably("a").vanishes()
        _ = broker.connects("a", cleanStart: false, expiry: 0)
        broker.restarts()
        broker.connectsDurably("a").receivesConnAck()
    }

    @Test("connections that come and go leave no timers behind")
    func timersAreBounded() {
        let broker = ShardHarness()
        for _ in 0..<2000 {
            let client = broker.connectsDurably("a")
            client.sends(.disconnect(reason: .success))
            let other = broker.connects("b", keepAlive: 65_535)
            other.vanishes()
        }
        #expect(broker.shard.timerCount < 100)
    }

    @Test("bytes that are not MQTT end their own connection, with a reason that its answer may carry")
    func malformed() {
        for reason in ReasonCode.allCases where reason.isFailure {
            let error = DecodeError(reason: reason, statement: "[5:§4.13.1]", explanation: "test", offset: 0)
            let broker = ShardHarness()
            let stranger = broker.opens()
            let client = broker.connects("a", will: Connect.Will(topic: "will", payload: ByteBuffer(string: "x")))
            let neighbour = broker.connects("b")
            neighbour.sends(.subscribe(id: 1, filters: "will"))
            _ = neighbour.takes()
            for peer in [stranger, client] {
                broker.perform { shard, now in
                    shard.decodeFailed(error, version: .v5, on: peer.connection, now: now)
                }
                #expect(peer.isClosed)
                #expect(peer.failure == nil, "\(reason)")
                #expect(peer.takes().count == 1)
            }
            #expect(neighbour.takesMessages().count == 1)
            #expect(!neighbour.isClosed)
        }
    }

    @Test("a version 3 CONNECT that does not conform gets no CONNACK [311:MQTT-3.1.4-1]")
    func malformedVersion3() {
        let broker = ShardHarness()
        let client = broker.opens(.v3_1_1)
        let error = DecodeError(
            reason: .malformedPacket, statement: "[311:MQTT-3.1.2-3]", explanation: "test", offset: 0)
        broker.perform { shard, now in
            shard.decodeFailed(error, version: .v3_1_1, on: client.connection, now: now)
        }
        client.receivesNothing()
        #expect(client.isClosed)
    }

    @Test("everyone is told when the node shuts down")
    func drain() {
        let broker = ShardHarness()
        let client = broker.connects("a")
        broker.perform { shard, now in shard.drain(now: now) }
        client.receives(.disconnect(reason: .serverShuttingDown))
        #expect(client.isClosed)
        let late = broker.opens()
        late.sends(.connect(clientID: "b"))
        late.receivesConnAck(.serverUnavailable)
    }
}
