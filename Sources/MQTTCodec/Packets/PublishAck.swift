/// PUBACK, PUBREC, PUBREL and PUBCOMP: one layout, four packet types (§3.4 to §3.7).
package struct PublishAck: Sendable, Equatable {
    /// 1...65535.
    package var packetID: UInt16
    package var reason: ReasonCode
    package var properties: Properties

    package init(packetID: UInt16, reason: ReasonCode = .success, properties: Properties = Properties()) {
        self.packetID = packetID
        self.reason = reason
        self.properties = properties
    }
}
