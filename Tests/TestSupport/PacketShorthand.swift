package import MQTTCodec
import NIOCore

/// Packets in one line, as conversations need them.
extension Packet {
    package static func connect(
        clientID: MQTTString,
        version: ProtocolVersion = .v5,
        cleanStart: Bool = true,
        expiry: UInt32? = nil,
        keepAlive: UInt16 = 0,
        will: Connect.Will? = nil,
        receiveMaximum: UInt16? = nil,
        packetBytesMax: UInt32? = nil,
        username: MQTTString? = nil,
        password: String? = nil
    ) -> Packet {
        var properties = Properties()
        if version == .v5 {
            properties.sessionExpiryInterval = expiry
            properties.receiveMaximum = receiveMaximum
            properties.maximumPacketSize = packetBytesMax
        }
        return .connect(
            Connect(
                version: version,
                clientID: clientID,
                cleanStart: cleanStart,
                keepAlive: keepAlive,
                will: will,
                username: username,
                password: password.map { ByteBuffer(string: $0) },
                properties: properties
            )
        )
    }

    package static func publish(
        topic: MQTTString,
        payload: String = "",
        qos: QoS = .atMostOnce,
        id: UInt16 = 0,
        isRetained: Bool = false,
        isDuplicate: Bool = false,
        expiry: UInt32? = nil,
        subscriptionIdentifiers: [UInt32] = []
    ) -> Packet {
        var properties = Properties()
        if let expiry { properties.messageExpiryInterval = expiry }
        if !subscriptionIdentifiers.isEmpty { properties.values.subscriptionIdentifiers = subscriptionIdentifiers }
        return .publish(
            Publish(
                topic: topic,
                payload: ByteBuffer(string: payload),
                qos: qos,
                packetID: id,
                isRetained: isRetained,
                isDuplicate: isDuplicate,
                properties: properties
            )
        )
    }

    package static func pubAck(id: UInt16, reason: ReasonCode = .success) -> Packet {
        .pubAck(PublishAck(packetID: id, reason: reason))
    }
    package static func pubRec(id: UInt16, reason: ReasonCode = .success) -> Packet {
        .pubRec(PublishAck(packetID: id, reason: reason))
    }
    package static func pubRel(id: UInt16, reason: ReasonCode = .success) -> Packet {
        .pubRel(PublishAck(packetID: id, reason: reason))
    }
    package static func pubComp(id: UInt16, reason: ReasonCode = .success) -> Packet {
        .pubComp(PublishAck(packetID: id, reason: reason))
    }

    /// Filters that are not valid are left out.
    package static func subscribe(
        id: UInt16,
        filters: String...,
        options: SubscriptionOptions,
        identifier: UInt32? = nil
    ) -> Packet {
        var properties = Properties()
        if let identifier { properties.values.subscriptionIdentifiers = [identifier] }
        let entries = filters.compactMap { TopicFilter($0) }.map { Subscribe.Entry(filter: $0, options: options) }
        return .subscribe(Subscribe(packetID: id, subscriptions: entries, properties: properties))
    }

    package static func subscribe(id: UInt16, filters: String..., qos: QoS = .atMostOnce) -> Packet {
        let options = SubscriptionOptions(maximumQoS: qos)
        let entries = filters.compactMap { TopicFilter($0) }.map { Subscribe.Entry(filter: $0, options: options) }
        return .subscribe(Subscribe(packetID: id, subscriptions: entries))
    }

    package static func subAck(id: UInt16, reasons: ReasonCode...) -> Packet {
        .subAck(SubAck(packetID: id, reasons: reasons))
    }

    package static func unsubscribe(id: UInt16, filters: String...) -> Packet {
        .unsubscribe(Unsubscribe(packetID: id, filters: filters.compactMap { TopicFilter($0) }))
    }

    package static func unsubAck(id: UInt16, reasons: ReasonCode...) -> Packet {
        .unsubAck(UnsubAck(packetID: id, reasons: reasons))
    }

    package static func disconnect(reason: ReasonCode, expiry: UInt32? = nil) -> Packet {
        var disconnect = Disconnect(reason: reason)
        if let expiry { disconnect.properties.sessionExpiryInterval = expiry }
        return .disconnect(disconnect)
    }
}

extension [Packet] {
    /// The identifier of the first SUBSCRIBE among them; 0 without one.
    package var subscribeID: UInt16 {
        for case .subscribe(let subscribe) in self { return subscribe.packetID }
        return 0
    }

    /// The identifier of the first UNSUBSCRIBE among them; 0 without one.
    package var unsubscribeID: UInt16 {
        for case .unsubscribe(let unsubscribe) in self { return unsubscribe.packetID }
        return 0
    }
}

extension Publish {
    package var text: String { String(buffer: payload) }
}
