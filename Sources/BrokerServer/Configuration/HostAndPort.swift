import BrokerCore

/// `host:port` with IPv6 addresses in brackets, for listeners and upstreams alike.
struct HostAndPort: Equatable, CustomStringConvertible {
    var host: String
    var port: Int

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    struct Failure: Error {
        var message: String
    }

    /// - Parameters:
    ///   - ports: what is allowed; a listener may say 0.
    ///   - defaultPort: what is meant without `:port`; nil when the port must be said.
    static func parse(
        _ text: some StringProtocol, ports: ClosedRange<Int>, defaultPort: Int?
    ) throws(Failure) -> HostAndPort {
        var host = String(text)
        var portText: String?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw Failure(message: "`[` without `]`") }
            host = String(text[..<end].dropFirst())
            guard host.contains(":"), NetworkAddress(host) != nil else {
                throw Failure(message: "`\(host)` is no IPv6 address")
            }
            let rest = text[end...].dropFirst()
            if !rest.isEmpty {
                guard rest.hasPrefix(":") else { throw Failure(message: "after `]` there may only be `:port`") }
                portText = String(rest.dropFirst())
            }
        } else {
            if let colon = text.lastIndex(of: ":") {
                host = String(text[..<colon])
                portText = String(text[colon...].dropFirst())
            }
            if host.contains(":") { throw Failure(message: "an IPv6 address stands in brackets, as in [::1]:1883") }
            guard !host.isEmpty else { throw Failure(message: "there is no host") }
            guard host.utf8.allSatisfy(Identifier.mayContain) else {
                throw Failure(message: "`\(host)` is no host name")
            }
        }
        guard let portText else {
            guard let defaultPort else { throw Failure(message: "the port is missing, as in 127.0.0.1:1883") }
            return HostAndPort(host: host, port: defaultPort)
        }
        guard let port = Digits.value(of: portText), ports.contains(port) else {
            throw Failure(message: "the port must be \(ports.lowerBound) to \(ports.upperBound)")
        }
        return HostAndPort(host: host, port: port)
    }
}
