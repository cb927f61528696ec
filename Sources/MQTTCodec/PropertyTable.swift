/// The properties of version 5: number on the wire and where each may stand (§2.2.2.2, table 2-4).
enum PropertyID: UInt8, CaseIterable {
    case payloadFormatIndicator = 0x01
    case messageExpiryInterval = 0x02
    case contentType = 0x03
    case responseTopic = 0x08
    case correlationData = 0x09
    case subscriptionIdentifier = 0x0B
    case sessionExpiryInterval = 0x11
    case assignedClientIdentifier = 0x12
    case serverKeepAlive = 0x13
    case authenticationMethod = 0x15
    case authenticationData = 0x16
    case requestProblemInformation = 0x17
    case willDelayInterval = 0x18
    case requestResponseInformation = 0x19
    case responseInformation = 0x1A
    case serverReference = 0x1C
    case reasonString = 0x1F
    case receiveMaximum = 0x21
    case topicAliasMaximum = 0x22
    case topicAlias = 0x23
    case maximumQoS = 0x24
    case retainAvailable = 0x25
    case userProperty = 0x26
    case maximumPacketSize = 0x27
    case wildcardSubscriptionAvailable = 0x28
    case subscriptionIdentifiersAvailable = 0x29
    case sharedSubscriptionAvailable = 0x2A

    /// The packets that may carry it, and the will of CONNECT as a place of its own.
    var places: PropertyPlaces {
        switch self {
        case .payloadFormatIndicator, .messageExpiryInterval, .contentType, .responseTopic, .correlationData:
            [.publish, .will]
        case .subscriptionIdentifier: [.publish, .subscribe]
        case .sessionExpiryInterval: [.connect, .connAck, .disconnect]
        case .assignedClientIdentifier, .serverKeepAlive, .responseInformation: .connAck
        case .authenticationMethod, .authenticationData: [.connect, .connAck, .auth]
        case .requestProblemInformation, .requestResponseInformation: .connect
        case .willDelayInterval: .will
        case .serverReference: [.connAck, .disconnect]
        case .reasonString: [.connAck, .publishAck, .subAck, .unsubAck, .disconnect, .auth]
        case .receiveMaximum, .topicAliasMaximum, .maximumPacketSize: [.connect, .connAck]
        case .topicAlias: .publish
        case .maximumQoS, .retainAvailable, .wildcardSubscriptionAvailable, .subscriptionIdentifiersAvailable,
            .sharedSubscriptionAvailable:
            .connAck
        case .userProperty: .all
        }
    }
}

/// Where properties stand.
struct PropertyPlaces: OptionSet {
    let rawValue: UInt16

    static let connect = PropertyPlaces(rawValue: 1 << 0)
    static let will = PropertyPlaces(rawValue: 1 << 1)
    static let connAck = PropertyPlaces(rawValue: 1 << 2)
    static let publish = PropertyPlaces(rawValue: 1 << 3)
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    static let publishAck = PropertyPlaces(rawValue: 1 << 4)
    static let subscribe = PropertyPlaces(rawValue: 1 << 5)
    static let subAck = PropertyPlaces(rawValue: 1 << 6)
    static let unsubscribe = PropertyPlaces(rawValue: 1 << 7)
    static let unsubAck = PropertyPlaces(rawValue: 1 << 8)
    static let disconnect = PropertyPlaces(rawValue: 1 << 9)
    static let auth = PropertyPlaces(rawValue: 1 << 10)
    static let all = PropertyPlaces(rawValue: (1 << 11) - 1)
}
