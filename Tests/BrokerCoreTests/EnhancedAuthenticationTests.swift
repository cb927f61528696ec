import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// The exchange itself is somebody else's: here the answers to the questions are scripted.
@Suite("AUTH: who a client is, in several steps")
struct EnhancedAuthenticationTests {
    private func broker() -> ShardHarness {
        var settings = BrokerSettings()
        settings.admission = .asking
        settings.authenticationMethods = ["DANCE-1"]
        return ShardHarness(settings)
    }

    private func connect(_ method: MQTTString? = "DANCE-1", _ data: String? = "hello") -> Packet {
        var connect = Connect(version: .v5, clientID: "a", cleanStart: true)
        connect.properties.authenticationMethod = method
        connect.properties.authenticationData = data.map { ByteBuffer(string: $0) }
        return .connect(connect)
    }

    private func auth(_ reason: ReasonCode, _ method: MQTTString? = "DANCE-1", _ data: String? = nil) -> Packet {
        var auth = Auth(reason: reason)
        auth.properties.authenticationMethod = method
        if let data { auth.properties.authenticationData = ByteBuffer(string: data) }
        return .auth(auth)
    }

    private func question(_ broker: ShardHarness) -> AuthenticationRequest? { broker.questions.first }

    private func says(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// A client that danced in as "ann".
    private func dancer(_ broker: ShardHarness) -> ScriptedPeer {
        let client = broker.opens()
        client.sends(connect())
        answers(broker, .proven(username: "ann", data: says("welcome")))
        _ = client.takes()
        return client
    }

    private func answers(_ broker: ShardHarness, _ verdict: AuthenticationVerdict) {
        guard let question = question(broker) else {
            Issue.record("nobody was asked")
            return
        }
        broker.answers(question, verdict)
    }

    // MARK: The way in

    @Test(
        "the exchange goes on by 0x18 until CONNACK, all of it under one method [5:MQTT-4.12.0-2] [5:MQTT-4.12.0-3] [5:MQTT-4.12.0-5] [5:MQTT-3.15.2-1]"
    )
    func exchange() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect())
        #expect(
            question(broker)?.login.exchange
                == AuthenticationExchange(method: "DANCE-1", data: says("hello"), memory: nil))
        answers(broker, .challenge(data: says("step"), memory: says("note 1")))
        client.receives(auth(.continueAuthentication, "DANCE-1", "step"))
        client.sends(auth(.continueAuthentication, "DANCE-1", "turn"))
        #expect(
            question(broker)?.login.exchange
                == AuthenticationExchange(method: "DANCE-1", data: says("turn"), memory: says("note 1")))
        answers(broker, .challenge(data: [], memory: says("note 2")))
        client.receives(auth(.continueAuthentication))
        client.sends(auth(.continueAuthentication))
        #expect(
            question(broker)?.login.exchange
                == AuthenticationExchange(method: "DANCE-1", data: [], memory: says("note 2")))
        answers(broker, .proven(username: "ann", data: says("welcome")))
        let ack = client.receivesConnAck()
        #expect(ack?.properties.authenticationMethod == "DANCE-1")
        #expect(ack?.properties.authenticationData == ByteBuffer(string: "welcome"))
        #expect(client.connection.principal.username == "ann")
        client.sends(.pingReq)
        client.receives(.pingResp)
    }

    @Test("a refusal in the middle is a CONNACK and the end [5:MQTT-4.12.0-4]")
    func refused() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect())
        answers(broker, .challenge(data: says("step"), memory: []))
        _ = client.takes()
        client.sends(auth(.continueAuthentication, "DANCE-1", "stumble"))
        answers(broker, .refused(.badCredentials))
        client.receivesConnAck(.badUserNameOrPassword)
        #expect(client.isClosed)
        #expect(broker.questions.isEmpty)
    }

    @Test("a method that nobody knows is refused by 0x8C [5:MQTT-4.12.0-1]")
    func unknownMethod() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect("WALTZ"))
        client.receivesConnAck(.badAuthenticationMethod)
        #expect(client.isClosed)
        #expect(broker.questions.isEmpty)
    }

    @Test(
        "before CONNACK only the next step may come [5:MQTT-3.1.2-30]",
        arguments: [
            (Packet.pingReq, ReasonCode.protocolError), (.publish(topic: "a"), .protocolError),
            (.auth(Auth(reason: .reAuthenticate)), .protocolError), (.auth(Auth(reason: .success)), .protocolError),
            (.auth(Auth(reason: .continueAuthentication)), .badAuthenticationMethod),
        ]
    )
    func outOfTurn(_ packet: Packet, _ reason: ReasonCode) {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect())
        answers(broker, .challenge(data: says("step"), memory: []))
        _ = client.takes()
        client.sends(packet)
        client.receivesConnAck(reason)
        #expect(client.isClosed)
        #expect(broker.questions.isEmpty)
    }

    @Test("or the client may leave")
    func leaves() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect())
        answers(broker, .challenge(data: says("step"), memory: []))
        _ = client.takes()
        client.sends(.disconnect(reason: .success))
        client.receivesNothing()
        #expect(client.isClosed)
        #expect(broker.shard.connectionCount == 0)
    }

    @Test("the deadline for CONNECT is that of the whole exchange")
    func deadline() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect())
        answers(broker, .challenge(data: says("step"), memory: []))
        _ = client.takes()
        broker.advance(.seconds(10))
        #expect(client.isClosed)
        #expect(broker.shard.brokenBound(of: broker.settings) == nil)
    }

    @Test("whoever asked for an exchange is let in by nothing else")
    func shortcut() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect())
        answers(broker, .accepted(username: "admin"))
        client.receivesConnAck(.notAuthorized)
        #expect(client.isClosed)
    }

    @Test("without a method nobody hears of AUTH [5:MQTT-4.12.0-6], and whoever sends it goes [5:MQTT-4.12.0-7]")
    func noMethod() {
        let broker = broker()
        let client = broker.opens()
        client.sends(connect(nil, nil))
        #expect(question(broker)?.login.exchange == nil)
        answers(broker, .accepted(username: "ann"))
        #expect(client.receivesConnAck()?.properties.authenticationMethod == nil)
        client.sends(auth(.reAuthenticate))
        client.receives(.disconnect(reason: .protocolError))
        #expect(client.isClosed)
    }

    @Test("a client that takes no packet as large as the challenge is refused [5:MQTT-3.15.2-2] [5:MQTT-3.15.2-3]")
    func tooLarge() {
        let broker = broker()
        let client = broker.opens()
        var connect = Connect(version: .v5, clientID: "a", cleanStart: true)
        connect.properties.authenticationMethod = "DANCE-1"
        connect.properties.maximumPacketSize = 40
        client.sends(.connect(connect))
        answers(broker, .challenge(data: [UInt8](repeating: 1, count: 40), memory: []))
        client.receivesConnAck(.notAuthorized)
        #expect(client.isClosed)
    }

    // MARK: Again

    @Test("a client that is in may prove itself again, and goes on meanwhile [5:MQTT-4.12.1-1]")
    func again() {
        let broker = broker()
        let client = dancer(broker)
        client.sends(auth(.reAuthenticate, "DANCE-1", "me again"))
        #expect(
            question(broker)?.login.exchange
                == AuthenticationExchange(method: "DANCE-1", data: says("me again"), memory: nil))
        client.sends(.pingReq)
        client.receives(.pingResp)
        answers(broker, .challenge(data: says("step"), memory: says("n")))
        client.receives(auth(.continueAuthentication, "DANCE-1", "step"))
        client.sends(auth(.continueAuthentication, "DANCE-1", "turn"))
        answers(broker, .proven(username: "ann", data: says("still you")))
        client.receives(auth(.success, "DANCE-1", "still you"))
        // And once more.
        client.sends(auth(.reAuthenticate))
        answers(broker, .proven(username: "ann", data: []))
        client.receives(auth(.success))
    }

    @Test(
        "who fails, or turns out to be somebody else, is disconnected [5:MQTT-4.12.1-2]",
        arguments: [
            AuthenticationVerdict.refused(.badCredentials), .refused(.notAuthorized), .accepted(username: "ann"),
            .proven(username: "bob", data: []),
        ]
    )
    func fails(_ verdict: AuthenticationVerdict) {
        let broker = broker()
        let client = dancer(broker)
        client.sends(auth(.reAuthenticate))
        answers(broker, verdict)
        client.receives(.disconnect(reason: .notAuthorized))
        #expect(client.isClosed)
    }

    @Test(
        "AUTH out of turn ends the connection, and another method does [5:MQTT-4.12.1-1]",
        arguments: [
            (ReasonCode.continueAuthentication, "DANCE-1" as MQTTString?, ReasonCode.protocolError),
            (.success, "DANCE-1", .protocolError), (.reAuthenticate, "WALTZ", .badAuthenticationMethod),
            (.reAuthenticate, nil, .badAuthenticationMethod),
        ]
    )
    func outOfTurnAgain(_ reason: ReasonCode, _ method: MQTTString?, _ expected: ReasonCode) {
        let broker = broker()
        let client = dancer(broker)
        client.sends(auth(reason, method))
        client.receives(.disconnect(reason: expected))
        #expect(client.isClosed)
    }

    @Test("one exchange at a time")
    func twice() {
        let broker = broker()
        let client = dancer(broker)
        client.sends(auth(.reAuthenticate), auth(.reAuthenticate))
        client.receives(.disconnect(reason: .protocolError))
        // The answer comes too late for anybody.
        #expect(broker.shard.brokenBound(of: broker.settings) == nil)
        answers(broker, .proven(username: "ann", data: []))
        client.receivesNothing()
    }
}

@Suite("Where clients go when the node shuts down")
struct ServerReferenceTests {
    private func drains(_ isMoved: Bool?) -> (old: ScriptedPeer, new: ScriptedPeer, late: ScriptedPeer) {
        var settings = BrokerSettings()
        if let isMoved { (settings.serverReference, settings.isServerMoved) = ("edge2.example.com:8883", isMoved) }
        let broker = ShardHarness(settings)
        let old = broker.connects("old", .v3_1_1)
        let new = broker.connects("new")
        let late = broker.opens()
        broker.perform { shard, now in shard.drain(now: now) }
        late.sends(.connect(clientID: "late"))
        return (old, new, late)
    }

    @Test("without a reference version 5 hears 0x8B, and version 3 nothing")
    func nowhere() {
        let (old, new, late) = drains(nil)
        old.receivesNothing()
        new.receives(.disconnect(reason: .serverShuttingDown))
        late.receivesConnAck(.serverUnavailable)
        #expect(old.isClosed && new.isClosed && late.isClosed)
    }

    @Test("with one it hears 0x9C, or 0x9D for good, and where", arguments: [false, true])
    func elsewhere(_ isMoved: Bool) {
        let reason: ReasonCode = isMoved ? .serverMoved : .useAnotherServer
        let (old, new, late) = drains(isMoved)
        old.receivesNothing()
        guard case .disconnect(let disconnect)? = new.takes().first else {
            Issue.record("no DISCONNECT")
            return
        }
        #expect(disconnect.reason == reason)
        #expect(disconnect.properties.serverReference == "edge2.example.com:8883")
        let ack = late.receivesConnAck(reason)
        #expect(ack?.properties.serverReference == "edge2.example.com:8883")
        #expect(old.isClosed && new.isClosed && late.isClosed)
    }
}
