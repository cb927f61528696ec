import BrokerCore
import MQTTCodec

/// What a shard's runner has to know of the listener that a client came in by.
struct ClientDoor: Sendable {
    /// Connections of the node.
    let connectionsMax: Int
    let writeBufferBytesMax: Int
    /// Payload of one WebSocket frame.
    let frameBytesMax: Int
    let codecLimits: CodecLimits
    let rate: RateLimit
    let door: Door

    init(_ listener: ListenerConfiguration, _ configuration: Configuration) {
        let limits = listener.limits ?? configuration.limits
        var own = configuration
        own.limits = limits
        let settings = BrokerSettings(own)
        var clientLimits = settings.clientLimits
        clientLimits.versions = listener.versions
        connectionsMax = configuration.limits.connectionsMax
        writeBufferBytesMax = limits.writeBufferBytesMax
        // A packet may begin anywhere in a frame, and some headers are before it.
        frameBytesMax = limits.packetBytesMax + 1_024
        codecLimits = .of(settings)
        rate = listener.rate
        door = Door(clientLimits)
    }
}
