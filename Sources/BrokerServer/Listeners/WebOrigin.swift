import BrokerCore

/// Scheme, host and port of a web page, as in an Origin field (RFC 6454 §6.1): compared as a whole, in lower case.
package struct WebOrigin: Sendable, Equatable {
    package enum Scheme: String, Sendable, CaseIterable {
        case http, https

        fileprivate var defaultPort: Int { self == .https ? 443 : 80 }
    }

    /// Why a text is none, for the operator; what a browser or a stranger sent is merely equal to nothing.
    package struct Invalid: Error, Sendable {
        package let message: String
    }

    package let scheme: Scheme
    /// A name or an address, without brackets.
    package let host: String
    package let port: Int

    /// Reads `scheme://host[:port]` and nothing else: no path, no user, not `null`.
    package init(_ text: String) throws(Invalid) {
        let text = text.lowercased()
        guard let scheme = Scheme.allCases.first(where: { text.hasPrefix("\($0.rawValue)://") }) else {
            throw Invalid(
                message: "must be an origin such as \"https://chat.example.com\" or \"https://*.example.com\"")
        }
        let authority = text.dropFirst("\(scheme.rawValue)://".count)
        if authority.contains("/") {
            throw Invalid(message: "an origin ends with the host or port, without any `/` after it")
        }
        try self.init(scheme: scheme, authority: authority)
    }

    /// Reads the value of a Host field for a listener that speaks `scheme`.
    package init(host: String, scheme: Scheme) throws(Invalid) {
        try self.init(scheme: scheme, authority: host.lowercased()[...])
    }

    private init(scheme: Scheme, authority: Substring) throws(Invalid) {
        do throws(HostAndPort.Failure) {
            let place = try HostAndPort.parse(authority, ports: 1...65_535, defaultPort: scheme.defaultPort)
            self.scheme = scheme
            // One address has one text here, whoever wrote it.
            host = NetworkAddress(place.host)?.description ?? place.host
            port = place.port
        } catch {
            throw Invalid(message: error.message)
        }
    }
}

/// An entry of the configured `origins`: one origin, or all hosts under a domain (`https://*.example.com`).
package struct WebOriginPattern: Sendable, Equatable {
    private let origin: WebOrigin
    private let coversSubdomains: Bool

    package init(_ text: String) throws(WebOrigin.Invalid) {
        let marker = "://*."
        coversSubdomains = text.contains(marker)
        let plain = coversSubdomains ? text.replacing(marker, with: "://", maxReplacements: 1) : text
        guard !plain.contains("*") else {
            throw WebOrigin.Invalid(
                message: "`*` may only stand for the first part of the host, as in https://*.example.com")
        }
        origin = try WebOrigin(plain)
        // All of `*.com` belongs to nobody, and nothing is under an address.
        guard !coversSubdomains || (origin.host.contains(".") && !origin.host.contains(":")) else {
            throw WebOrigin.Invalid(message: "`*.` stands before a domain of two parts or more, as in *.example.com")
        }
    }

    package func matches(_ other: WebOrigin) -> Bool {
        guard origin.scheme == other.scheme, origin.port == other.port else { return false }
        guard coversSubdomains else { return origin.host == other.host }
        return other.host.utf8.count > origin.host.utf8.count + 1 && other.host.hasSuffix("." + origin.host)
    }
}
