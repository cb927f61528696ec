/// SUBACK: one reason per filter, in the order of the filters (§3.9). 0...2 is the granted QoS.
package struct SubAck: Sendable, Equatable {
    package var packetID: UInt16
    package var reasons: [ReasonCode]
    package var properties: Properties

    package init(packetID: UInt16, reasons: [ReasonCode], properties: Properties = Properties()) {
        self.packetID = packetID
        self.reasons = reasons
        self.properties = properties
    }
}
