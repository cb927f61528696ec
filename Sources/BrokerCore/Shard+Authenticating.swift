package import MQTTCodec
import NIOCore

/// The step between CONNECT and CONNACK in which somebody else decides who the client is.
///
/// ```
/// waitingForConnect --valid CONNECT--> authenticating --accepted--> accepted --> open
///                                          |
///                                          +--refused, deadline, closed--> closing
/// ```
///
/// While it lasts nothing is read from the connection, no session is touched (whoever does not know the password must
/// not throw out whoever does), and the deadline for CONNECT goes on running.
extension Shard {
    /// Leaves the question in the outbox. A connection that closes meanwhile takes it back.
    func ask(about connect: Connect, on connection: Connection) {
        lastQuestion &+= 1
        var kept = connect
        kept.password = nil
        kept.will = connect.will?.owned
        connection.pending = PendingConnect(token: lastQuestion, connect: kept)
        connection.state = .authenticating
        connection.isHeld = true
        if let method = connect.properties.authenticationMethod {
            connection.exchange = EnhancedAuthentication(method: method)
            return askNext(connection, connect.properties.authenticationData)
        }
        asked[lastQuestion] = connection
        outbox.questions.append(
            AuthenticationRequest(
                token: lastQuestion,
                login: Login(
                    username: connect.username,
                    password: connect.password.map { Array($0.readableBytesView) },
                    certificateName: connection.certificateName,
                    address: connection.principal.address,
                    clientID: connect.clientID
                )
            )
        )
    }

    /// The answer to a question of the outbox. One about a connection that is gone is ignored.
    package func authenticated(_ token: UInt64, _ verdict: AuthenticationVerdict, now: Now) {
        guard let connection = asked.removeValue(forKey: token) else { return }
        connection.exchange?.token = nil
        if connection.isOpen { return reauthenticated(connection, verdict, now) }
        guard let pending = connection.pending, connection.state == .authenticating else { return }
        if case .challenge(let data, let memory) = verdict {
            guard challenge(connection, data, memory) else { return refuse(connection, .notAuthorized) }
            // The answer is read, and nothing is done with anything else.
            return release(connection)
        }
        connection.pending = nil
        switch verdict {
        case .challenge: break
        case .accepted(let username):
            if isDraining { return refuseDraining(connection) }
            // Whoever asked for an exchange is let in by none but that.
            guard connection.exchange == nil else { return refuse(connection, .notAuthorized) }
            accept(pending.connect, as: username, on: connection, now)
        case .proven(let username, let data):
            if isDraining { return refuseDraining(connection) }
            connection.exchange?.lastWord = data
            accept(pending.connect, as: username, on: connection, now)
        case .refused(let refusal):
            // [5:MQTT-3.1.4-2] The log of it is the business of who refused: a storm of logins must not become a storm
            // of lines.
            refuse(connection, refusal.reason, isNoticed: false)
        }
    }

    /// These users are no longer who they were: their passwords were changed, or they are gone. Whoever came in as one of
    /// them is closed, and may come again as what it is now. A certificate of the same name is another matter.
    ///
    /// - Complexity: O(sessions).
    package func revoke(_ usernames: Set<MQTTString>, now: Now) {
        for case let session? in sessions {
            guard let connection = session.connection, session.link == nil,
                let username = connection.principal.username, usernames.contains(username),
                connection.certificateName.map({ MQTTString($0) }) != username
            else {
                continue
            }
            outbox.notices.append(Notice(.info, "login revoked", clientID: session.clientID, detail: connection.peer))
            fail(connection, .notAuthorized, now)
        }
    }

    func forgetQuestion(of connection: Connection) {
        if let token = connection.exchange?.token { asked[token] = nil }
        guard let pending = connection.pending else { return }
        asked[pending.token] = nil
        connection.pending = nil
    }
}
