package import NIOCore

extension SocketAddress {
    /// The address with its port, for the log.
    package var text: String {
        guard let address = addressText, let port else { return "local" }
        return address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    /// The address without a port, as access rules and logs know it; nil for sockets of the file system.
    ///
    /// A listener on `[::]` sees IPv4 clients under addresses such as `::ffff:127.0.0.1`. They are written as what they
    /// are, so that one client has one address whichever listener it came through, and loopback is known as loopback.
    package var addressText: String? {
        guard let text = ipAddress else { return nil }
        let prefix = "::ffff:"
        guard text.lowercased().hasPrefix(prefix) else { return text }
        let rest = String(text.dropFirst(prefix.count))
        return IPv4Text.bytes(of: rest) == nil ? text : rest
    }
}
