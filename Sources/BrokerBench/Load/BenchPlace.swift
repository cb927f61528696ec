import BrokerServer
import NIOCore
import NIOPosix

/// Where all clients of a run connect to, and from.
struct BenchPlace: Sendable {
    /// Resolved once: a thousand clients need not ask a thousand times.
    let address: SocketAddress
    let tls: WatchedTLS?
    /// Nil in between; the system's choice when there are none.
    let sources: [SocketAddress]

    /// Looks the broker up and knocks at its door.
    ///
    /// - Throws: that nobody answers, or that an address is none of this machine.
    static func find(_ settings: BenchSettings, on group: any EventLoopGroup) async throws -> BenchPlace {
        let address = settings.client.address
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
        let sources = try settings.sources.map { source in
            do {
                return try SocketAddress(ipAddress: source, port: 0)
            } catch {
                throw BenchProblem("--ifaddr \(source) is no address.")
            }
        }
        if let wrong = sources.first(where: { $0.protocol != remote.protocol }) {
            throw BenchProblem("--ifaddr \(wrong) and the broker's address \(remote) are of different families.")
        }
        return BenchPlace(address: remote, tls: try settings.client.watchedTLS(), sources: sources)
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
