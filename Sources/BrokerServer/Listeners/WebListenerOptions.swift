package import BrokerCore
package import NIOCore

/// What one web port serves, to whom, and how much it bears.
package struct WebListenerOptions: Sendable {
    /// A name or address to bind; "0.0.0.0" or "::" for all.
    package var host: String
    /// 0 lets the system choose.
    package var port: Int
    /// Paths at which MQTT over WebSocket is spoken.
    package var webSocketPaths = ["/mqtt"]
    /// Accepted WebSocket subprotocols, the preferred one first.
    package var subprotocols = ["mqtt", "mqttv3.1", "mqttv5"]
    /// Refuses clients that offer no subprotocol at all [5:MQTT-6.0.0-3] [311:MQTT-6.0.0-3].
    package var requireSubprotocol = true
    /// Web pages elsewhere that may use this port.
    package var origins: [WebOriginPattern] = []
    /// Serves programs, which send no Origin.
    package var allowMissingOrigin = true
    /// Agrees to compress messages when a client offers it.
    package var deflates = false
    /// Whose X-Forwarded-For is believed.
    package var trustedProxies = TrustedProxies.none
    /// For whom a trusted proxy may speak; nil: for everybody.
    package var allowed: [AddressRange]?
    /// What may be published here; nil for the limits of the node.
    package var door: Door?
    package var servesPages = true
    package var bodyBytesMax = 1 << 20
    /// How fast one connection may ask.
    package var rate = RateLimit()
    /// Bytes of all header fields of a request together, and of its target.
    package var headerBytesMax = 16 << 10
    package var headerFieldsMax = 100
    /// From accept to the complete head of the first request, and to CONNECT when that asks for a WebSocket.
    package var firstRequestTimeout: TimeAmount = .seconds(10)
    /// From the head of a request to the end of its body.
    package var bodyTimeout: TimeAmount = .seconds(30)
    /// From the end of a publish to its answer; only a disk that does not come back needs as long.
    package var answerTimeout: TimeAmount = .seconds(30)
    /// From an answer to the complete head of the next request.
    package var idleTimeout: TimeAmount = .seconds(60)

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
}
