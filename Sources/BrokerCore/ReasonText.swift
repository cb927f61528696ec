package import MQTTCodec

/// What a peer of version 5 reads beside a reason code: Reason String is for people who look for their fault.
///
/// CONNACK and DISCONNECT always carry it; acknowledgements only while the client has not switched it off
/// [5:MQTT-3.1.2-29]. It is the first to go when a packet is too large for the peer. We never send user properties of our
/// own, so that no packet can be too large because of them [5:MQTT-3.2.2-20] [5:MQTT-3.4.2-3] [5:MQTT-3.5.2-3]
/// [5:MQTT-3.9.2-2] [5:MQTT-3.14.2-4]; PUBREL and PUBCOMP have neither [5:MQTT-3.6.2-2] [5:MQTT-3.6.2-3]
/// [5:MQTT-3.7.2-2] [5:MQTT-3.7.2-3].
extension ReasonCode {
    /// One sentence, without anything of the packet in it. Nil where the code says it all.
    var text: MQTTString? {
        switch self {
        case .protocolError: "a packet that may not come here"
        case .unsupportedProtocolVersion: "this server speaks MQTT 3.1, 3.1.1 and 5.0"
        case .clientIdentifierNotValid: "the client id is empty, too long or not allowed"
        case .badUserNameOrPassword: "user name or password are wrong"
        case .notAuthorized: "the rules of this server do not allow it"
        case .serverUnavailable, .serverShuttingDown: "this server is shutting down"
        case .badAuthenticationMethod: "this server does not know the authentication method"
        case .keepAliveTimeout: "nothing came for one and a half keep-alive intervals"
        case .sessionTakenOver: "another connection came with the same client id"
        case .topicNameInvalid: "not a topic that a client may publish to"
        case .receiveMaximumExceeded: "more unanswered messages than Receive Maximum"
        case .topicAliasInvalid: "a topic alias above Topic Alias Maximum, or one that stands for nothing"
        case .quotaExceeded: "a limit of this server is reached"
        case .payloadFormatInvalid: "the payload is said to be text and is not UTF-8"
        case .retainNotSupported: "this server keeps no messages for clients"
        case .qosNotSupported: "the QoS is above Maximum QoS"
        case .wildcardSubscriptionsNotSupported: "this server takes no wildcards"
        default: nil
        }
    }
}

extension Connection {
    /// The answer to a PUBLISH, in words too when it is a refusal.
    func publishAck(_ packetID: UInt16, _ reason: ReasonCode) -> PublishAck {
        var ack = PublishAck(packetID: packetID, reason: reason)
        if reason.isFailure, wantsProblems, version == .v5 { ack.properties.reasonString = reason.text }
        return ack
    }

    /// The answer to a SUBSCRIBE, in words too when a filter was refused.
    func subAck(_ packetID: UInt16, _ reasons: [ReasonCode]) -> SubAck {
        var ack = SubAck(packetID: packetID, reasons: reasons)
        if wantsProblems, version == .v5, let refused = reasons.first(where: \.isFailure) {
            ack.properties.reasonString = refused.text
        }
        return ack
    }
}

extension Packet {
    /// The same without its Reason String; nil when it has none.
    package var withoutReasonString: Packet? {
        func strip(_ properties: Properties) -> Properties? {
            guard properties.reasonString != nil else { return nil }
            var properties = properties
            properties.reasonString = nil
            return properties
        }
        switch self {
        case .connAck(var ack):
            guard let shorter = strip(ack.properties) else { return nil }
            ack.properties = shorter
            return .connAck(ack)
        case .disconnect(var disconnect):
            guard let shorter = strip(disconnect.properties) else { return nil }
            disconnect.properties = shorter
            return .disconnect(disconnect)
        case .pubAck(var ack):
            guard let shorter = strip(ack.properties) else { return nil }
            ack.properties = shorter
            return .pubAck(ack)
        case .pubRec(var ack):
            guard let shorter = strip(ack.properties) else { return nil }
            ack.properties = shorter
            return .pubRec(ack)
        case .subAck(var ack):
            guard let shorter = strip(ack.properties) else { return nil }
            ack.properties = shorter
            return .subAck(ack)
        case .connect, .publish, .pubRel, .pubComp, .subscribe, .unsubscribe, .unsubAck, .pingReq, .pingResp, .auth:
            return nil
        }
    }
}
