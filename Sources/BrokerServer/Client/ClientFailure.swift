import Foundation
import NIOCore
import NIOPosix

/// Why a client has no connection, as people read it, and as scripts that know mosquitto_pub's exit codes.
package enum ClientFailure: Sendable, Equatable, CustomStringConvertible {
    /// Nobody takes the connection, in the words of the system.
    case network(String)
    case unknownHost
    /// TLS or the upgrade to WebSocket.
    case handshake(String)
    /// The connection stood, and broke.
    case lost(String?)

    package init(_ failure: Dialer.Failure) {
        switch failure {
        case .handshake(let reason):
            // The advice is for those who write configuration files.
            let words = reason.replacing(TLSFailure.serverNameAdvice, with: "; --insecure takes any name")
            self = .handshake(words)
        case .network(let error):
            let isUnknown = (error as? NIOConnectionError)?.connectionErrors.isEmpty ?? false
            self = isUnknown ? .unknownHost : .network(Dialer.Failure.words(error))
        }
    }

    package var description: String {
        switch self {
        case .network(let words): "Error: \(words)"
        case .unknownHost: "Unable to connect (Lookup error.)."
        case .handshake(let reason): "Error: \(reason)"
        case .lost(nil): "Error: The connection was lost."
        case .lost(let reason?): "Error: The connection was lost: \(reason)."
        }
    }

    package var exitCode: Int32 {
        switch self {
        case .network, .unknownHost: 1
        case .handshake: 8
        case .lost: 7
        }
    }
}
