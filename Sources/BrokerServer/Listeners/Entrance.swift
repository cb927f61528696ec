package import BrokerCore
package import Logging
package import NIOCore
import Synchronization

/// What every connection of a listener passes, whatever it is going to speak:
///
/// ```
/// accepted -> counted -> PROXY header -> address counted and allowed -> TLS -> protocol
/// ```
package struct Entrance: Sendable {
    /// From accept to CONNECT; one deadline through everything below.
    package var timeout: TimeAmount
    /// Counts the connections of this listener, whichever of its addresses they came to; nil: there is no limit.
    package var ownCensus: ConnectionCensus?
    /// Connections of this socket.
    package var connectionsMax = Int.max
    package var connectsPerSecond: Int?
    /// A limit that is tighter than the one of the node.
    package var perAddressMax: Int?
    /// Where clients may come from; nil: from everywhere.
    package var allowed: [AddressRange]?
    /// The header that a proxy puts before everything else; nil: there is no proxy, or it says nothing.
    package var proxyProtocol: ProxyHeader.Version?
    /// Who may send that header; empty: whoever comes.
    package var proxies = TrustedProxies.none
    package var tls: TLSDoor?

    private let census: ConnectionCensus
    private let logger: Logger
    private let refusals: RefusalLog

    package init(timeout: TimeAmount, census: ConnectionCensus = ConnectionCensus(), logger: Logger) {
        self.timeout = timeout
        self.census = census
        self.logger = logger
        self.refusals = RefusalLog(logger)
    }

    /// Why somebody is not let in, besides `ConnectionCensus.Refusal`.
    package enum Refusal: Error, Sendable {
        case notAllowed
        case notAProxy
    }

    /// Whether connections exist here that no protocol knows of yet, and which must hear of a shutdown.
    var hasStages: Bool { tls != nil || proxyProtocol != nil }

    /// Opens a connection that was just accepted; on its event loop.
    ///
    /// - Parameter open: adds the handlers of the protocol.
    /// - Throws: when it is not let in; whoever accepted it closes it.
    package func enter(
        _ channel: any Channel,
        _ open: @escaping (any Channel, Arrival) throws -> Void
    ) throws {
        let arrival = Arrival(at: channel.eventLoop.now)
        try refusing(channel, arrival) {
            try census.enter()
            channel.closeFuture.whenComplete { [census] _ in census.leave() }
            try ownCensus?.enter(channel)
        }
        guard let proxyProtocol else { return try admit(channel, arrival, open) }
        try refusing(channel, arrival) {
            guard proxies.isEmpty || proxies.includes(arrival.address(of: channel)) else { throw Refusal.notAProxy }
        }
        let gate = FirstBytesGate(arrival: arrival, timeout: timeout, logger: logger) { bytes in
            do throws(ProxyHeader.Malformed) {
                guard let header = try ProxyHeader.take(from: &bytes, proxyProtocol) else { return .wait }
                return .open { channel in
                    var arrival = arrival
                    arrival.client = header.client(behind: arrival.peer(of: channel))
                    try admit(channel, arrival, open)
                }
            } catch {
                return .refuse("PROXY protocol: \(error.reason)")
            }
        }
        try channel.pipeline.syncOperations.addHandler(gate)
    }

    /// It is known now who comes.
    private func admit(
        _ channel: any Channel,
        _ arrival: Arrival,
        _ open: @escaping (any Channel, Arrival) throws -> Void
    ) throws {
        try check(arrival, on: channel)
        try TLSDoor.enter(channel, arrival, tls, open)
    }

    /// Counts an address, and looks whether it may come in by this door. Also for one that is known later only, since
    /// an HTTP proxy names it.
    package func check(_ arrival: Arrival, on channel: any Channel) throws {
        let address = arrival.address(of: channel)
        try refusing(channel, arrival) {
            guard Self.isAllowed(address, by: allowed) else { throw Refusal.notAllowed }
            // A proxy speaks for many, who are counted when it has said who they are.
            if arrival.client == nil, proxies.includes(address) { return }
            guard let network = try census.enter(address, perAddressMax: perAddressMax) else { return }
            channel.closeFuture.whenComplete { [census] _ in census.leave(network) }
        }
    }

    /// - Parameters:
    ///   - address: nil for whoever comes through the file system, whose modes say who may.
    ///   - allowed: nil for everybody.
    static func isAllowed(_ address: NetworkAddress?, by allowed: [AddressRange]?) -> Bool {
        guard let allowed, let address else { return true }
        return allowed.contains { $0.contains(address) }
    }

    private func refusing(_ channel: any Channel, _ arrival: Arrival, _ body: () throws -> Void) throws {
        do {
            try body()
        } catch {
            refusals.refused(arrival.peer(of: channel), error)
            throw error
        }
    }
}

extension ProxyHeader {
    /// - Parameter proxy: who said it, for the log.
    fileprivate func client(behind proxy: String) -> Arrival.Client? {
        switch self {
        case .own: nil
        case .unaddressed: Arrival.Client(peer: "a local client, proxied by \(proxy)", address: nil)
        case .client(let address, let port):
            Arrival.Client(
                peer: "\(HostAndPort(host: "\(address)", port: Int(port))), proxied by \(proxy)",
                address: address
            )
        }
    }
}

/// Says who was not let in: a few lines, and then how many more.
final class RefusalLog: Sendable {
    private let rate = Mutex(LogRate())
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    func refused(_ peer: String, _ error: any Error) {
        let now = ShardRunner.monotonic
        let (hidden, isShown) = rate.withLock { ($0.takeHidden(now), $0.permits(now)) }
        if hidden > 0 {
            logger.warning("more connections refused", metadata: ["detail": "\(hidden) in the last seconds"])
        }
        guard isShown else { return }
        let detail =
            switch error {
            case ConnectionCensus.Refusal.full(let limit): "\(limit) connections are open"
            case ConnectionCensus.Refusal.fullForAddress(let limit): "\(limit) connections from this address are open"
            case Entrance.Refusal.notAllowed: "not in `allow` of the listener"
            case Entrance.Refusal.notAProxy: "not in `trusted_proxies` of the listener"
            default: "\(error)"
            }
        logger.warning("connection refused", metadata: ["peer": .string(peer), "detail": .string(detail)])
    }
}
