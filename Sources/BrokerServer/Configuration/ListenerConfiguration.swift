package import BrokerCore
package import MQTTCodec

/// `[[listener]]`: one kind of door with the addresses where it opens.
package struct ListenerConfiguration: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// `type = "mqtt"`: MQTT over TCP.
        case mqtt
        /// `type = "web"`: MQTT over WebSocket, publish and subscribe over HTTP, and the chat page, on one port.
        case web(WebConfiguration)
        /// `type = "mux"`: other listeners on one port, told apart by what a client says first.
        case mux(MuxConfiguration)
    }

    /// `name`: in the log and in metrics; default: the type, with a number when taken; unique.
    package var name: String
    /// `type`: default `mqtt`.
    package var kind: Kind
    /// `bind`: at least one address; default `127.0.0.1:1883` for mqtt and `127.0.0.1:8083` for web, with TLS
    /// `127.0.0.1:8883` and `127.0.0.1:8084`.
    package var addresses: [BindAddress]
    /// `[listener.tls]`: nil when the listener speaks in the clear.
    package var tls: ListenerTLSConfiguration?
    /// `[listener.limits]`: what is tighter here than in the node.
    package var limits = ListenerLimits()
    /// `versions`: of MQTT that are spoken; default all.
    package var versions: Set<ProtocolVersion> = [.v3_1, .v3_1_1, .v5]
    /// `rate`: default no limit.
    package var rate = RateLimit()
    /// `allow`: addresses and ranges that clients may come from; nil: all.
    package var allowed: [AddressRange]?
    /// `proxy_protocol`: the header that a proxy has to send first; nil: none.
    package var proxyProtocol: ProxyHeader.Version?
    /// `trusted_proxies`: whose X-Forwarded-For is believed, and who may send a PROXY header; addresses, ranges, `unix`;
    /// default none, which for the PROXY header means whoever comes.
    package var trustedProxies = TrustedProxies.none

    package init(name: String, kind: Kind, addresses: [BindAddress], tls: ListenerTLSConfiguration? = nil) {
        self.name = name
        self.kind = kind
        self.addresses = addresses
        self.tls = tls
    }

    /// The doors of a node whose file names none: both on loopback.
    package static var defaults: [ListenerConfiguration] {
        [
            ListenerConfiguration(name: "mqtt", kind: .mqtt, addresses: [defaultMQTTAddress]),
            ListenerConfiguration(name: "web", kind: .web(WebConfiguration()), addresses: [defaultWebAddress]),
        ]
    }

    package static var defaultMQTTAddress: BindAddress { BindAddress(host: "127.0.0.1", port: 1883) }
    package static var defaultWebAddress: BindAddress { BindAddress(host: "127.0.0.1", port: 8083) }
    package static var defaultTLSAddress: BindAddress { BindAddress(host: "127.0.0.1", port: 8883) }
    package static var defaultWebTLSAddress: BindAddress { BindAddress(host: "127.0.0.1", port: 8084) }
}

/// What only a listener of type `web` has.
package struct WebConfiguration: Sendable, Equatable {
    /// What is served for a GET that is neither an upgrade nor an interface.
    package enum StaticContent: String, Sendable, CaseIterable {
        /// The chat page and `mqtt.js` that come with the program.
        case builtin
        case none
    }

    /// `paths`: where a WebSocket upgrade is accepted; default `/mqtt` and `/`; each begins with a slash.
    package var paths: [String] = ["/mqtt", "/"]
    /// `subprotocols`: accepted WebSocket subprotocols, the preferred first; default `mqtt`, `mqttv3.1`, `mqttv5`.
    package var subprotocols: [String] = ["mqtt", "mqttv3.1", "mqttv5"]
    /// `require_subprotocol`: refuse an upgrade that offers none of them; default true.
    package var requiresSubprotocol = true
    /// `origins`: web pages of others that may connect: `https://chat.example.com`, `https://*.example.com`; default none.
    ///
    /// A page of our own (Origin equal to Host, and Host a name or address of the listener) needs no entry.
    package var origins: [WebOriginPattern] = []
    /// `allow_missing_origin`: let in clients that send no Origin, which no browser does; default true.
    package var allowsMissingOrigin = true
    /// `deflate.enabled`: compress messages when a client offers it (permessage-deflate); default false.
    package var deflates = false
    /// `deflate.max_inflated`: bytes that one compressed message may become; default 1 MiB; 1 KiB to 256 MiB.
    package var inflatedBytesMax = 1 << 20
    /// `static`: default `builtin`.
    package var staticContent: StaticContent = .builtin
    /// `max_body`: bytes of an HTTP request body; default 1 MiB; 1 byte to 256 MiB.
    package var bodyBytesMax = 1 << 20

    package init() {}
}

/// What only a listener of type `mux` has.
package struct MuxConfiguration: Sendable, Equatable {
    /// `serve`: names of listeners, one `mqtt` and one `web` at most for each of TLS and the clear.
    package var serves: [String]

    package init(serves: [String]) { self.serves = serves }
}
