import NIOCore

extension PacketReader {
    mutating func subAck() throws(DecodeError) -> SubAck {
        let packetID = try packetID()
        let properties = try properties(of: .subAck)
        if isAtEnd { throw protocolError(statement("[5:MQTT-3.8.4-6]", "[311:§3.9.3]"), "SUBACK without a code") }
        var reasons: [ReasonCode] = []
        reasons.reserveCapacity(min(remaining, limits.maximumFiltersPerPacket))
        while !isAtEnd {
            guard reasons.count < limits.maximumFiltersPerPacket else { throw overLimit("too many codes") }
            // [5:MQTT-3.9.3-2] [311:MQTT-3.9.3-2]
            let reason = try reasonCode(of: .subAck, statement("[5:MQTT-3.9.3-2]", "[311:MQTT-3.9.3-2]"))
            if version != .v5 && reason.isFailure && reason != .unspecifiedError {
                throw protocolError("[311:MQTT-3.9.3-2]", "unknown return code")
            }
            reasons.append(reason)
        }
        return SubAck(packetID: packetID, reasons: reasons, properties: properties)
    }
}

extension WireSink {
    mutating func subAck(_ subAck: SubAck, version: ProtocolVersion) {
        twoByteInteger(subAck.packetID)
        properties(subAck.properties, of: .subAck, version: version)
        for reason in subAck.reasons {
            // [311:MQTT-3.9.3-2] 0x80 is the only failure of version 3.
            byte(version != .v5 && reason.isFailure ? ReasonCode.unspecifiedError.rawValue : reason.rawValue)
        }
    }
}
