import BrokerServer
import NIOCore
import NIOPosix

/// Where all clients of a run connect to, and from.
struct BenchPlace: Sendable {
    /// A broker as it was named, and as it was found.
    struct Broker: Sendable {
        let address: LinkAddress
        /// Resolved once: a thousand clients need not ask a thousand times.
        let found: SocketAddress
    }

    /// One at least; clients take them in turn.
    let brokers: [Broker]
    let tls: WatchedTLS?
    /// Nil in between; the system's choice when there are none.
    let sources: [SocketAddress]

    /// Looks the brokers up and knocks at their doors.
    ///
    /// - Throws: that nobody answers, or that an address is none of this machine.
    static func find(_ settings: BenchSettings, on group: any EventLoopGroup) async throws -> BenchPlace {
        var brokers: [Broker] = []
        for host in settings.hosts {
            var address = settings.client.address
            address.host = host
            brokers.append(Broker(address: address, found: try await find(address, on: group)))
        }
        let sources = try settings.sources.map { source in
            do {
                return try SocketAddress(ipAddress: source, port: 0)
            } catch {
                throw BenchProblem("--ifaddr \(source) is no address.")
            }
        }
        for broker in brokers {
            if let wrong = sources.first(where: { $0.protocol != broker.found.protocol }) {
                throw BenchProblem(
                    "--ifaddr \(wrong) and the broker's address \(broker.found) are of different families.")
            }
        }
        return BenchPlace(brokers: brokers, tls: try settings.client.watchedTLS(), sources: sources)
    }

    private static func find(_ address: LinkAddress, on group: any EventLoopGroup) async throws -> SocketAddress {
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: group)
                .connectTimeout(.seconds(10))
                .connect(host: address.host, port: address.port).get()
        } catch {
            throw BenchProblem("\(address): \(BenchProblem.words(ClientFailure(.network(error))))")
        }
        let remote = channel.remoteAddress
        try await channel.close()
        guard let remote else { throw BenchProblem("\(address): no address") }
        return remote
    }
}

/// Why a run could not take place, for whoever started it.
package struct BenchProblem: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }

    /// What a failure says behind words that say already that it is one.
    static func words(_ failure: ClientFailure) -> String {
        let text = failure.description
        return text.hasPrefix("Error: ") ? String(text.dropFirst("Error: ".count)) : text
    }
}
