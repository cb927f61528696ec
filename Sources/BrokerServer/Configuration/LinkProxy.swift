/// `proxy = "http://[user[:password]@]host:port"`: an HTTP proxy that is asked, with CONNECT (RFC 9110 §9.3.6), for the
/// way to an upstream.
package struct LinkProxy: Sendable, Equatable, CustomStringConvertible {
    package struct Invalid: Error, Sendable {
        package let message: String
    }

    package let host: String
    package let port: Int
    /// `user:password`, for Proxy-Authorization; nil without a user.
    package let login: Secret?

    /// - Throws: what is wrong, without the password.
    package init(_ text: String) throws(Invalid) {
        let scheme = "http://"
        guard text.hasPrefix(scheme) else { throw Invalid(message: "must be http://[user:password@]host:port") }
        var authority = text.dropFirst(scheme.count)
        if authority.hasSuffix("/") { authority.removeLast() }
        var login: Secret?
        // The last one: people have passwords with @, and no host has one.
        if let at = authority.lastIndex(of: "@") {
            let words = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let user = words.first.map { BrokerURL.decoded($0) } ?? ""
            let password = words.count > 1 ? BrokerURL.decoded(words[1]) : ""
            // [RFC 7617 §2] the user ends at the first colon.
            guard !user.isEmpty, !user.contains(":") else {
                throw Invalid(message: "a user of the proxy is not empty and has no colon")
            }
            login = Secret(bytes: Array("\(user):\(password)".utf8))
            authority = authority[at...].dropFirst()
        }
        do throws(HostAndPort.Failure) {
            let place = try HostAndPort.parse(authority, ports: 1...65_535, defaultPort: nil)
            (host, port) = (place.host, place.port)
        } catch {
            throw Invalid(message: error.message)
        }
        self.login = login
    }

    package var description: String { "http://\(HostAndPort(host: host, port: port))" }
}
