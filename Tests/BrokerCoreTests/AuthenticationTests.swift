import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

@Suite("Between CONNECT and CONNACK")
struct AuthenticationTests {
    private func broker(_ admission: Admission = .asking, commitsAtOnce: Bool = true) -> ShardHarness {
        var settings = BrokerSettings()
        settings.admission = admission
        return ShardHarness(settings, commitsAtOnce: commitsAtOnce)
    }

    @Test("the question holds what the client showed and where it comes from")
    func question() throws {
        let broker = broker()
        let client = broker.opens(.v5, address: "192.0.2.7", certificateName: "device-7")
        client.sends(.connect(clientID: "a", username: "ann", password: "secret"))
        client.receivesNothing()
        let question = try #require(broker.questions.first)
        #expect(question.login.username == "ann")
        #expect(question.login.password == Array("secret".utf8))
        #expect(question.login.certificateName == "device-7")
        #expect(question.login.address == "192.0.2.7")
        #expect(question.login.clientID == "a")
    }

    @Test("an accepted client gets CONNACK and its name, and then what it sent meanwhile", arguments: bothVersions)
    func accepted(_ version: ProtocolVersion) throws {
        let broker = broker()
        let client = broker.opens(version, address: "::1")
        client.sends(.connect(clientID: "a", version: version, username: "ann", password: "secret"))
        client.sends(.pingReq)
        client.receivesNothing()
        broker.answers(try #require(broker.questions.first), .accepted(username: "ann"))
        let packets = client.takes()
        #expect(packets.count == 2)
        #expect(packets.last == .pingResp)
        #expect(client.connection.principal == Principal(username: "ann", clientID: "a", address: "::1"))
        #expect(client.connection.session?.principal == client.connection.principal)
    }

    @Test(
        "whoever is refused hears why and is closed [5:MQTT-3.1.4-2]",
        arguments: [
            (AuthenticationRefusal.badCredentials, ReasonCode.badUserNameOrPassword),
            (.notAuthorized, .notAuthorized), (.busy, .serverBusy),
        ]
    )
    func refused(_ refusal: AuthenticationRefusal, _ reason: ReasonCode) throws {
        let broker = broker()
        let client = broker.opens()
        client.sends(.connect(clientID: "a"))
        broker.answers(try #require(broker.questions.first), .refused(refusal))
        client.receivesConnAck(reason)
        #expect(client.isClosed)
        #expect(broker.shard.connectionCount == 0)
        // Who refused writes the log.
        #expect(broker.notices.isEmpty)
    }

    @Test("version 3 hears return codes 4, 5 and 3", arguments: [ProtocolVersion.v3_1, .v3_1_1])
    func refusedInVersion3(_ version: ProtocolVersion) throws {
        for (refusal, reason) in [
            (AuthenticationRefusal.badCredentials, ReasonCode.badUserNameOrPassword),
            (.notAuthorized, .notAuthorized), (.busy, .serverUnavailable),
        ] {
            let broker = broker()
            let client = broker.opens(version)
            client.sends(.connect(clientID: "a", version: version))
            broker.answers(try #require(broker.questions.first), .refused(refusal))
            client.receivesConnAck(reason)
            #expect(client.isClosed)
        }
    }

    @Test("nobody is thrown out by a client id alone: the session is touched when the verdict is there")
    func takeover() throws {
        let broker = broker()
        broker.authenticates = { .accepted(username: $0.username) }
        let owner = broker.connects("a", expiry: 60)
        broker.authenticates = nil
        let thief = broker.opens()
        thief.sends(.connect(clientID: "a", username: "mallory"))
        owner.sends(.pingReq)
        owner.receives(.pingResp)
        broker.answers(try #require(broker.questions.first), .refused(.badCredentials))
        owner.sends(.pingReq)
        owner.receives(.pingResp)
        let returning = broker.opens()
        returning.sends(.connect(clientID: "a", cleanStart: false, expiry: 60, username: "ann"))
        broker.answers(try #require(broker.questions.first), .accepted(username: "ann"))
        owner.receives(.disconnect(reason: .sessionTakenOver))
        returning.receivesConnAck(isSessionPresent: true)
    }

    @Test("two logins under one client id end with one connection, whichever verdict comes first")
    func twoAtOnce() {
        let broker = broker()
        let first = broker.opens()
        let second = broker.opens()
        first.sends(.connect(clientID: "a"))
        second.sends(.connect(clientID: "a"))
        let questions = broker.questions
        broker.answers(questions[1], .accepted(username: nil))
        second.receivesConnAck()
        broker.answers(questions[0], .accepted(username: nil))
        first.receivesConnAck()
        second.receives(.disconnect(reason: .sessionTakenOver))
        #expect(broker.shard.connectionCount == 1)
    }

    @Test("a verdict that is late by a closed connection changes nothing")
    func closedMeanwhile() {
        let broker = broker()
        let client = broker.opens()
        client.sends(.connect(clientID: "a", expiry: 60))
        client.vanishes()
        broker.answers(broker.questions[0], .accepted(username: "ann"))
        #expect(broker.shard.connectionCount == 0)
        #expect(broker.spool.receivers == 0)
        #expect(broker.shard.brokenBound(of: broker.settings) == nil)
    }

    @Test("a verdict counts once")
    func twice() {
        let broker = broker()
        let client = broker.opens()
        client.sends(.connect(clientID: "a"))
        let question = broker.questions[0]
        broker.answers(question, .accepted(username: nil))
        client.receivesConnAck()
        broker.answers(question, .refused(.badCredentials))
        client.receivesNothing()
        #expect(!client.isClosed)
    }

    @Test("the deadline for CONNECT goes on running while somebody is asked", arguments: bothVersions)
    func deadline(_ version: ProtocolVersion) {
        let broker = broker()
        let client = broker.opens(version)
        broker.advance(.seconds(6))
        client.sends(.connect(clientID: "a", version: version))
        broker.advance(.seconds(3))
        #expect(!client.isClosed)
        broker.advance(.seconds(1))
        client.receivesConnAck(version == .v5 ? .serverBusy : .serverUnavailable)
        #expect(client.isClosed)
        broker.answers(broker.questions[0], .accepted(username: nil))
        client.receivesNothing()
    }

    @Test("an accepted client whose verdict took longer than its keep-alive is not late")
    func keepAlive() {
        let broker = broker()
        let client = broker.opens()
        client.sends(.connect(clientID: "a", keepAlive: 2))
        broker.advance(.seconds(5))
        broker.answers(broker.questions[0], .accepted(username: nil))
        client.receivesConnAck()
        broker.advance(.seconds(2))
        #expect(!client.isClosed)
        client.sends(.pingReq)
        client.receives(.pingResp)
    }

    @Test("a verdict that comes while the node shuts down lets nobody in")
    func draining() {
        let broker = broker()
        let client = broker.opens()
        client.sends(.connect(clientID: "a"))
        broker.perform { shard, now in shard.drain(now: now) }
        broker.answers(broker.questions[0], .accepted(username: nil))
        client.receivesConnAck(.serverUnavailable)
        #expect(client.isClosed)
    }

    @Test("a CONNECT that is not valid is refused before anybody is asked")
    func invalid() {
        let broker = broker()
        let client = broker.opens(.v3_1_1)
        client.sends(.connect(clientID: "", version: .v3_1_1, cleanStart: false))
        client.receivesConnAck(.clientIdentifierNotValid)
        #expect(broker.questions.isEmpty)
    }

    @Test("the will of a client that is refused is not published")
    func will() {
        let broker = broker()
        broker.authenticates = { $0.clientID == "b" ? .accepted(username: nil) : .refused(.badCredentials) }
        let watcher = broker.connects("b")
        watcher.sends(.subscribe(id: 1, filters: "#"))
        _ = watcher.takes()
        let client = broker.opens()
        client.sends(.connect(clientID: "a", will: Connect.Will(topic: "gone", payload: ByteBuffer(string: "x"))))
        #expect(client.isClosed)
        watcher.receivesNothing()
    }

    @Test("a revoked user is closed and hears why; others, links of that name and certificates stay")
    func revoked() {
        let broker = broker()
        broker.authenticates = { .accepted(username: $0.username) }
        let ann = broker.opens()
        ann.sends(.connect(clientID: "a", expiry: 60, username: "ann"))
        let old = broker.opens(.v3_1_1)
        old.sends(.connect(clientID: "b", version: .v3_1_1, username: "ann"))
        let bob = broker.opens()
        bob.sends(.connect(clientID: "c", username: "bob"))
        let anonymous = broker.opens()
        anonymous.sends(.connect(clientID: "d"))
        let certificate = broker.opens(.v5, address: nil, certificateName: "ann")
        certificate.sends(.connect(clientID: "e", username: "ann"))
        for client in [ann, old, bob, anonymous, certificate] { _ = client.takes() }
        broker.perform { shard, now in shard.revoke(["ann", "zoe"], now: now) }
        ann.receives(.disconnect(reason: .notAuthorized))
        #expect(ann.isClosed && old.isClosed)
        for client in [bob, anonymous, certificate] { #expect(!client.isClosed) }
        // The session waits for who it belongs to.
        broker.connectsDurably("a").receivesConnAck(isSessionPresent: true)
    }

    @Test("an open door asks nobody and believes no name")
    func anonymous() {
        let broker = broker(.anonymous)
        let client = broker.opens(.v5, address: "127.0.0.1")
        client.sends(.connect(clientID: "a", username: "admin", password: "anything"))
        client.receivesConnAck()
        #expect(broker.questions.isEmpty)
        #expect(client.connection.principal == Principal(username: nil, clientID: "a", address: "127.0.0.1"))
    }
}

@Suite("Names that may enter a pattern")
struct PatternSafetyTests {
    @Test("plain names may", arguments: ["ann", "device-7", "Jürgen", "a b", "a$", "auto-1z", "名"] as [MQTTString])
    func safe(_ name: MQTTString) { #expect(name.isSafeInPatterns) }

    @Test(
        "wildcards, slashes, control characters, nothing, and $ at the front may not",
        arguments: ["+", "#", "a#", "a+b", "a/b", "/", "", "a\nb", "a\u{7F}", "a\u{85}", "$SYS", "\u{1}"]
            as [MQTTString]
    )
    func unsafe(_ name: MQTTString) { #expect(!name.isSafeInPatterns) }
}
