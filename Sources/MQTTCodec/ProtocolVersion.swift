/// The protocol versions on the wire; the raw value is the protocol level of CONNECT (§3.1.2.2).
package enum ProtocolVersion: UInt8, Sendable, Hashable, CaseIterable {
    case v3_1 = 3
    case v3_1_1 = 4
    case v5 = 5

    /// The protocol name that CONNECT carries for this version (§3.1.2.1).
    package var protocolName: String { self == .v3_1 ? "MQIsdp" : "MQTT" }
}
