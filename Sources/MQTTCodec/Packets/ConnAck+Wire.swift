import NIOCore

extension PacketReader {
    mutating func connAck() throws(DecodeError) -> ConnAck {
        let flags = try byte()
        // [5:MQTT-3.2.2-1] 3.1 reserves the byte without a value, so nothing is read from it there.
        if version != .v3_1 && flags & 0xFE != 0 {
            throw malformed(statement("[5:MQTT-3.2.2-1]", "[311:§3.2.2.1]"), "reserved acknowledge flag set")
        }
        let isSessionPresent = version != .v3_1 && flags & 1 != 0
        let reason: ReasonCode
        if version == .v5 {
            try checkVersion3Refusal()
            // [5:MQTT-3.2.2-8]
            reason = try reasonCode(of: .connAck, "[5:MQTT-3.2.2-8]")
        } else {
            guard let known = ReasonCode(connectReturnCode: try byte()) else {
                throw protocolError("[311:§3.2.2.3]", "unknown return code")
            }
            reason = known
        }
        // [5:MQTT-3.2.2-6] [311:MQTT-3.2.2-4]
        if isSessionPresent && reason != .success {
            throw protocolError(statement("[5:MQTT-3.2.2-6]", "[311:MQTT-3.2.2-4]"), "session present in a refusal")
        }
        let properties = try properties(of: .connAck)
        try expectEnd()
        return ConnAck(reason: reason, isSessionPresent: isSessionPresent, properties: properties)
    }

    /// A server that does not know version 5 answers its CONNECT in the form that it knows, which has no properties: that
    /// is how it says so [311:MQTT-3.1.2-2]. No CONNACK of version 5 is that short.
    private func checkVersion3Refusal() throws(DecodeError) {
        guard remaining == 1 else { return }
        var rest = self
        guard ReasonCode(connectReturnCode: try rest.byte()) == .unsupportedProtocolVersion else { return }
        throw DecodeError(
            reason: .unsupportedProtocolVersion,
            statement: "[311:MQTT-3.1.2-2]",
            explanation: "refused in the form of version 3",
            offset: offset
        )
    }

    /// A reason code that `type` may carry, and that the other side may send.
    mutating func reasonCode(of type: PacketType, _ statement: String) throws(DecodeError) -> ReasonCode {
        guard let reason = ReasonCode(rawValue: try byte()), reason.isAllowed(in: type) else {
            throw protocolError(statement, "reason code that this packet may not carry")
        }
        if role == .server && !reason.isSentByClient(in: type) {
            throw protocolError(statement, "reason code that only a server sends")
        }
        return reason
    }
}

extension WireSink {
    /// CONNACK behind the fixed header.
    ///
    /// - Parameter returnCode: the code of version 3.
    mutating func connAck(_ connAck: ConnAck, returnCode: UInt8, version: ProtocolVersion) {
        // [5:MQTT-3.2.2-6] [311:MQTT-3.2.2-4] a refusal has no session.
        let isSessionPresent = connAck.isSessionPresent && connAck.reason == .success && version != .v3_1
        byte(isSessionPresent ? 1 : 0)
        byte(version == .v5 ? connAck.reason.rawValue : returnCode)
        properties(connAck.properties, of: .connAck, version: version)
    }
}
