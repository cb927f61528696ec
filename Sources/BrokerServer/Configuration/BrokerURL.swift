/// `mqtt://[user[:password]@]host[:port][/path]`, and mqtts, ws and wss alike: how links and the command line write a
/// broker.
package struct BrokerURL: Sendable, Equatable {
    package struct Invalid: Error, Sendable, CustomStringConvertible {
        package let description: String

        package init(_ description: String) { self.description = description }
    }

    package var transport: LinkAddress.Transport
    package var host: String
    /// Nil: the one that is usual for the transport.
    package var port: Int?
    package var username: String?
    package var password: String?
    /// From the slash after the host on, as it stands there; nil without a slash.
    package var path: String?

    /// What the command line takes for a topic; nil when it is empty.
    package var topic: String? { path == "/" ? nil : path.map { String($0.dropFirst()) } }

    /// - Throws: what is wrong, without the password.
    package init(_ text: String) throws(Invalid) {
        guard let transport = LinkAddress.Transport.allCases.first(where: { text.hasPrefix("\($0.rawValue)://") })
        else { throw Invalid("must begin with mqtt://, mqtts://, ws:// or wss://") }
        var authority = text.dropFirst("\(transport.rawValue)://".count)
        if let slash = authority.firstIndex(of: "/") {
            path = String(authority[slash...])
            authority = authority[..<slash]
        }
        // The last one: people have passwords with @, and no host has one.
        if let at = authority.lastIndex(of: "@") {
            let login = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            username = login.first.map { Self.decoded($0) }
            password = login.count > 1 ? Self.decoded(login[1]) : nil
            authority = authority[at...].dropFirst()
        }
        do throws(HostAndPort.Failure) {
            let place = try HostAndPort.parse(authority, ports: 1...65_535, defaultPort: 0)
            self.host = place.host
            self.port = place.port == 0 ? nil : place.port
        } catch {
            throw Invalid(error.message)
        }
        self.transport = transport
    }

    /// `%40` is `@` (RFC 3986 §2.1); what is no such sequence stays as it is.
    static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let first = rest.popFirst() {
            let digits = rest.prefix(2)
            if first == UInt8(ascii: "%"), digits.count == 2,
                digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let byte = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            {
                bytes.append(byte)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(first)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
