package import NIOCore

/// CONNECT: a client asks for a session (§3.1).
package struct Connect: Sendable, Equatable {
    package var version: ProtocolVersion
    /// Version 5 Clean Start, version 3 Clean Session (§3.1.2.4).
    package var cleanStart: Bool
    /// Seconds; 0 switches keep-alive off (§3.1.2.10).
    package var keepAlive: UInt16
    package var clientID: MQTTString
    package var will: Will?
    package var username: MQTTString?
    package var password: ByteBuffer?
    package var properties: Properties
    /// Bit 7 of the protocol level, set by bridges (mosquitto's `try_private`): the peer is a broker that does not
    /// want its own messages back. Versions 3.1 and 3.1.1 only.
    package var isBridge: Bool

    package init(
        version: ProtocolVersion,
        clientID: MQTTString,
        cleanStart: Bool = true,
        keepAlive: UInt16 = 0,
        will: Will? = nil,
        username: MQTTString? = nil,
        password: ByteBuffer? = nil,
        properties: Properties = Properties(),
        isBridge: Bool = false
    ) {
        self.version = version
        self.clientID = clientID
        self.cleanStart = cleanStart
        self.keepAlive = keepAlive
        self.will = will
        self.username = username
        self.password = password
        self.properties = properties
        self.isBridge = isBridge
    }

    /// The message that the server publishes when this connection ends without DISCONNECT (§3.1.2.5).
    package struct Will: Sendable, Equatable {
        package var topic: MQTTString
        package var payload: ByteBuffer
        package var qos: QoS
        package var isRetained: Bool
        /// Will properties; `willDelayInterval` is one of them.
        package var properties: Properties

        package init(
            topic: MQTTString,
            payload: ByteBuffer,
            qos: QoS = .atMostOnce,
            isRetained: Bool = false,
            properties: Properties = Properties()
        ) {
            self.topic = topic
            self.payload = payload
            self.qos = qos
            self.isRetained = isRetained
            self.properties = properties
        }
    }
}
