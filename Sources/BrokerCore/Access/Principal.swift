package import MQTTCodec

/// Who a connection is, once it was let in.
package struct Principal: Sendable, Hashable {
    /// Nil for an anonymous client.
    package var username: MQTTString?
    package var clientID: MQTTString
    /// Nil when the transport has none.
    package var address: NetworkAddress?

    package init(username: MQTTString?, clientID: MQTTString, address: NetworkAddress?) {
        self.username = username
        self.clientID = clientID
        self.address = address
    }
}
