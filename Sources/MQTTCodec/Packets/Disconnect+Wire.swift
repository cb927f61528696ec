import NIOCore

extension PacketReader {
    mutating func disconnect() throws(DecodeError) -> Disconnect {
        var disconnect = Disconnect()
        // Left out: normal disconnection (§3.14.2.1), no properties (§3.14.2.2.1).
        if version == .v5 && !isAtEnd {
            // [5:MQTT-3.14.2-1]
            disconnect.reason = try reasonCode(of: .disconnect, "[5:MQTT-3.14.2-1]")
            if !isAtEnd { disconnect.properties = try properties(of: .disconnect) }
            // [5:MQTT-3.14.2-2]
            if role == .client && disconnect.properties.sessionExpiryInterval != nil {
                throw protocolError("[5:MQTT-3.14.2-2]", "session expiry interval from a server")
            }
        }
        try expectEnd()
        return disconnect
    }
}

extension WireSink {
    mutating func disconnect(_ disconnect: Disconnect, version: ProtocolVersion) {
        guard version == .v5 else { return }
        if disconnect.reason == .success && disconnect.properties.isEmpty { return }
        byte(disconnect.reason.rawValue)
        if !disconnect.properties.isEmpty { properties(disconnect.properties, of: .disconnect, version: version) }
    }
}
