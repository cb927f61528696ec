package import BrokerCore

/// The proxies of one listener whose word on where a client comes from is taken.
///
/// X-Forwarded-For is a list that everyone on the way appends to: each proxy writes down whom it saw. What stands at its
/// left end a client may have written itself, so the list is read from the right: as long as the one who speaks is
/// trusted, whom it names counts. The first who is not trusted is the client.
package struct TrustedProxies: Sendable, Equatable {
    /// The entry that stands for whoever comes through a Unix socket.
    package static let unixSocket = "unix"

    private let ranges: [AddressRange]
    private let includesUnixSockets: Bool

    package static let none = TrustedProxies([], includesUnixSockets: false)

    private init(_ ranges: [AddressRange], includesUnixSockets: Bool) {
        self.ranges = ranges
        self.includesUnixSockets = includesUnixSockets
    }

    /// Nil when an entry is neither an address, nor a range, nor "unix".
    package init?(_ entries: [String]) {
        var ranges: [AddressRange] = []
        for entry in entries where entry != Self.unixSocket {
            guard let range = AddressRange(entry) else { return nil }
            ranges.append(range)
        }
        self.init(ranges, includesUnixSockets: entries.contains(Self.unixSocket))
    }

    package var isEmpty: Bool { ranges.isEmpty && !includesUnixSockets }

    /// - Parameter address: nil for a Unix socket.
    package func includes(_ address: NetworkAddress?) -> Bool {
        guard let address else { return includesUnixSockets }
        return ranges.contains { $0.contains(address) }
    }

    /// Who sent a request.
    ///
    /// - Parameters:
    ///   - forwardedFor: every X-Forwarded-For field of the request, in order.
    ///   - peer: who the connection comes from, for the log.
    ///   - address: the same for limits and rules; nil for a Unix socket.
    /// - Returns: nil when nobody who is trusted says anything of it: then it is the peer.
    package func client(forwardedFor: [String], peer: String, address: NetworkAddress?) -> Arrival.Client? {
        guard !forwardedFor.isEmpty, includes(address) else { return nil }
        var found: NetworkAddress?
        let entries = forwardedFor.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }
        for entry in entries.reversed() {
            // What is no address (`unknown`, a word of somebody's own) names nobody: the last who was named stands.
            guard let named = Self.address(in: entry) else { break }
            found = named
            guard includes(named) else { break }
        }
        return found.map { Arrival.Client(peer: "\($0), forwarded by \(peer)", address: $0) }
    }

    /// An address as proxies write it: bare, with a port, or as it stands in a URL.
    private static func address(in entry: Substring) -> NetworkAddress? {
        var text = entry.trimming { $0 == " " || $0 == "\t" || $0 == "\"" }
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            text = text[text.index(after: text.startIndex)..<end]
        } else if text.utf8.count(where: { $0 == UInt8(ascii: ":") }) == 1, let colon = text.firstIndex(of: ":") {
            text = text[..<colon]
        }
        guard !text.contains("%") else { return nil }
        return NetworkAddress(text)
    }
}

extension Substring {
    fileprivate func trimming(_ isBlank: (Character) -> Bool) -> Substring {
        var text = self.drop(while: isBlank)
        while let last = text.last, isBlank(last) { text.removeLast() }
        return text
    }
}
