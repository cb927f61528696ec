/// Scheme, host and port of a web page, as in an Origin field (RFC 6454 §6.1): compared as a whole, in lower case.
package struct WebOrigin: Sendable, Equatable {
    package var scheme: String
    /// A name or an IPv4 address; an IPv6 address in its brackets.
    package var host: String
    package var port: UInt16

    /// Reads `scheme://host[:port]` and nothing else: no path, no user, not `null`.
    package init?(_ text: String) {
        let text = text.lowercased()
        let scheme: String
        if text.hasPrefix("http://") {
            scheme = "http"
        } else if text.hasPrefix("https://") {
            scheme = "https"
        } else {
            return nil
        }
        self.init(scheme: scheme, authority: text.dropFirst(scheme.utf8.count + 3))
    }

    /// Reads the value of a Host field for a listener that speaks `scheme`.
    package init?(host: String, scheme: String) {
        self.init(scheme: scheme, authority: host.lowercased()[...])
    }

    private init?(scheme: String, authority: Substring) {
        var host = authority
        var port: UInt16 = scheme == "https" ? 443 : 80
        let afterAddress = authority.lastIndex(of: "]") ?? authority.startIndex
        if let colon = authority[afterAddress...].lastIndex(of: ":") {
            let digits = authority[authority.index(after: colon)...]
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt16(digits)
            else { return nil }
            port = number
            host = authority[..<colon]
        }
        guard Self.isHost(host) else { return nil }
        self.scheme = scheme
        self.host = String(host)
        self.port = port
    }

    /// True for what may stand in a host here, already in lower case. A stricter reading than any browser's: what is
    /// not understood is not equal to anything.
    private static func isHost(_ host: Substring) -> Bool {
        if host.hasPrefix("[") {
            return host.hasSuffix("]") && host.utf8.count > 2
                && host.utf8.dropFirst().dropLast().allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                        UInt8(ascii: ":"), UInt8(ascii: "."):
                        true
                    default: false
                    }
                }
        }
        return !host.isEmpty
            && host.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}

/// An entry of the configured `origins`: one origin, or all hosts under a domain (`https://*.example.com`).
package struct WebOriginPattern: Sendable, Equatable {
    private let origin: WebOrigin
    private let coversSubdomains: Bool

    /// Nil when the text is neither.
    package init?(_ text: String) {
        let marker = "://*."
        if let range = text.firstRange(of: marker) {
            guard let origin = WebOrigin(String(text[..<range.lowerBound]) + "://" + text[range.upperBound...]),
                !origin.host.hasPrefix("["), origin.host.contains(".")
            else { return nil }
            self.origin = origin
            coversSubdomains = true
        } else {
            guard let origin = WebOrigin(text) else { return nil }
            self.origin = origin
            coversSubdomains = false
        }
    }

    package func matches(_ other: WebOrigin) -> Bool {
        guard origin.scheme == other.scheme, origin.port == other.port else { return false }
        guard coversSubdomains else { return origin.host == other.host }
        return other.host.utf8.count > origin.host.utf8.count + 1 && other.host.hasSuffix("." + origin.host)
    }
}
