package import BrokerCore
package import MQTTCodec

/// One attempt to come in, by CONNECT or by HTTP.
package struct Login: Sendable {
    package var username: MQTTString?
    /// Nil when there was none, which is not the same as an empty one.
    package var password: [UInt8]?
    /// The name in a client certificate that the TLS handshake has verified.
    package var certificateName: String?
    /// Nil when the transport has none.
    package var address: NetworkAddress?
    /// For the log; empty by HTTP.
    package var clientID: MQTTString
    /// A step of SCRAM, in the place of user name and password.
    package var exchange: AuthenticationExchange?

    package init(
        username: MQTTString? = nil,
        password: [UInt8]? = nil,
        certificateName: String? = nil,
        address: NetworkAddress? = nil,
        clientID: MQTTString = ""
    ) {
        self.username = username
        self.password = password
        self.certificateName = certificateName
        self.address = address
        self.clientID = clientID
    }

    init(_ request: AuthenticationRequest) {
        self.init(
            username: request.username,
            password: request.password,
            certificateName: request.certificateName,
            address: request.address,
            clientID: request.clientID
        )
        exchange = request.exchange
    }
}
