package import MQTTCodec

/// Which address of its upstream a link tries next, and in which version of the protocol.
///
/// A round gives every address one try, without a rest between them, so that a dead first address costs its timeout and
/// not a back-off besides. Behind a round the link rests. A connection that lasted makes a new round: whoever loses it
/// goes to the other addresses at once.
///
/// Versions are tried in the configured order at each connection anew: an upstream that knows an older one only says so,
/// which costs a round trip, and one that has learned a newer one is met in it without anybody's doing.
package struct LinkRoute: Sendable {
    package enum Order: Sendable, Equatable {
        /// The earlier an address stands in the list, the better; the link returns to a better one when that answers.
        case first
        /// Each new connection goes to the next address.
        case roundRobin
    }

    /// An upstream that closes without a word on CONNECT may not know its version, or may be about to end: it is taken at
    /// its word when it does so again.
    private static let silentClosesMax = 2

    private let order: Order
    private let versions: [ProtocolVersion]
    /// Of those of this round.
    private var hasFailed: [Bool]
    private var silentCloses: [Int]
    private var versionIndex = 0
    /// The one to be tried, or that is connected.
    package private(set) var address = 0

    /// - Parameters:
    ///   - addresses: how many there are, 1 at least.
    ///   - versions: at least one, the one that is wanted most first.
    package init(addresses: Int, order: Order, versions: [ProtocolVersion]) {
        self.order = order
        self.versions = versions
        self.hasFailed = Array(repeating: false, count: max(1, addresses))
        self.silentCloses = Array(repeating: 0, count: max(1, addresses))
    }

    /// For CONNECT at `address`.
    package var version: ProtocolVersion { versions.isEmpty ? .v5 : versions[versionIndex] }

    /// Whether there is an address that is better than the one that is connected.
    package var hasBetter: Bool { order == .first && address > 0 }

    /// The try, or the connection, at `address` is over.
    ///
    /// - Parameter wasStable: whether it was a connection that lasted.
    /// - Returns: whether to try again at once; else the link rests first.
    package mutating func failed(wasStable: Bool = false) -> Bool {
        versionIndex = 0
        if wasStable { forgetFailures() }
        hasFailed[address] = true
        if let next = following.first(where: { !hasFailed[$0] }) {
            address = next
            return true
        }
        forgetFailures()
        address = following.first ?? 0
        return false
    }

    /// The upstream does not speak the version.
    ///
    /// - Returns: whether there is another to try there at once.
    package mutating func versionRefused() -> Bool {
        guard versionIndex + 1 < versions.count else { return false }
        versionIndex += 1
        return true
    }

    /// The upstream closed instead of answering CONNECT.
    ///
    /// - Returns: whether there is another version to try there at once.
    package mutating func closedSilently() -> Bool {
        silentCloses[address] += 1
        guard silentCloses[address] >= Self.silentClosesMax else { return false }
        silentCloses[address] = 0
        return versionRefused()
    }

    /// The upstream at `address` said yes.
    package mutating func accepted() { silentCloses[address] = 0 }

    /// A better address said yes while another was connected.
    package mutating func moved(to better: Int, _ version: ProtocolVersion) {
        address = min(better, hasFailed.count - 1)
        versionIndex = versions.firstIndex(of: version) ?? 0
        forgetFailures()
    }

    /// All addresses in the order of their turn.
    private var following: [Int] {
        switch order {
        case .first: Array(hasFailed.indices)
        case .roundRobin: hasFailed.indices.map { (address + 1 + $0) % hasFailed.count }
        }
    }

    private mutating func forgetFailures() {
        for index in hasFailed.indices { hasFailed[index] = false }
    }
}

extension LinkRoute {
    init(_ settings: LinkSettings) {
        self.init(addresses: settings.addressCount, order: settings.order, versions: settings.versions)
    }
}
