import BrokerCore

/// An address that a listener binds: `127.0.0.1:1883`, `[::]:1883`, `localhost:0`, `unix:/run/drawbridge/mqtt.sock`.
package struct BindAddress: Sendable, Hashable, CustomStringConvertible {
    /// A host name or an address, without brackets; `::` serves IPv4 too.
    package var host: String
    /// 0 to 65,535; 0 lets the system choose.
    package var port: Int

    /// Where the socket is in the file system; host and port say nothing then.
    package private(set) var unixPath: String?

    package init(unixPath: String) {
        self.init(host: "", port: 0)
        self.unixPath = unixPath
    }

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package var description: String {
        if let unixPath { return "unix:\(unixPath)" }
        return HostAndPort(host: host, port: port).description
    }

    /// True only for what can never be reached from another machine.
    package var isLoopback: Bool {
        unixPath != nil || NetworkAddress(host)?.isLoopback ?? (host.lowercased() == "localhost")
    }

    /// Whether the system would refuse to bind both: a wildcard address takes the port of every address it covers.
    package func collides(with other: BindAddress) -> Bool {
        if unixPath != nil || other.unixPath != nil { return unixPath == other.unixPath }
        guard port == other.port, port != 0 else { return false }
        if canonicalHost == other.canonicalHost || canonicalHost == "::" || other.canonicalHost == "::" { return true }
        if canonicalHost == "0.0.0.0" { return !other.canonicalHost.contains(":") }
        if other.canonicalHost == "0.0.0.0" { return !canonicalHost.contains(":") }
        return false
    }

    /// `localhost` and `127.0.0.1` are one door in practice, and host names have no case.
    private var canonicalHost: String {
        let lowered = host.lowercased()
        return lowered == "localhost" ? "127.0.0.1" : NetworkAddress(lowered)?.description ?? lowered
    }
}
