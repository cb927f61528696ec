/// UNSUBSCRIBE (§3.10).
package struct Unsubscribe: Sendable, Equatable {
    package var packetID: UInt16
    /// At least one [5:MQTT-3.10.3-2].
    package var filters: [TopicFilter]
    package var properties: Properties

    package init(packetID: UInt16, filters: [TopicFilter], properties: Properties = Properties()) {
        self.packetID = packetID
        self.filters = filters
        self.properties = properties
    }
}
