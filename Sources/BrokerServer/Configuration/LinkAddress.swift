/// Where an upstream listens: `mqtt://host[:port]`, `mqtts://...` with TLS, `ws://host[:port][/path]`, `wss://...`.
package struct LinkAddress: Sendable, Hashable, CustomStringConvertible {
    package enum Transport: String, Sendable, CaseIterable {
        case mqtt, mqtts, ws, wss

        package var isEncrypted: Bool { self == .mqtts || self == .wss }
        package var isWebSocket: Bool { self == .ws || self == .wss }

        /// The port that is meant without one.
        package var defaultPort: Int {
            switch self {
            case .mqtt: 1883
            case .mqtts: 8883
            case .ws: 80
            case .wss: 443
            }
        }

        /// What ALPN says unless configured.
        package var applicationProtocol: String { isWebSocket ? "http/1.1" : "mqtt" }
    }

    /// Where brokers listen for WebSockets, unless the address says otherwise.
    package static let defaultPath = "/mqtt"

    package var transport: Transport
    /// A name or an address, without brackets.
    package var host: String
    /// 1 to 65,535.
    package var port: Int
    /// Of a WebSocket; begins with a slash. Empty for others.
    package var path: String

    package init(_ transport: Transport = .mqtt, host: String, port: Int? = nil, path: String? = nil) {
        self.transport = transport
        self.host = host
        self.port = port ?? transport.defaultPort
        self.path = transport.isWebSocket ? path ?? Self.defaultPath : ""
    }

    /// `host:port`, as it stands in a Host field.
    package var authority: String { HostAndPort(host: host, port: port).description }

    package var description: String { "\(transport.rawValue)://\(authority)\(path)" }
}
