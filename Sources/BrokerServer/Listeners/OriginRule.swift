package import BrokerCore

/// Which web pages may talk to this listener (promise 7 of the design).
///
/// A browser lets any page open a WebSocket to, or post to, any address it can reach, the user's own machine included;
/// all it does is tell us the page's origin. So a request with an Origin passes only when that is configured, or when
/// the page came from this very listener: Origin equals Host, and Host is a name or address of ours. The second half
/// matters: with DNS rebinding a stranger's name leads to our address, and then Origin and Host agree on that name.
///
/// Programs send no Origin; they pass, unless the listener is told otherwise.
package struct OriginRule: Sendable {
    private static let loopbackNames: Set<String> = ["localhost", "127.0.0.1", "::1"]

    /// That of the listener.
    private let scheme: WebOrigin.Scheme
    private let patterns: [WebOriginPattern]
    private let allowsMissingOrigin: Bool
    /// Names that are ours whatever address a connection came in at; in lower case.
    private let ownNames: Set<String>
    private let isLoopback: Bool
    private let isWildcard: Bool

    /// - Parameters:
    ///   - listenerHost: the host that the listener was told to bind: a name, an address, or a wildcard address.
    ///   - systemName: the host name of the machine; counts for wildcard listeners, also as `name.local`.
    package init(
        listenerHost: String,
        scheme: WebOrigin.Scheme = .http,
        patterns: [WebOriginPattern],
        allowsMissingOrigin: Bool,
        systemName: String?
    ) {
        self.scheme = scheme
        self.patterns = patterns
        self.allowsMissingOrigin = allowsMissingOrigin
        let host = Self.canonical(listenerHost)
        isWildcard = ["0.0.0.0", "::", "*", ""].contains(host)
        isLoopback = NetworkAddress(host)?.isLoopback ?? (host == "localhost")
        if isWildcard {
            var names = Self.loopbackNames
            if let system = systemName?.lowercased(), let label = system.split(separator: ".").first {
                names.formUnion([system, String(label), label + ".local"])
            }
            ownNames = names
        } else if isLoopback {
            ownNames = Self.loopbackNames.union([host])
        } else {
            ownNames = [host]
        }
    }

    /// True when the request may be served.
    ///
    /// - Parameters:
    ///   - origins: every Origin field of the request, as it came.
    ///   - host: the value of its Host field.
    ///   - localAddress: the address at which the connection was accepted.
    package func accepts(origins: [String], host: String?, localAddress: NetworkAddress?) -> Bool {
        guard let first = origins.first else { return allowsMissingOrigin }
        guard origins.count == 1 else { return false }
        do throws(WebOrigin.Invalid) {
            let origin = try WebOrigin(first)
            if patterns.contains(where: { $0.matches(origin) }) { return true }
            guard let host, try WebOrigin(host: host, scheme: scheme) == origin else { return false }
            return isOwn(origin.host, localAddress: localAddress)
        } catch {
            return false
        }
    }

    /// True when an answer to a plain GET may go to whoever asks under this Host. Browsers send no Origin with a GET to
    /// the page's own host, so here the Host alone tells a rebound name; only loopback listeners can afford to insist,
    /// since others stand behind proxies and names that we do not know.
    package func acceptsHost(_ host: String?, localAddress: NetworkAddress?) -> Bool {
        guard isLoopback, let host else { return true }
        do throws(WebOrigin.Invalid) {
            for scheme in WebOrigin.Scheme.allCases {
                let page = try WebOrigin(host: host, scheme: scheme)
                if isOwn(page.host, localAddress: localAddress) || patterns.contains(where: { $0.matches(page) }) {
                    return true
                }
            }
            return false
        } catch {
            return false
        }
    }

    private func isOwn(_ host: String, localAddress: NetworkAddress?) -> Bool {
        ownNames.contains(host) || localAddress?.description == host
    }

    /// Names have no case, and addresses one way to be written.
    private static func canonical(_ host: String) -> String { NetworkAddress(host)?.description ?? host.lowercased() }
}
