/// UNSUBACK (§3.11): one reason per filter in version 5, nothing but the packet identifier before.
package struct UnsubAck: Sendable, Equatable {
    package var packetID: UInt16
    /// Empty for version 3.
    package var reasons: [ReasonCode]
    package var properties: Properties

    package init(packetID: UInt16, reasons: [ReasonCode] = [], properties: Properties = Properties()) {
        self.packetID = packetID
        self.reasons = reasons
        self.properties = properties
    }
}
