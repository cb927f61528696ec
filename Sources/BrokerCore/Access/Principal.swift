package import MQTTCodec

/// Who a connection is, once it was let in.
package struct Principal: Sendable, Hashable {
    /// Nil for an anonymous client.
    package var username: MQTTString?
    package var clientID: MQTTString
    /// As text without a port: "127.0.0.1", "::1"; nil when the transport has none.
    package var address: String?

    package init(username: MQTTString?, clientID: MQTTString, address: String?) {
        self.username = username
        self.clientID = clientID
        self.address = address
    }
}
