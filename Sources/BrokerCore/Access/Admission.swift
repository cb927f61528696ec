package import MQTTCodec

/// What a CONNECT has to show before it is accepted.
package enum Admission: Sendable {
    /// Nobody is asked, and whoever says a user name is believed. For tests, and for simulations of whole sites.
    case believing
    /// Nobody is asked, and everybody is anonymous: a user name that nobody verified is no name.
    case anonymous
    /// The runner is asked for each CONNECT.
    case asking
}

/// One attempt to come in, by CONNECT or by HTTP: what somebody shows, and where he comes from.
package struct Login: Sendable {
    package var username: MQTTString?
    /// Nil when there was none, which is not the same as an empty one.
    package var password: [UInt8]?
    /// The name in a client certificate that the TLS handshake has verified.
    package var certificateName: String?
    /// Nil when the transport has none.
    package var address: NetworkAddress?
    /// What the client calls itself; empty when it asks for an id, and by HTTP.
    package var clientID: MQTTString
    /// A step of an exchange of AUTH packets, in the place of user name and password; nil for a CONNECT that names no
    /// Authentication Method.
    package var exchange: AuthenticationExchange?

    package init(
        username: MQTTString? = nil,
        password: [UInt8]? = nil,
        certificateName: String? = nil,
        address: NetworkAddress? = nil,
        clientID: MQTTString = "",
        exchange: AuthenticationExchange? = nil
    ) {
        self.username = username
        self.password = password
        self.certificateName = certificateName
        self.address = address
        self.clientID = clientID
        self.exchange = exchange
    }
}

/// Asks the runner who a client is; answered by `Shard.authenticated`, in this turn or in any later one.
package struct AuthenticationRequest: Sendable {
    /// Names the question in its answer.
    package let token: UInt64
    package let login: Login
}

/// A step of enhanced authentication (§4.12): what the client says now, and what whoever answers said to himself with
/// his last challenge.
package struct AuthenticationExchange: Sendable, Equatable {
    package let method: MQTTString
    /// Empty when the packet had none.
    package let data: [UInt8]
    /// Nil in the first step.
    package let memory: [UInt8]?

    package init(method: MQTTString, data: [UInt8], memory: [UInt8]?) {
        self.method = method
        self.data = data
        self.memory = memory
    }
}

/// The answer to an `AuthenticationRequest`.
package enum AuthenticationVerdict: Sendable, Equatable {
    /// It is who it says, under this user name; nil lets it in as nobody in particular.
    case accepted(username: MQTTString?)
    /// The end of an exchange: it is this user, and `data` is the last word to it.
    case proven(username: MQTTString, data: [UInt8])
    /// The exchange goes on: `data` goes to the client, and `memory` comes back with its answer.
    case challenge(data: [UInt8], memory: [UInt8])
    case refused(AuthenticationRefusal)
}

package enum AuthenticationRefusal: Sendable, Equatable {
    /// User name and password, or a token, do not fit.
    case badCredentials
    /// It showed nothing at all, or nothing that is known here.
    case notAuthorized
    /// Too many others are being asked about: it may try again.
    case busy

    /// Version 3 says the same as return codes 4, 5 and 3 (§3.2.2.3).
    var reason: ReasonCode {
        switch self {
        case .badCredentials: .badUserNameOrPassword
        case .notAuthorized: .notAuthorized
        case .busy: .serverBusy
        }
    }
}

/// A valid CONNECT whose sender is being asked about.
final class PendingConnect {
    var token: UInt64
    /// Without its password, and with bytes of its own: it may have to wait.
    let connect: Connect

    init(token: UInt64, connect: Connect) {
        self.token = token
        self.connect = connect
    }
}
