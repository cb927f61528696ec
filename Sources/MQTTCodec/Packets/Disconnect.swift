/// DISCONNECT (§3.14). Version 3 has neither reason nor properties, and only clients send it.
package struct Disconnect: Sendable, Equatable {
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode = .success, properties: Properties = Properties()) {
        self.reason = reason
        self.properties = properties
    }
}
