import NIOCore

extension PacketReader {
    /// PUBACK, PUBREC, PUBREL or PUBCOMP (§3.4 to §3.7).
    mutating func publishAck(_ type: PacketType) throws(DecodeError) -> PublishAck {
        var ack = PublishAck(packetID: try packetID())
        // Version 3 ends here; in version 5 what is left out stands for success without properties (§3.4.2.1).
        if version == .v5 && !isAtEnd {
            ack.reason = try reasonCode(of: type, Self.reasonStatement(of: type))
            if !isAtEnd { ack.properties = try properties(of: .publishAck) }
        }
        try expectEnd()
        return ack
    }

    private static func reasonStatement(of type: PacketType) -> String {
        switch type {
        case .pubRec: "[5:MQTT-3.5.2-1]"
        case .pubRel: "[5:MQTT-3.6.2-1]"
        case .pubComp: "[5:MQTT-3.7.2-1]"
        default: "[5:MQTT-3.4.2-1]"
        }
    }
}

extension WireSink {
    /// The shortest legal form: reason and properties only where they say something.
    mutating func publishAck(_ ack: PublishAck, version: ProtocolVersion) {
        twoByteInteger(ack.packetID)
        guard version == .v5 else { return }
        if ack.reason == .success && ack.properties.isEmpty { return }
        byte(ack.reason.rawValue)
        if !ack.properties.isEmpty { properties(ack.properties, of: .publishAck, version: version) }
    }
}
