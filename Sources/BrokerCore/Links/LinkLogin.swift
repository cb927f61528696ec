package import MQTTCodec
package import NIOCore

/// Who a link says that it is, in CONNECT. Whoever dials finds it out anew for each connection, so that the core keeps
/// no password.
package struct LinkLogin: Sendable {
    package var username: MQTTString?
    package var password: ByteBuffer?

    package init(username: MQTTString? = nil, password: ByteBuffer? = nil) {
        self.username = username
        self.password = password
    }
}
