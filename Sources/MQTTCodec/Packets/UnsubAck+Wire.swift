import NIOCore

extension PacketReader {
    mutating func unsubAck() throws(DecodeError) -> UnsubAck {
        var unsubAck = UnsubAck(packetID: try packetID())
        if version == .v5 {
            unsubAck.properties = try properties(of: .unsubAck)
            // [5:MQTT-3.11.3-2] one for every filter, of which there was one at least.
            if isAtEnd { throw protocolError("[5:MQTT-3.11.3-2]", "UNSUBACK without a code") }
            while !isAtEnd {
                guard unsubAck.reasons.count < limits.maximumFiltersPerPacket else {
                    throw overLimit("too many codes")
                }
                unsubAck.reasons.append(try reasonCode(of: .unsubAck, "[5:MQTT-3.11.3-2]"))
            }
        }
        try expectEnd()
        return unsubAck
    }
}

extension WireSink {
    mutating func unsubAck(_ unsubAck: UnsubAck, version: ProtocolVersion) {
        twoByteInteger(unsubAck.packetID)
        guard version == .v5 else { return }
        properties(unsubAck.properties, of: .unsubAck, version: version)
        for reason in unsubAck.reasons { byte(reason.rawValue) }
    }
}
