package import BrokerCore
package import NIOCore

extension SocketAddress {
    /// The address with its port, for the log.
    package var text: String {
        guard let address = networkAddress, let port else { return "local" }
        return HostAndPort(host: "\(address)", port: port).description
    }

    /// The address without a port, as limits and rules know it; nil for sockets of the file system.
    package var networkAddress: NetworkAddress? { ipAddress.flatMap { NetworkAddress($0) } }
}
