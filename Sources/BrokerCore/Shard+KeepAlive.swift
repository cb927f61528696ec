import MQTTCodec

/// The clock of a connection: keep-alive (§3.1.2.10), and whatever else has to happen in time.
extension Shard {
    func armKeepAlive(_ connection: Connection) {
        setTimer(of: connection, connection.lastReceived.advanced(by: connection.keepAlive * 3 / 2))
    }

    func setTimer(of connection: Connection, _ instant: Instant) {
        timers.cancel(connection.timer)
        connection.timer = timers.add(.connection(connection), at: instant)
    }

    func checkDeadline(of connection: Connection, _ now: Now) {
        connection.timer = nil
        guard connection.state != .closing else { return }
        switch connection.state {
        case .waitingForConnect:
            outbox.notices.append(Notice(.info, "no CONNECT in time", detail: "from \(connection.peer)"))
            close(connection, reason: nil)
        case .authenticating:
            outbox.notices.append(Notice(.info, "no verdict on a login in time", detail: "from \(connection.peer)"))
            refuse(connection, .serverBusy, isNoticed: false)
        case .accepted:
            armAgain(connection, now)
        case .open where !connection.stalled.isEmpty:
            // [311:MQTT-4.8.0-2] There was no room for what it publishes.
            outbox.notices.append(Notice(.warning, "no room in time", clientID: connection.session?.clientID))
            fail(connection, .quotaExceeded, now)
        case .open where connection.isHeld || connection.isThrottled || connection.wasHeld:
            // We are the ones who did not read: its clock stood still.
            connection.wasHeld = false
            armAgain(connection, now)
        default:
            let silent = now.instant.since(connection.lastReceived)
            guard silent >= connection.keepAlive * 3 / 2 else { return armKeepAlive(connection) }
            // [5:MQTT-3.1.2-22] [311:MQTT-3.1.2-24]
            outbox.notices.append(Notice(.info, "keep-alive timeout", clientID: connection.session?.clientID))
            fail(connection, .keepAliveTimeout, now)
        }
    }

    private func armAgain(_ connection: Connection, _ now: Now) {
        connection.lastReceived = now.instant
        armKeepAlive(connection)
    }
}
