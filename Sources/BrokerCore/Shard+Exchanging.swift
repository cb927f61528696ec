import MQTTCodec
import NIOCore

/// What a connection remembers of its enhanced authentication.
struct EnhancedAuthentication {
    /// The one that CONNECT named: it stays for as long as the connection lasts [5:MQTT-4.12.0-5].
    let method: MQTTString
    /// What whoever answers said to himself with the last challenge; nil while none is open.
    var memory: [UInt8]?
    /// The question that is open; nil while it is the client's turn, or nothing is going on.
    var token: UInt64?
    /// Goes out with CONNACK.
    var lastWord: [UInt8]?

    init(method: MQTTString) { self.method = method }
}

/// AUTH: who the client is, found out in several steps (§3.15, §4.12).
///
/// ```
/// CONNECT (method, data) --> question --challenge--> AUTH 0x18 --> AUTH 0x18 of the client --> question --> ...
///                               |
///                               +--proven--> CONNACK 0x00        +--refused--> CONNACK 0x86, 0x87
///
/// open: AUTH 0x19 (method, data) --> question --> ... --> AUTH 0x00, or DISCONNECT 0x87
/// ```
///
/// What the steps mean is known to whoever answers the questions; here is only whose turn it is.
extension Shard {
    /// The next question of an exchange. User name and password of CONNECT are not part of it: the exchange alone counts.
    func askNext(_ connection: Connection, _ data: ByteBuffer?) {
        guard let exchange = connection.exchange else { return }
        lastQuestion &+= 1
        connection.pending?.token = lastQuestion
        connection.exchange?.token = lastQuestion
        connection.exchange?.memory = nil
        asked[lastQuestion] = connection
        outbox.questions.append(
            AuthenticationRequest(
                token: lastQuestion,
                login: Login(
                    certificateName: connection.certificateName,
                    address: connection.principal.address,
                    clientID: connection.pending?.connect.clientID ?? connection.principal.clientID,
                    exchange: AuthenticationExchange(
                        method: exchange.method,
                        data: data.map { Array($0.readableBytesView) } ?? [],
                        memory: exchange.memory
                    )
                )
            )
        )
    }

    /// It is the client's turn.
    /// - Returns: false when it cannot be told, since it takes only smaller packets.
    func challenge(_ connection: Connection, _ data: [UInt8], _ memory: [UInt8]) -> Bool {
        connection.exchange?.memory = memory
        // [5:MQTT-4.12.0-2]
        return sendAuth(.continueAuthentication, data, on: connection)
    }

    @discardableResult
    private func sendAuth(_ reason: ReasonCode, _ data: [UInt8], on connection: Connection) -> Bool {
        // [5:MQTT-4.12.0-6] never without an exchange that the client began.
        guard let exchange = connection.exchange else { return false }
        // [5:MQTT-3.15.2-1] [5:MQTT-4.12.0-5]; [5:MQTT-3.15.2-2] [5:MQTT-3.15.2-3] nothing that could be left out.
        var auth = Auth(reason: reason)
        auth.properties.authenticationMethod = exchange.method
        if !data.isEmpty { auth.properties.authenticationData = ByteBuffer(bytes: data) }
        return send(.auth(auth), on: connection)
    }

    /// A packet between CONNECT and CONNACK. Nothing is read while somebody is being asked, so this is the client's
    /// answer to a challenge, or nothing that it may send [5:MQTT-3.1.2-30].
    func receivedWhileAuthenticating(_ packet: Packet, on connection: Connection) {
        guard let exchange = connection.exchange, exchange.memory != nil, exchange.token == nil else { return }
        switch packet {
        case .auth(let auth):
            // [5:MQTT-4.12.0-3]
            guard auth.reason == .continueAuthentication else { return refuse(connection, .protocolError) }
            guard auth.properties.authenticationMethod == exchange.method else {
                return refuse(connection, .badAuthenticationMethod)
            }
            connection.isHeld = true
            askNext(connection, auth.properties.authenticationData)
        case .disconnect: close(connection, reason: nil)
        default: refuse(connection, .protocolError)
        }
    }

    // MARK: - Again

    /// AUTH of a client that is in: it begins an exchange of its own, or goes on with it. What it is known as counts
    /// until the end of that, and whatever else it sends meanwhile is done (§4.12.1).
    func authReceived(_ auth: Auth, on connection: Connection, _ now: Now) {
        // [5:MQTT-4.12.0-7] not without a method in CONNECT.
        guard let exchange = connection.exchange else {
            return fail(connection, .protocolError, because: "AUTH without an Authentication Method in CONNECT", now)
        }
        // [5:MQTT-4.12.1-1]
        guard auth.properties.authenticationMethod == exchange.method else {
            return fail(connection, .badAuthenticationMethod, now)
        }
        let isExpected =
            switch auth.reason {
            case .reAuthenticate: exchange.token == nil && exchange.memory == nil
            case .continueAuthentication: exchange.token == nil && exchange.memory != nil
            default: false
            }
        guard isExpected else { return fail(connection, .protocolError, because: "AUTH out of turn", now) }
        askNext(connection, auth.properties.authenticationData)
    }

    /// [5:MQTT-4.12.1-2] whoever fails, or turns out to be somebody else, is disconnected.
    func reauthenticated(_ connection: Connection, _ verdict: AuthenticationVerdict, _ now: Now) {
        switch verdict {
        case .proven(let username, let data) where username == connection.principal.username:
            sendAuth(.success, data, on: connection)
        case .challenge(let data, let memory):
            if !challenge(connection, data, memory) { fail(connection, .notAuthorized, now) }
        case .refused(.busy): fail(connection, .serverBusy, now)
        case .proven, .accepted, .refused: fail(connection, .notAuthorized, now)
        }
    }
}
