import BrokerCore
import MQTTCodec

/// What has to be known of the listener that a client came in by.
struct ClientDoor: Sendable {
    let writeBufferBytesMax: Int
    /// Payload of one WebSocket frame.
    let frameBytesMax: Int
    /// What one compressed message may become.
    let inflatedBytesMax: Int
    let codecLimits: CodecLimits
    let rate: RateLimit
    let door: Door

    init(_ listener: ListenerConfiguration, _ configuration: Configuration) {
        var own = configuration
        own.limits = listener.limits(within: configuration.limits)
        let settings = BrokerSettings(own)
        var clientLimits = settings.clientLimits
        clientLimits.versions = listener.versions
        clientLimits.subscriptionsMax = listener.limits.subscriptionsMax
        writeBufferBytesMax = own.limits.writeBufferBytesMax
        // A packet may begin anywhere in a frame, and some headers are before it.
        frameBytesMax = own.limits.packetBytesMax + 1_024
        inflatedBytesMax = if case .web(let web) = listener.kind { web.inflatedBytesMax } else { 0 }
        codecLimits = .of(settings)
        rate = listener.rate
        door = Door(clientLimits)
    }

    /// Those of a configuration, by the listener's name.
    static func all(of configuration: Configuration) -> [String: ClientDoor] {
        Dictionary(configuration.listeners.map { ($0.name, ClientDoor($0, configuration)) }) { first, _ in first }
    }
}
