package import BrokerCore
import Foundation
package import NIOCore

extension SocketAddress {
    /// The address with its port, for the log.
    package var text: String {
        guard let address = networkAddress, let port else { return "local" }
        let host = address.description
        return host.utf8.contains(UInt8(ascii: ":")) ? "[" + host + "]:" + String(port) : host + ":" + String(port)
    }

    /// The address without a port, as limits and rules know it; nil for sockets of the file system.
    ///
    /// Taken from the bytes of the socket's address: by way of its text it cost an eighth of a connection.
    package var networkAddress: NetworkAddress? {
        switch self {
        case .v4(let address): NetworkAddress(v4: UInt32(bigEndian: address.address.sin_addr.s_addr))
        case .v6(let address): withUnsafeBytes(of: address.address.sin6_addr) { NetworkAddress(bytes: $0) }
        case .unixDomainSocket: nil
        }
    }
}
