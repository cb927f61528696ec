/// AUTH, version 5 only (§3.15).
package struct Auth: Sendable, Equatable {
    package var reason: ReasonCode
    package var properties: Properties

    package init(reason: ReasonCode = .success, properties: Properties = Properties()) {
        self.reason = reason
        self.properties = properties
    }
}
