import BrokerCore
import MQTTCodec
import NIOCore
import TestSupport
import Testing

/// §3.1 and §3.2 statement by statement: what a server makes of CONNECT and what it says in CONNACK.
@Suite("What CONNACK answers to CONNECT")
struct ConnAckTests {
    static func connect(
        _ clientID: MQTTString = "c",
        cleanStart: Bool = true,
        _ set: (inout Properties.Values) -> Void
    ) -> Packet {
        var connect = Connect(version: .v5, clientID: clientID, cleanStart: cleanStart)
        set(&connect.properties.values)
        return .connect(connect)
    }

    @Test(
        """
        a valid CONNECT is answered by one CONNACK 0x00, before anything else, with nothing reserved set \
        [5:MQTT-3.1.4-5] [311:MQTT-3.1.4-4] [5:MQTT-3.2.0-1] [311:MQTT-3.2.0-1] [5:MQTT-3.2.0-2] [5:MQTT-3.2.2-1] \
        [5:MQTT-3.2.2-8]
        """, arguments: ProtocolVersion.allCases)
    func accepted(_ version: ProtocolVersion) {
        let broker = ShardHarness(commitsAtOnce: false)
        let client = broker.connectsDurably("c", version)
        // What comes before the commit waits behind CONNACK.
        client.sends(.pingReq, .subscribe(id: 1, filters: "t"))
        client.receivesNothing()
        broker.settle()
        let packets = client.takes()
        #expect(packets.count == 3)
        guard case .connAck(let ack)? = packets.first else {
            Issue.record("\(packets)")
            return
        }
        #expect(ack.reason == .success)
        #expect(packets.contains(.pingResp))
        #expect(packets.contains(.subAck(id: 1, reasons: .success)))
    }

    @Test("version 3 gets four bytes, with session present only in 3.1.1, and no properties", arguments: threes)
    func bytes(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        broker.connectsDurably("c", version).vanishes()
        let client = broker.opens(version)
        client.sends(.connect(clientID: "c", version: version, cleanStart: false))
        #expect(client.rawBytes == [0x20, 0x02, version == .v3_1 ? 0 : 1, 0x00])
    }

    @Test(
        """
        Clean Start throws the old session away and says so [5:MQTT-3.1.2-4] [5:MQTT-3.1.4-4] [311:MQTT-3.1.2-6] \
        [311:MQTT-3.1.4-3] [5:MQTT-3.2.2-2] [311:MQTT-3.2.2-1]
        """, arguments: bothVersions)
    func cleanStart(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let publisher = broker.connects("p", version)
        let old = broker.connectsDurably("c", version)
        old.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        old.vanishes()
        publisher.sends(.publish(topic: "t", payload: "for the old session", qos: .atLeastOnce, id: 1))
        let new = broker.opens(version)
        new.sends(.connect(clientID: "c", version: version))
        new.receivesConnAck(isSessionPresent: false)
        publisher.sends(.publish(topic: "t", payload: "for nobody", qos: .atLeastOnce, id: 2))
        new.receivesNothing()
        // [311:MQTT-3.1.2-6] its state is not used again.
        new.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        _ = new.takes()
        new.vanishes()
        broker.connectsDurably("c", version).receivesConnAck(isSessionPresent: false)
    }

    @Test(
        """
        without Clean Start a stored session goes on, with its subscriptions and what came meanwhile, and without one a \
        new one begins [5:MQTT-3.1.2-5] [5:MQTT-3.1.2-6] [5:MQTT-3.1.2-23] [311:MQTT-3.1.2-4] [311:MQTT-3.1.2-5] \
        [5:MQTT-3.2.2-3] [311:MQTT-3.2.2-2] [311:MQTT-3.2.2-3] [5:MQTT-4.5.0-1] [311:MQTT-4.5.0-1]
        """, arguments: bothVersions)
    func resumed(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let publisher = broker.connects("p", version)
        let first = broker.connectsDurably("c", version)
        first.receivesConnAck(isSessionPresent: false)
        first.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        first.vanishes()
        for (number, qos) in [QoS.atLeastOnce, .exactlyOnce].enumerated() {
            publisher.sends(.publish(topic: "t", payload: "\(number)", qos: qos, id: UInt16(number + 1)))
        }
        let again = broker.connectsDurably("c", version)
        let packets = again.takes()
        guard case .connAck(let ack)? = packets.first else {
            Issue.record("\(packets)")
            return
        }
        #expect(ack.isSessionPresent)
        let messages = packets.compactMap { if case .publish(let publish) = $0 { publish } else { nil } }
        #expect(messages.map(\.text) == ["0", "1"])
        #expect(messages.map(\.qos) == [.atLeastOnce, .exactlyOnce])
        // Never sent before, so no duplicates [5:MQTT-4.3.2-2] [5:MQTT-4.3.3-2].
        #expect(messages.map(\.isDuplicate) == [false, false])
    }

    @Test("each client id has a session of its own [5:MQTT-3.1.3-2] [311:MQTT-3.1.3-2]", arguments: bothVersions)
    func sessions(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let (lower, upper) = (broker.connectsDurably("c", version), broker.connectsDurably("C", version))
        lower.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        lower.vanishes()
        upper.vanishes()
        broker.connects("p", version).sends(.publish(topic: "t", payload: "x", qos: .atLeastOnce, id: 1))
        #expect(broker.connectsDurably("C", version).takesMessages().isEmpty)
        #expect(broker.connectsDurably("c", version).takesMessages().map(\.text) == ["x"])
    }

    @Test(
        "ids of 1 to 23 letters and digits are let in, and longer ones and others too [5:MQTT-3.1.3-5] [311:MQTT-3.1.3-5]",
        arguments: ProtocolVersion.allCases)
    func clientIDs(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        let ids = (1...23).map { String(alphabet.shuffledOnce.prefix($0)) } + alphabet.map(String.init)
        for id in ids + [alphabet, String(repeating: "x", count: 256), "a b", "żółw", "a/b", "\u{FEFF}"] {
            let client = broker.opens(version)
            client.sends(.connect(clientID: MQTTString(id), version: version))
            client.receivesConnAck()
            client.sends(.disconnect(reason: .success))
        }
    }

    @Test(
        """
        an empty id of a clean session gets one that nobody has, and it works like any other \
        [5:MQTT-3.1.3-6] [5:MQTT-3.1.3-7] [5:MQTT-3.2.2-16] [311:MQTT-3.1.3-6]
        """)
    func assignedIDs() throws {
        let broker = ShardHarness()
        var ids: Set<MQTTString> = []
        for _ in 0..<100 {
            let client = broker.opens()
            client.sends(.connect(clientID: "", cleanStart: false, expiry: 60))
            let ack = try #require(client.receivesConnAck())
            let id = try #require(ack.properties.assignedClientIdentifier)
            #expect(ids.insert(id).inserted)
        }
        let id = try #require(ids.first)
        let back = broker.connectsDurably(id)
        let ack = try #require(back.receivesConnAck(isSessionPresent: true))
        #expect(ack.properties.assignedClientIdentifier == nil)
        for _ in 0..<2 {
            let old = broker.opens(.v3_1_1)
            old.sends(.connect(clientID: "", version: .v3_1_1), .pingReq)
            #expect(old.takes().last == .pingResp)
            #expect(!old.isClosed)
        }
        #expect(broker.shard.connectionCount == 102)
    }

    @Test(
        """
        an empty id without Clean Session is refused by 0x02 and closed [311:MQTT-3.1.3-8] [311:MQTT-3.1.3-9] \
        [311:MQTT-3.2.2-5] [311:MQTT-3.2.2-4]
        """, arguments: threes)
    func emptyID(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let client = broker.opens(version)
        client.sends(.connect(clientID: "", version: version, cleanStart: false))
        #expect(client.rawBytes == [0x20, 0x02, 0x00, 0x02])
        #expect(client.isClosed)
    }

    @Test("in 3.1 an id has one character at least, with a clean session too")
    func emptyIDOf31() {
        let client = ShardHarness().opens(.v3_1)
        client.sends(.connect(clientID: "", version: .v3_1))
        #expect(client.rawBytes == [0x20, 0x02, 0x00, 0x02])
        #expect(client.isClosed)
    }

    @Test("an id that is too long is refused by 0x85 and closed [5:MQTT-3.1.3-8] [5:MQTT-3.2.2-7] [311:MQTT-3.1.3-9]")
    func longID() {
        let broker = ShardHarness()
        for version in ProtocolVersion.allCases {
            let client = broker.opens(version)
            client.sends(.connect(clientID: MQTTString(String(repeating: "x", count: 257)), version: version))
            client.receivesConnAck(.clientIdentifierNotValid)
            #expect(client.isClosed)
        }
    }

    @Test(
        """
        a second connection of an id ends the first, by 0x8E in version 5, and goes on with its session \
        [5:MQTT-3.1.4-3] [311:MQTT-3.1.4-2] [5:§3.14.2.1]
        """, arguments: bothVersions)
    func takeover(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let first = broker.connectsDurably("c", version)
        first.receivesConnAck()
        first.sends(.subscribe(id: 1, filters: "t", qos: .atLeastOnce))
        _ = first.takes()
        let second = broker.connectsDurably("c", version)
        if version == .v5 { first.receives(.disconnect(reason: .sessionTakenOver)) } else { first.receivesNothing() }
        #expect(first.isClosed)
        second.receivesConnAck(isSessionPresent: true)
        second.sends(.publish(topic: "t", payload: "x", qos: .atMostOnce))
        #expect(second.takesMessages().map(\.text) == ["x"])
    }

    // MARK: - What the properties ask for

    @Test("CONNACK says which expiry it is when it is not the one that was asked for [5:§3.2.2.3.2]")
    func sessionExpiry() throws {
        var settings = BrokerSettings()
        settings.sessionExpiryMax = 100
        let broker = ShardHarness(settings)
        for (asked, told) in [(nil, nil), (0, nil), (100, nil), (101, 100), (UInt32.max, 100)] as [(UInt32?, UInt32?)] {
            let client = broker.opens()
            client.sends(Self.connect { $0.sessionExpiryInterval = asked })
            let ack = try #require(client.receivesConnAck())
            #expect(ack.properties.sessionExpiryInterval == told)
        }
    }

    @Test("a session without end is kept for ever, if that may be [5:§3.1.2.11.2] [5:MQTT-4.1.0-1]")
    func forEver() throws {
        var settings = BrokerSettings()
        settings.sessionExpiryMax = .max
        let broker = ShardHarness(settings)
        let client = broker.opens()
        client.sends(Self.connect(cleanStart: false) { $0.sessionExpiryInterval = .max })
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.sessionExpiryInterval == nil)
        // [311:MQTT-4.1.0-2] nor does any session end while its connection is there.
        broker.advance(.seconds(100 * 365 * 86_400))
        client.vanishes()
        broker.advance(.seconds(100 * 365 * 86_400))
        broker.connectsDurably("c").receivesConnAck(isSessionPresent: true)
    }

    @Test("Response Information is told to nobody who did not ask for it [5:MQTT-3.1.2-28]", arguments: [nil, false])
    func responseInformation(_ request: Bool?) throws {
        let broker = ShardHarness()
        let client = broker.opens()
        client.sends(Self.connect { $0.requestResponseInformation = request })
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.responseInformation == nil)
    }

    @Test("who named no authentication method hears of none [5:MQTT-4.12.0-6]")
    func method() throws {
        let broker = ShardHarness()
        let client = broker.opens()
        client.sends(.connect(clientID: "c"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.authenticationMethod == nil)
        #expect(ack.properties.authenticationData == nil)
    }

    @Test("a method that the server does not know is refused by 0x8C and closed [5:MQTT-4.12.0-1]")
    func unknownMethod() {
        let broker = ShardHarness()
        let client = broker.opens()
        client.sends(Self.connect { $0.authenticationMethod = "DANCE-1" })
        client.receivesConnAck(.badAuthenticationMethod)
        #expect(client.isClosed)
    }

    // MARK: - Maximum Packet Size

    @Test(
        """
        CONNACK and DISCONNECT leave the Reason String out where it does not fit, and never have user properties \
        [5:MQTT-3.2.2-19] [5:MQTT-3.2.2-20] [5:MQTT-3.14.2-3] [5:MQTT-3.14.2-4] [5:MQTT-3.1.2-24]
        """)
    func reasonStrings() throws {
        let broker = ShardHarness()
        let id = MQTTString(String(repeating: "x", count: 257))
        for (max, hasText) in [(nil, true), (200, true), (20, false), (5, false)] as [(UInt32?, Bool)] {
            let refused = broker.opens()
            refused.sends(Self.connect(id) { $0.maximumPacketSize = max })
            let ack = try #require(refused.receivesConnAck(.clientIdentifierNotValid))
            #expect((ack.properties.reasonString != nil) == hasText)
            #expect(ack.properties.userProperties.isEmpty)
        }
        for (max, hasText) in [(nil, true), (200, true), (30, false)] as [(UInt32?, Bool)] {
            let client = broker.opens()
            client.sends(Self.connect { $0.maximumPacketSize = max })
            _ = client.takes()
            client.sends(.pingResp)
            guard case .disconnect(let disconnect)? = client.takes().last else {
                Issue.record("no DISCONNECT")
                continue
            }
            #expect(disconnect.reason == .protocolError)
            #expect((disconnect.properties.reasonString != nil) == hasText)
            #expect(disconnect.properties.userProperties.isEmpty)
        }
    }

    @Test("a client that takes no packet of CONNACK's size gets none and is closed [5:MQTT-3.1.2-24]")
    func noRoomForConnAck() {
        let broker = ShardHarness()
        for isDurable in [false, true] {
            let client = broker.opens()
            client.sends(
                Self.connect(cleanStart: !isDurable) {
                    $0.maximumPacketSize = 4
                    $0.sessionExpiryInterval = isDurable ? 60 : 0
                }
            )
            client.receivesNothing()
            #expect(client.isClosed)
        }
        #expect(broker.shard.connectionCount == 0)
    }

    // MARK: - What the server does not do

    @Test(
        """
        a server of QoS 0 or 1 says so, refuses wills and closes publishers above it by 0x9B, and grants no more \
        [5:MQTT-3.2.2-9] [5:MQTT-3.2.2-10] [5:MQTT-3.2.2-12] [5:§3.2.2.3.4]
        """, arguments: [QoS.atMostOnce, .atLeastOnce])
    func maximumQoS(_ maximum: QoS) throws {
        var settings = BrokerSettings()
        settings.maximumQoS = maximum
        let broker = ShardHarness(settings)
        let client = broker.opens()
        client.sends(.connect(clientID: "c"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.maximumQoS == maximum)
        client.sends(.subscribe(id: 1, filters: "t", qos: .exactlyOnce))
        client.receives(.subAck(id: 1, reasons: maximum == .atMostOnce ? .success : .grantedQoS1))
        client.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1))
        client.receives(.disconnect(reason: .qosNotSupported))
        #expect(client.isClosed)
        let will = Connect.Will(topic: "w", payload: ByteBuffer(), qos: .exactlyOnce)
        let testator = broker.opens()
        testator.sends(.connect(clientID: "t", will: will))
        testator.receivesConnAck(.qosNotSupported)
        #expect(testator.isClosed)
        let old = broker.connects("old", .v3_1_1)
        old.sends(.publish(topic: "t", payload: "x", qos: .exactlyOnce, id: 1))
        old.receivesNothing()
        #expect(old.isClosed)
    }

    @Test("a server of all three QoS does not mention a maximum [5:MQTT-3.2.2-9]")
    func noMaximumQoS() throws {
        let client = ShardHarness().opens()
        client.sends(.connect(clientID: "c"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.maximumQoS == nil)
        #expect(ack.properties.retainAvailable == nil)
        #expect(ack.properties.wildcardSubscriptionAvailable == nil)
        #expect(ack.properties.subscriptionIdentifiersAvailable == nil)
    }

    @Test(
        """
        a server without retained messages says so, refuses retained wills and publishers by 0x9A \
        [5:MQTT-3.2.2-13] [5:§3.2.2.3.5]
        """)
    func noRetain() throws {
        var settings = BrokerSettings()
        settings.isRetainAvailable = false
        let broker = ShardHarness(settings)
        let client = broker.opens()
        client.sends(.connect(clientID: "c"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.retainAvailable == false)
        client.sends(.publish(topic: "t", payload: "x", isRetained: true))
        client.receives(.disconnect(reason: .retainNotSupported))
        #expect(client.isClosed)
        let testator = broker.opens()
        let will = Connect.Will(topic: "w", payload: ByteBuffer(), isRetained: true)
        testator.sends(.connect(clientID: "t", will: will))
        testator.receivesConnAck(.retainNotSupported)
        #expect(testator.isClosed)
        #expect(broker.shard.retained.count == 0)
    }

    @Test(
        """
        a server without wildcards says so, closes version 5 by 0xA2 and refuses version 3 by 0x80 \
        [5:§3.2.2.3.11] [311:MQTT-3.8.3-2]
        """)
    func noWildcards() throws {
        var settings = BrokerSettings()
        settings.allowsWildcards = false
        let broker = ShardHarness(settings)
        let client = broker.opens()
        client.sends(.connect(clientID: "c"))
        let ack = try #require(client.receivesConnAck())
        #expect(ack.properties.wildcardSubscriptionAvailable == false)
        client.sends(.subscribe(id: 1, filters: "a", "a/#"))
        client.receives(.disconnect(reason: .wildcardSubscriptionsNotSupported))
        #expect(client.isClosed)
        let old = broker.connects("old", .v3_1_1)
        old.sends(.subscribe(id: 1, filters: "a", "+/b", "#"))
        old.receives(.subAck(id: 1, reasons: .success, .unspecifiedError, .unspecifiedError))
    }

    @Test("a keep-alive above the server's is replaced by it, and none as well [5:MQTT-3.1.2-21] [5:MQTT-3.2.2-21]")
    func serverKeepAlive() throws {
        var settings = BrokerSettings()
        settings.keepAliveMax = 10
        let broker = ShardHarness(settings)
        for (asked, told) in [(0, 10), (11, 10), (65_535, 10), (10, nil), (9, nil)] as [(UInt16, UInt16?)] {
            let client = broker.opens()
            client.sends(.connect(clientID: MQTTString("c\(asked)"), keepAlive: asked))
            let ack = try #require(client.receivesConnAck())
            #expect(ack.properties.serverKeepAlive == told)
            let interval = Int64(told ?? asked)
            broker.advance(.milliseconds(interval * 1_500 - 1))
            #expect(!client.isClosed)
            broker.advance(.milliseconds(1))
            client.receives(.disconnect(reason: .keepAliveTimeout))
        }
        // Version 3 cannot be told.
        let old = broker.opens(.v3_1_1)
        old.sends(.connect(clientID: "old", version: .v3_1_1, keepAlive: 11))
        old.receivesConnAck(.clientIdentifierNotValid)
        let short = broker.opens(.v3_1_1)
        short.sends(.connect(clientID: "old", version: .v3_1_1, keepAlive: 10))
        short.receivesConnAck()
    }

    @Test(
        """
        without a server's keep-alive the client's own is enforced after one and a half of it, as a network failure \
        [5:MQTT-3.2.2-22] [5:MQTT-3.1.2-22] [311:MQTT-3.1.2-24]
        """, arguments: bothVersions)
    func keepAlive(_ version: ProtocolVersion) {
        let broker = ShardHarness()
        let listener = broker.connects("listener")
        listener.sends(.subscribe(id: 1, filters: "w"))
        _ = listener.takes()
        let will = Connect.Will(topic: "w", payload: ByteBuffer(string: "gone"))
        let client = broker.connects("c", version, keepAlive: 10, will: will)
        // Any packet counts, not only PINGREQ.
        broker.advance(.seconds(14))
        client.sends(.publish(topic: "t"))
        broker.advance(.seconds(14))
        client.sends(.pubAck(id: 1))
        broker.advance(.milliseconds(14_999))
        #expect(!client.isClosed)
        broker.advance(.milliseconds(1))
        #expect(client.isClosed)
        if version == .v5 { client.receives(.disconnect(reason: .keepAliveTimeout)) } else { client.receivesNothing() }
        #expect(listener.takesMessages().map(\.text) == ["gone"])
    }

    @Test("a will whose payload is said to be text and is not is refused, if that is looked at [5:§3.3.2.3.2]")
    func mislabelledWill() {
        var settings = BrokerSettings()
        settings.checksPayloadFormat = true
        let broker = ShardHarness(settings)
        for (bytes, reason) in [([0xC3, 0xBC], .success), ([0xC3], .payloadFormatInvalid)] as [([UInt8], ReasonCode)] {
            var will = Connect.Will(topic: "w", payload: ByteBuffer(bytes: bytes))
            will.properties.payloadFormatIndicator = 1
            let client = broker.opens()
            client.sends(.connect(clientID: "c", will: will))
            client.receivesConnAck(reason)
        }
    }
}

extension String {
    /// The same letters in another order, always the same.
    fileprivate var shuffledOnce: String {
        String(reversed().enumerated().sorted { $0.offset % 7 < $1.offset % 7 }.map(\.element))
    }
}
