/// Where an upstream listens: `mqtt://host[:port]`, `mqtts://host[:port]`.
package struct LinkAddress: Sendable, Hashable, CustomStringConvertible {
    package enum Transport: String, Sendable, CaseIterable {
        case mqtt, mqtts

        package var isEncrypted: Bool { self == .mqtts }

        /// The port that is meant without one.
        package var defaultPort: Int {
            switch self {
            case .mqtt: 1883
            case .mqtts: 8883
            }
        }

        /// What ALPN says unless configured.
        package var applicationProtocol: String { "mqtt" }
    }

    package var transport: Transport
    /// A name or an address, without brackets.
    package var host: String
    /// 1 to 65,535.
    package var port: Int

    package init(_ transport: Transport = .mqtt, host: String, port: Int? = nil) {
        self.transport = transport
        self.host = host
        self.port = port ?? transport.defaultPort
    }

    package var description: String {
        "\(transport.rawValue)://" + (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
    }
}
