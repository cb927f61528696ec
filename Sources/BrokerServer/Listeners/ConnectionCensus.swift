package import BrokerCore
import NIOCore
import Synchronization

/// Counts the connections of a node, all together and from each address, whichever door they came by.
///
/// A connection is counted when it is accepted; its address, when that is known: at once, or when a proxy has said it.
package final class ConnectionCensus: Sendable {
    package enum Refusal: Error, Sendable, Equatable {
        /// As many as there may be are open.
        case full(Int)
        /// As many as there may be are open from this address.
        case fullForAddress(Int)
    }

    private struct Counts: Sendable {
        var total = 0
        /// No address stands here with zero, so there are never more entries than connections.
        var byNetwork: [NetworkAddress: Int] = [:]
        var perAddressMax: Int?
    }

    private let counts: Mutex<Counts>
    package let totalMax: Int

    /// A limit for those who come from elsewhere, unless the operator says one.
    package static let perAddressMaxByDefault = 1_000

    /// - Parameter perAddressMax: nil for the default, which does not count loopback: there it would count the users of
    ///   a proxy, or the tools of the operator.
    package init(totalMax: Int = .max, perAddressMax: Int? = nil) {
        self.totalMax = totalMax
        counts = Mutex(Counts(perAddressMax: perAddressMax))
    }

    /// For those who come from now on.
    package func setPerAddressMax(_ new: Int?) { counts.withLock { $0.perAddressMax = new } }

    /// Connections that are open.
    package var total: Int { counts.withLock { $0.total } }
    /// Addresses that are remembered.
    package var addresses: Int { counts.withLock { $0.byNetwork.count } }

    /// - Throws: when there are too many; nothing is counted then.
    package func enter() throws(Refusal) {
        let isFull = counts.withLock { counts in
            guard counts.total < totalMax else { return true }
            counts.total += 1
            return false
        }
        if isFull { throw .full(totalMax) }
    }

    package func leave() { counts.withLock { $0.total -= 1 } }

    /// Counts a connection for as long as it is open.
    func enter(_ channel: any Channel) throws(Refusal) {
        try enter()
        channel.closeFuture.whenComplete { [self] _ in leave() }
    }

    /// Counts the address of a connection that has entered.
    ///
    /// - Parameters:
    ///   - address: nil is not counted.
    ///   - perAddressMax: of a listener that is tighter than the node.
    /// - Returns: what to hand to `leave(_:)` when the connection closes.
    /// - Throws: when there are too many; nothing is counted then.
    package func enter(_ address: NetworkAddress?, perAddressMax tighter: Int? = nil) throws(Refusal)
        -> NetworkAddress?
    {
        guard let address else { return nil }
        let limit: Int
        if let said = tighter ?? counts.withLock({ $0.perAddressMax }) {
            limit = said
        } else if address.isLoopback {
            return nil
        } else {
            limit = Self.perAddressMaxByDefault
        }
        let network = address.network
        let isFull = counts.withLock { counts in
            let count = counts.byNetwork[network] ?? 0
            guard count < limit else { return true }
            counts.byNetwork[network] = count + 1
            return false
        }
        if isFull { throw .fullForAddress(limit) }
        return network
    }

    /// - Parameter network: what `enter(_:)` answered.
    package func leave(_ network: NetworkAddress?) {
        guard let network else { return }
        counts.withLock { counts in
            let count = counts.byNetwork[network] ?? 0
            counts.byNetwork[network] = count > 1 ? count - 1 : nil
        }
    }
}
