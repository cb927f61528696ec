package import MQTTCodec
package import NIOCore

/// A message that came in by HTTP.
package struct GatewayPublish: Sendable {
    package var topic: MQTTString
    package var payload: ByteBuffer
    package var qos: QoS
    package var isRetained: Bool
    package var properties: Properties
    /// Who sent it; its client id is empty, since HTTP has none.
    package var principal: Principal
    /// The port by which it came, with its limits; nil for those of the node.
    package var door: Door?

    package init(
        topic: MQTTString,
        payload: ByteBuffer,
        qos: QoS,
        isRetained: Bool,
        properties: Properties = Properties(),
        principal: Principal = Principal(username: nil, clientID: "", address: nil)
    ) {
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.isRetained = isRetained
        self.properties = properties
        self.principal = principal
    }
}

/// What became of it. Given after the commit of everything that the message had to store.
package struct GatewayReceipt: Sendable, Equatable {
    package var id: MessageID
    /// True when the message is on disk for somebody: a durable session, a link, or as retained message.
    package var isDurable: Bool
    /// Receivers of any kind that it was routed to.
    package var matched: Int
    /// Names of the links that it was queued for.
    package var links: [MQTTString]

    package init(id: MessageID, isDurable: Bool, matched: Int, links: [MQTTString]) {
        self.id = id
        self.isDurable = isDurable
        self.matched = matched
        self.links = links
    }
}

/// What a node says of itself to `GET /healthz`.
package struct NodeHealth: Sendable, Equatable {
    package struct Link: Sendable, Equatable {
        package var name: MQTTString
        /// The word for users: "connecting", "live", "catching up", "backing off".
        package var state: String
        /// Since when; of the states that are no matter of the moment.
        package var since: Timestamp
        /// Messages that wait for the upstream, and their bytes.
        package var queued: Int
        package var queuedBytes: Int
        /// Why it is not live, or was not lately.
        package var lastError: String?

        package init(
            name: MQTTString,
            state: String,
            since: Timestamp = Timestamp(microseconds: 0),
            queued: Int,
            queuedBytes: Int = 0,
            lastError: String? = nil
        ) {
            self.name = name
            self.state = state
            self.since = since
            self.queued = queued
            self.queuedBytes = queuedBytes
            self.lastError = lastError
        }
    }

    package var connections: Int
    package var links: [Link]
    /// Why the spool stores nothing at the moment; nil when all is well.
    package var spoolTrouble: String?

    package init(connections: Int, links: [Link], spoolTrouble: String? = nil) {
        self.connections = connections
        self.links = links
        self.spoolTrouble = spoolTrouble
    }
}
