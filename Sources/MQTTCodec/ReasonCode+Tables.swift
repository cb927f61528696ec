extension ReasonCode {
    /// Whether a packet of `type` may carry this code [5:§2.4]. Who of the two sides may send it is not asked.
    ///
    /// [5:MQTT-3.2.2-8] [5:MQTT-3.4.2-1] [5:MQTT-3.5.2-1] [5:MQTT-3.6.2-1] [5:MQTT-3.7.2-1] [5:MQTT-3.9.3-2]
    /// [5:MQTT-3.11.3-2] [5:MQTT-3.14.2-1] [5:MQTT-3.15.2-1]
    package func isAllowed(in type: PacketType) -> Bool {
        switch type {
        case .connAck: isAllowedInConnAck
        case .pubAck, .pubRec: isAllowedInPubAck
        case .pubRel, .pubComp: self == .success || self == .packetIdentifierNotFound
        case .subAck: isAllowedInSubAck
        case .unsubAck: isAllowedInUnsubAck
        case .disconnect: isAllowedInDisconnect
        case .auth: self == .success || self == .continueAuthentication || self == .reAuthenticate
        case .connect, .publish, .subscribe, .unsubscribe, .pingReq, .pingResp: false
        }
    }

    /// Whether a client may send it, where a packet that both sides send may carry it: "sent by" in tables 3-4, 3-5 and
    /// 3-10.
    package func isSentByClient(in type: PacketType) -> Bool {
        switch type {
        case .pubAck, .pubRec: self != .noMatchingSubscribers
        case .disconnect:
            switch self {
            case .notAuthorized, .serverBusy, .serverShuttingDown, .keepAliveTimeout, .sessionTakenOver,
                .topicFilterInvalid, .retainNotSupported, .qosNotSupported, .useAnotherServer, .serverMoved,
                .sharedSubscriptionsNotSupported, .connectionRateExceeded, .maximumConnectTime,
                .subscriptionIdentifiersNotSupported, .wildcardSubscriptionsNotSupported:
                false
            default: true
            }
        default: true
        }
    }

    /// Table 3-1.
    private var isAllowedInConnAck: Bool {
        switch self {
        case .success, .unspecifiedError, .malformedPacket, .protocolError, .implementationSpecificError,
            .unsupportedProtocolVersion, .clientIdentifierNotValid, .badUserNameOrPassword, .notAuthorized,
            .serverUnavailable, .serverBusy, .banned, .badAuthenticationMethod, .topicNameInvalid, .packetTooLarge,
            .quotaExceeded, .payloadFormatInvalid, .retainNotSupported, .qosNotSupported, .useAnotherServer,
            .serverMoved, .connectionRateExceeded:
            true
        default: false
        }
    }

    /// Tables 3-4 and 3-5.
    private var isAllowedInPubAck: Bool {
        switch self {
        case .success, .noMatchingSubscribers, .unspecifiedError, .implementationSpecificError, .notAuthorized,
            .topicNameInvalid, .packetIdentifierInUse, .quotaExceeded, .payloadFormatInvalid:
            true
        default: false
        }
    }

    /// Table 3-8.
    private var isAllowedInSubAck: Bool {
        switch self {
        case .success, .grantedQoS1, .grantedQoS2, .unspecifiedError, .implementationSpecificError, .notAuthorized,
            .topicFilterInvalid, .packetIdentifierInUse, .quotaExceeded, .sharedSubscriptionsNotSupported,
            .subscriptionIdentifiersNotSupported, .wildcardSubscriptionsNotSupported:
            true
        default: false
        }
    }

    /// Table 3-9.
    private var isAllowedInUnsubAck: Bool {
        switch self {
        case .success, .noSubscriptionExisted, .unspecifiedError, .implementationSpecificError, .notAuthorized,
            .topicFilterInvalid, .packetIdentifierInUse:
            true
        default: false
        }
    }

    /// Table 3-10.
    private var isAllowedInDisconnect: Bool {
        switch self {
        case .success, .disconnectWithWill, .unspecifiedError, .malformedPacket, .protocolError,
            .implementationSpecificError, .notAuthorized, .serverBusy, .serverShuttingDown, .badAuthenticationMethod,
            .keepAliveTimeout, .sessionTakenOver, .topicFilterInvalid, .topicNameInvalid, .receiveMaximumExceeded,
            .topicAliasInvalid, .packetTooLarge, .messageRateTooHigh, .quotaExceeded, .administrativeAction,
            .payloadFormatInvalid, .retainNotSupported, .qosNotSupported, .useAnotherServer, .serverMoved,
            .sharedSubscriptionsNotSupported, .connectionRateExceeded, .maximumConnectTime,
            .subscriptionIdentifiersNotSupported, .wildcardSubscriptionsNotSupported:
            true
        default: false
        }
    }

    /// The return code that tells a version 3 client the same (table 3.1 of 3.1.1). Nil when none of the six does:
    /// the connection is then closed without CONNACK [311:MQTT-3.2.2-6].
    package var connectReturnCode: UInt8? {
        switch self {
        case .success: 0
        case .unsupportedProtocolVersion: 1
        case .clientIdentifierNotValid: 2
        case .serverUnavailable, .serverBusy, .serverShuttingDown, .quotaExceeded, .connectionRateExceeded,
            .useAnotherServer, .serverMoved, .unspecifiedError, .implementationSpecificError:
            3
        case .badUserNameOrPassword, .badAuthenticationMethod: 4
        case .notAuthorized, .banned: 5
        default: nil
        }
    }

    /// The reason code that says what a version 3 server said; nil for return codes that do not exist.
    package init?(connectReturnCode: UInt8) {
        switch connectReturnCode {
        case 0: self = .success
        case 1: self = .unsupportedProtocolVersion
        case 2: self = .clientIdentifierNotValid
        case 3: self = .serverUnavailable
        case 4: self = .badUserNameOrPassword
        case 5: self = .notAuthorized
        default: return nil
        }
    }
}

extension ReasonCode: CustomStringConvertible {
    /// The name that the standard gives the code, for logs and people.
    package var name: String {
        switch self {
        case .success: "Success"
        case .grantedQoS1: "Granted QoS 1"
        case .grantedQoS2: "Granted QoS 2"
        case .disconnectWithWill: "Disconnect with Will Message"
        case .noMatchingSubscribers: "No matching subscribers"
        case .noSubscriptionExisted: "No subscription existed"
        case .continueAuthentication: "Continue authentication"
        case .reAuthenticate: "Re-authenticate"
        case .unspecifiedError: "Unspecified error"
        case .malformedPacket: "Malformed Packet"
        case .protocolError: "Protocol Error"
        case .implementationSpecificError: "Implementation specific error"
        case .unsupportedProtocolVersion: "Unsupported Protocol Version"
        case .clientIdentifierNotValid: "Client Identifier not valid"
        case .badUserNameOrPassword: "Bad User Name or Password"
        case .notAuthorized: "Not authorized"
        case .serverUnavailable: "Server unavailable"
        case .serverBusy: "Server busy"
        case .banned: "Banned"
        case .serverShuttingDown: "Server shutting down"
        case .badAuthenticationMethod: "Bad authentication method"
        case .keepAliveTimeout: "Keep Alive timeout"
        case .sessionTakenOver: "Session taken over"
        case .topicFilterInvalid: "Topic Filter invalid"
        case .topicNameInvalid: "Topic Name invalid"
        case .packetIdentifierInUse: "Packet Identifier in use"
        case .packetIdentifierNotFound: "Packet Identifier not found"
        case .receiveMaximumExceeded: "Receive Maximum exceeded"
        case .topicAliasInvalid: "Topic Alias invalid"
        case .packetTooLarge: "Packet too large"
        case .messageRateTooHigh: "Message rate too high"
        case .quotaExceeded: "Quota exceeded"
        case .administrativeAction: "Administrative action"
        case .payloadFormatInvalid: "Payload format invalid"
        case .retainNotSupported: "Retain not supported"
        case .qosNotSupported: "QoS not supported"
        case .useAnotherServer: "Use another server"
        case .serverMoved: "Server moved"
        case .sharedSubscriptionsNotSupported: "Shared Subscriptions not supported"
        case .connectionRateExceeded: "Connection rate exceeded"
        case .maximumConnectTime: "Maximum connect time"
        case .subscriptionIdentifiersNotSupported: "Subscription Identifiers not supported"
        case .wildcardSubscriptionsNotSupported: "Wildcard Subscriptions not supported"
        }
    }

    package var description: String { name }
}
