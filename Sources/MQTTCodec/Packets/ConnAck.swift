/// CONNACK: the server's answer to CONNECT (§3.2).
package struct ConnAck: Sendable, Equatable {
    package var isSessionPresent: Bool
    /// Written to version 3 clients as its return code (`ReasonCode.connectReturnCode`); what came as a return code
    /// is read as the reason code that stands for it.
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode, isSessionPresent: Bool = false, properties: Properties = Properties()) {
        self.reason = reason
        self.isSessionPresent = isSessionPresent
        self.properties = properties
    }
}
