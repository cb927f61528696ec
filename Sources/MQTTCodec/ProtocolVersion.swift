/// The protocol versions on the wire; the raw value is the protocol level of CONNECT (§3.1.2.2).
package enum ProtocolVersion: UInt8, Sendable, Hashable, CaseIterable {
    case v3_1 = 3
    case v3_1_1 = 4
    case v5 = 5

    /// The protocol name that CONNECT carries for this version (§3.1.2.1).
    package var protocolName: String { self == .v3_1 ? "MQIsdp" : "MQTT" }
}

extension ProtocolVersion: CustomStringConvertible {
    /// Said at every connection; without this, by way of reflection.
    package var description: String {
        switch self {
        case .v3_1: "v3_1"
        case .v3_1_1: "v3_1_1"
        case .v5: "v5"
        }
    }
}
