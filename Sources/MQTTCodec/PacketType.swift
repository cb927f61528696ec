/// The type of a control packet: the upper half of its first byte (§2.1.2).
package enum PacketType: UInt8, Sendable, Hashable, CaseIterable {
    case connect = 1
    case connAck = 2
    case publish = 3
    case pubAck = 4
    case pubRec = 5
    case pubRel = 6
    case pubComp = 7
    case subscribe = 8
    case subAck = 9
    case unsubscribe = 10
    case unsubAck = 11
    case pingReq = 12
    case pingResp = 13
    case disconnect = 14
    /// Version 5 only.
    case auth = 15

    /// The lower half of the first byte where the standard fixes it (§2.1.3); PUBLISH keeps DUP, QoS and RETAIN
    /// there and has 0 here.
    package var reservedFlags: UInt8 {
        switch self {
        case .pubRel, .subscribe, .unsubscribe: 0b0010
        default: 0
        }
    }

    /// Whether a client of this version sends such packets. What nobody sends in a version is false for both sides.
    func isSentByClient(in version: ProtocolVersion) -> Bool {
        switch self {
        case .connAck, .subAck, .unsubAck, .pingResp: false
        case .auth: version == .v5
        default: true
        }
    }

    /// Whether a server of this version sends such packets.
    func isSentByServer(in version: ProtocolVersion) -> Bool {
        switch self {
        case .connect, .subscribe, .unsubscribe, .pingReq: false
        case .auth, .disconnect: version == .v5
        default: true
        }
    }

    /// The one remaining length that a packet of this type has in `version`, nil where it varies. Known from the
    /// header, so that a wrong one is refused before its body is buffered.
    func fixedRemainingLength(in version: ProtocolVersion) -> Int? {
        switch self {
        case .pingReq, .pingResp: 0
        case .connAck, .pubAck, .pubRec, .pubRel, .pubComp, .unsubAck: version == .v5 ? nil : 2
        case .disconnect: version == .v5 ? nil : 0
        default: nil
        }
    }
}

extension Packet {
    package var type: PacketType {
        switch self {
        case .connect: .connect
        case .connAck: .connAck
        case .publish: .publish
        case .pubAck: .pubAck
        case .pubRec: .pubRec
        case .pubRel: .pubRel
        case .pubComp: .pubComp
        case .subscribe: .subscribe
        case .subAck: .subAck
        case .unsubscribe: .unsubscribe
        case .unsubAck: .unsubAck
        case .pingReq: .pingReq
        case .pingResp: .pingResp
        case .disconnect: .disconnect
        case .auth: .auth
        }
    }
}
