import MQTTCodec
import NIOCore
import TestSupport

/// Packets that a version and a side may send.
struct PacketGenerator {
    var random: SeededGenerator
    let version: ProtocolVersion
    /// Of the decoder that shall read the packets.
    let role: PacketDecoder.Role

    init(seed: UInt64, version: ProtocolVersion, role: PacketDecoder.Role) {
        self.random = SeededGenerator(seed: seed)
        self.version = version
        self.role = role
    }

    private var isFive: Bool { version == .v5 }

    /// Any packet but CONNECT.
    mutating func packet() -> Packet {
        switch random.below(9) {
        case 0, 1: return .publish(publish())
        case 2: return .pubAck(ack(.pubAck))
        case 3: return .pubRec(ack(.pubRec))
        case 4: return .pubRel(ack(.pubRel))
        case 5: return .pubComp(ack(.pubComp))
        case 6: return role == .server ? .subscribe(subscribe()) : .subAck(subAck())
        case 7: return role == .server ? .unsubscribe(unsubscribe()) : .unsubAck(unsubAck())
        default: return rare()
        }
    }

    private mutating func rare() -> Packet {
        switch random.below(3) {
        case 0: return role == .server ? .pingReq : .pingResp
        case 1:
            if role == .client { return .connAck(connAck()) }
            fallthrough
        default:
            if isFive && random.oneIn(2) { return .auth(auth()) }
            if role == .client && !isFive { return .pingResp }
            return .disconnect(disconnect())
        }
    }

    mutating func connect() -> Connect {
        var connect = Connect(version: version, clientID: text())
        connect.cleanStart = random.oneIn(2)
        connect.keepAlive = UInt16(random.below(65_536))
        connect.isBridge = !isFive && random.oneIn(3)
        connect.properties = properties(.connect)
        if random.oneIn(2) {
            connect.will = Connect.Will(
                topic: topic(),
                payload: data(),
                qos: qos(),
                isRetained: random.oneIn(2),
                properties: properties(.will)
            )
        }
        if random.oneIn(2) { connect.username = text() }
        if random.oneIn(2) && (isFive || connect.username != nil) { connect.password = data() }
        return connect
    }

    mutating func publish() -> Publish {
        var publish = Publish(topic: topic(), payload: data(), qos: qos(), isRetained: random.oneIn(2))
        if publish.qos != .atMostOnce {
            publish.packetID = packetID()
            publish.isDuplicate = random.oneIn(2)
        }
        publish.properties = properties(.publish)
        if publish.properties.topicAlias != nil && random.oneIn(2) { publish.topic = "" }
        if isFive && random.oneIn(3) { publish.mark = mark() }
        return publish
    }

    private mutating func mark() -> LinkMark {
        let id = MessageID(high: random.next(), low: random.next())
        var mark = LinkMark(id: id, hops: UInt8.random(in: 1...255, using: &random))
        if random.oneIn(2) {
            mark.stream = StreamID(node: random.next(), receiver: random.next() >> (random.next() & 63))
        }
        return mark
    }

    private mutating func connAck() -> ConnAck {
        let reasons: [ReasonCode] =
            isFive
            ? ReasonCode.allCases.filter { $0.isAllowed(in: .connAck) }
            : (0...5).compactMap { ReasonCode(connectReturnCode: $0) }
        var connAck = ConnAck(reason: one(of: reasons), properties: properties(.connAck))
        connAck.isSessionPresent = connAck.reason == .success && version != .v3_1 && random.oneIn(2)
        return connAck
    }

    private mutating func ack(_ type: PacketType) -> PublishAck {
        var ack = PublishAck(packetID: packetID())
        if isFive {
            ack.reason = reason(for: type)
            ack.properties = properties(.ack)
        }
        return ack
    }

    private mutating func subscribe() -> Subscribe {
        var entries: [Subscribe.Entry] = []
        for _ in 0...random.below(4) {
            let filter = filter()
            var options = SubscriptionOptions(maximumQoS: qos())
            if isFive {
                options.noLocal = !filter.isShared && random.oneIn(2)
                options.retainAsPublished = random.oneIn(2)
                options.retainHandling = one(of: SubscriptionOptions.RetainHandling.allCases)
            }
            entries.append(Subscribe.Entry(filter: filter, options: options))
        }
        return Subscribe(packetID: packetID(), subscriptions: entries, properties: properties(.subscribe))
    }

    private mutating func unsubscribe() -> Unsubscribe {
        var filters: [TopicFilter] = []
        for _ in 0...random.below(4) { filters.append(filter()) }
        return Unsubscribe(packetID: packetID(), filters: filters, properties: properties(.unsubscribe))
    }

    private mutating func subAck() -> SubAck {
        let three: [ReasonCode] = [.success, .grantedQoS1, .grantedQoS2, .unspecifiedError]
        var reasons: [ReasonCode] = []
        for _ in 0...random.below(4) { reasons.append(isFive ? reason(for: .subAck) : one(of: three)) }
        return SubAck(packetID: packetID(), reasons: reasons, properties: properties(.ack))
    }

    private mutating func unsubAck() -> UnsubAck {
        var unsubAck = UnsubAck(packetID: packetID())
        if isFive {
            for _ in 0...random.below(4) { unsubAck.reasons.append(reason(for: .unsubAck)) }
            unsubAck.properties = properties(.ack)
        }
        return unsubAck
    }

    private mutating func disconnect() -> Disconnect {
        if !isFive { return Disconnect() }
        return Disconnect(reason: reason(for: .disconnect), properties: properties(.disconnect))
    }

    private mutating func auth() -> Auth {
        let reasons: [ReasonCode] = [.continueAuthentication, role == .server ? .reAuthenticate : .success]
        return Auth(reason: one(of: reasons), properties: properties(.auth))
    }

    // MARK: Properties

    enum Place { case connect, will, connAck, publish, ack, subscribe, unsubscribe, disconnect, auth }

    mutating func properties(_ place: Place) -> Properties {
        guard isFive else { return Properties() }
        var values = Properties.Values()
        if place == .auth { values.authenticationMethod = text() }
        if random.oneIn(3) {
            setMessage(&values, place)
            setSession(&values, place)
            if place == .connAck { setLimits(&values) }
            if random.oneIn(2) {
                for _ in 0...random.below(3) { values.userProperties.append(.init(text(), text())) }
            }
        }
        var properties = Properties()
        properties.values = values
        return properties
    }

    private mutating func setMessage(_ values: inout Properties.Values, _ place: Place) {
        if place == .publish || place == .will {
            if random.oneIn(2) { values.payloadFormatIndicator = UInt8(random.below(2)) }
            if random.oneIn(2) { values.messageExpiryInterval = UInt32(random.below(1 << 32)) }
            if random.oneIn(2) { values.contentType = text() }
            if random.oneIn(2) { values.responseTopic = topic() }
            if random.oneIn(2) { values.correlationData = data() }
        }
        if place == .will && random.oneIn(2) { values.willDelayInterval = UInt32(random.below(1 << 32)) }
        if place == .publish && random.oneIn(2) { values.topicAlias = packetID() }
        if place == .subscribe && random.oneIn(2) { values.subscriptionIdentifiers = [identifier()] }
        if place == .publish && role == .client {
            for _ in 0..<random.below(3) { values.subscriptionIdentifiers.append(identifier()) }
        }
        if [.connAck, .ack, .disconnect, .auth].contains(place) && random.oneIn(2) { values.reasonString = text() }
    }

    private mutating func setSession(_ values: inout Properties.Values, _ place: Place) {
        if place == .connect || place == .connAck {
            if random.oneIn(2) { values.receiveMaximum = packetID() }
            if random.oneIn(2) { values.topicAliasMaximum = UInt16(random.below(65_536)) }
            if random.oneIn(2) { values.maximumPacketSize = UInt32(1 + random.below(1 << 31)) }
            if random.oneIn(2) { values.authenticationMethod = text() }
        }
        if values.authenticationMethod != nil && random.oneIn(2) { values.authenticationData = data() }
        let mayExpire = place == .connect || place == .connAck || (place == .disconnect && role == .server)
        if mayExpire && random.oneIn(2) { values.sessionExpiryInterval = UInt32(random.below(1 << 32)) }
        if place == .connect {
            if random.oneIn(2) { values.requestProblemInformation = random.oneIn(2) }
            if random.oneIn(2) { values.requestResponseInformation = random.oneIn(2) }
        }
        if (place == .connAck || place == .disconnect) && random.oneIn(2) { values.serverReference = text() }
    }

    private mutating func setLimits(_ values: inout Properties.Values) {
        if random.oneIn(2) { values.assignedClientIdentifier = text() }
        if random.oneIn(2) { values.serverKeepAlive = UInt16(random.below(65_536)) }
        if random.oneIn(2) { values.responseInformation = text() }
        if random.oneIn(2) { values.maximumQoS = random.oneIn(2) ? .atMostOnce : .atLeastOnce }
        if random.oneIn(2) { values.retainAvailable = random.oneIn(2) }
        if random.oneIn(2) { values.wildcardSubscriptionAvailable = random.oneIn(2) }
        if random.oneIn(2) { values.subscriptionIdentifiersAvailable = random.oneIn(2) }
        if random.oneIn(2) { values.sharedSubscriptionAvailable = random.oneIn(2) }
    }

    // MARK: Values

    private mutating func one<Element>(of list: [Element]) -> Element { list[random.below(list.count)] }

    private mutating func reason(for type: PacketType) -> ReasonCode {
        let isServer = role == .client
        return one(
            of: ReasonCode.allCases.filter { $0.isAllowed(in: type) && (isServer || $0.isSentByClient(in: type)) })
    }

    private mutating func qos() -> QoS { one(of: QoS.allCases) }
    private mutating func packetID() -> UInt16 { UInt16(1 + random.below(65_535)) }
    private mutating func identifier() -> UInt32 {
        UInt32(1 + random.below([127, 16_383, 2_097_151, 268_435_455][random.below(4)]))
    }

    private mutating func text() -> MQTTString {
        var text = ""
        for _ in 0..<random.below(random.oneIn(20) ? 300 : 8) {
            text.append(one(of: ["a", "Z", "0", " ", "é", "e\u{301}", "亀", "🐢", "\u{FEFF}", "\u{1}", "+", "#", "/"]))
        }
        return MQTTString(text)
    }

    mutating func topic() -> MQTTString {
        var levels: [String] = []
        for _ in 0...random.below(4) { levels.append(one(of: ["", "a", "b", "$x", "ü", "room", "🐢", "1234567890"])) }
        let topic = levels.joined(separator: "/")
        return MQTTString(topic.isEmpty ? "t" : topic)
    }

    mutating func filter() -> TopicFilter {
        var levels: [String] = []
        for _ in 0...random.below(4) { levels.append(one(of: ["+", "", "a", "b", "$x", "room", "ü"])) }
        if random.oneIn(3) { levels.append("#") }
        var text = levels.joined(separator: "/")
        if text.isEmpty { text = "t" }
        if random.oneIn(4) { text = "$share/g/" + text }
        guard let filter = TopicFilter(text) else { preconditionFailure("\(text) is not a filter") }
        return filter
    }

    private mutating func data() -> ByteBuffer {
        var data = ByteBuffer()
        for _ in 0..<random.below(random.oneIn(20) ? 400 : 10) { data.writeInteger(UInt8(random.below(256))) }
        return data
    }
}
