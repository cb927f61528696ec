package import MQTTCodec

/// A CONNACK that says no, in the words and exit codes that users of mosquitto's programs know: the return code of
/// version 3, the reason code of version 5.
package enum ClientRefusal {
    package static func text(_ reason: ReasonCode, version: ProtocolVersion) -> String {
        guard version != .v5 else { return "Connection error: \(reason.name)" }
        let words =
            switch reason.connectReturnCode {
            case 1: "unacceptable protocol version"
            case 2: "identifier rejected"
            case 3: "broker unavailable"
            case 4: "bad user name or password"
            case 5: "not authorised"
            default: reason.name
            }
        return "Connection error: Connection Refused: \(words)."
    }

    package static func exitCode(_ reason: ReasonCode, version: ProtocolVersion) -> Int32 {
        Int32(version == .v5 ? reason.rawValue : reason.connectReturnCode ?? reason.rawValue)
    }
}
