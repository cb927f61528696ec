import NIOCore

extension PacketReader {
    mutating func auth() throws(DecodeError) -> Auth {
        var auth = Auth()
        // Left out altogether: success without properties (§3.15.2.1).
        if !isAtEnd {
            // [5:MQTT-3.15.2-1]
            auth.reason = try reasonCode(of: .auth, "[5:MQTT-3.15.2-1]")
            auth.properties = try properties(of: .auth)
            // [5:§3.15.2.2.2]
            if auth.properties.authenticationMethod == nil {
                throw protocolError("[5:§3.15.2.2.2]", "AUTH without authentication method")
            }
        }
        // Only servers say success and only clients ask to begin again [5:MQTT-3.15.2-1, table 3-10].
        if auth.reason == (role == .server ? .success : .reAuthenticate) {
            throw protocolError("[5:MQTT-3.15.2-1]", "reason code of the other side")
        }
        try expectEnd()
        return auth
    }
}

extension WireSink {
    mutating func auth(_ auth: Auth) {
        if auth.reason == .success && auth.properties.isEmpty { return }
        byte(auth.reason.rawValue)
        properties(auth.properties, of: .auth, version: .v5)
    }
}
