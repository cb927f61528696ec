/// Whose names `$SYS` has.
package enum SystemNames: String, Sendable, CaseIterable {
    /// `$SYS/broker/...`
    case mosquitto
    /// `$SYS/brokers/<node>/...`
    case emqttd
}

/// The same figures under the names that the tools of two worlds look for.
extension SystemFigures {
    /// - Returns: topics and their texts.
    func topics(_ names: SystemNames, node: String) -> [(topic: String, text: String)] {
        switch names {
        case .mosquitto: mosquittoTopics.map { ("$SYS/broker/" + $0, $1) }
        case .emqttd: [("$SYS/brokers", node)] + emqttdTopics.map { ("$SYS/brokers/\(node)/" + $0, $1) }
        }
    }

    private var mosquittoTopics: [(String, String)] {
        var topics: [(String, String)] = [
            ("version", version),
            ("uptime", "\(uptimeSeconds) seconds"),
            ("clients/total", "\(clientsConnected + clientsAway)"),
            ("clients/connected", "\(clientsConnected)"),
            ("clients/active", "\(clientsConnected)"),
            ("clients/disconnected", "\(clientsAway)"),
            ("clients/inactive", "\(clientsAway)"),
            ("clients/maximum", "\(clientsMaximum)"),
            ("clients/expired", "\(counters.sessionsExpired)"),
            ("messages/received", "\(counters.packetsReceived)"),
            ("messages/sent", "\(counters.packetsSent)"),
            ("messages/stored", "\(node.storedMessages)"),
            ("store/messages/count", "\(node.storedMessages)"),
            ("store/messages/bytes", "\(node.storedBytes)"),
            ("retained messages/count", "\(retained)"),
            ("subscriptions/count", "\(subscriptions)"),
            ("shared_subscriptions/count", "\(sharedSubscriptions)"),
            ("publish/messages/received", "\(counters.received)"),
            ("publish/messages/sent", "\(counters.sent)"),
            ("publish/messages/dropped", "\(dropped)"),
            ("publish/bytes/received", "\(counters.payloadBytesReceived)"),
            ("publish/bytes/sent", "\(counters.payloadBytesSent)"),
            ("bytes/received", "\(counters.bytesReceived)"),
            ("bytes/sent", "\(counters.bytesSent)"),
        ]
        let loads: [(String, LoadAverage)] = [
            ("messages/received", load.packetsReceived), ("messages/sent", load.packetsSent),
            ("publish/received", load.publishesReceived), ("publish/sent", load.publishesSent),
            ("publish/dropped", load.publishesDropped), ("bytes/received", load.bytesReceived),
            ("bytes/sent", load.bytesSent), ("sockets", load.opened), ("connections", load.connects),
        ]
        for (name, average) in loads {
            for (minutes, perMinute) in zip(LoadAverage.minutes, average.perMinute) {
                topics.append(("load/\(name)/\(minutes)min", Self.hundredths(perMinute)))
            }
        }
        return topics
    }

    private var emqttdTopics: [(String, String)] {
        let drops = drops
        return DropReason.allCases.map { ("metrics/messages/dropped/\($0.rawValue)", "\(drops[$0])") } + [
            ("version", version),
            ("uptime", Self.span(uptimeSeconds)),
            ("datetime", CivilTime(wall).text),
            ("sysdescr", "Drawbridge"),
            ("stats/clients/count", "\(clientsConnected)"),
            ("stats/clients/max", "\(clientsMaximum)"),
            ("stats/sessions/count", "\(clientsConnected + clientsAway)"),
            ("stats/subscriptions/count", "\(subscriptions)"),
            ("stats/retained/count", "\(retained)"),
            ("stats/alarms/count", "\(alarms)"),
            ("metrics/bytes/received", "\(counters.bytesReceived)"),
            ("metrics/bytes/sent", "\(counters.bytesSent)"),
            ("metrics/packets/received", "\(counters.packetsReceived)"),
            ("metrics/packets/sent", "\(counters.packetsSent)"),
            ("metrics/packets/connect", "\(counters.connects)"),
            ("metrics/messages/received", "\(counters.received)"),
            ("metrics/messages/sent", "\(counters.sent)"),
            ("metrics/messages/dropped", "\(dropped)"),
        ]
    }

    /// Two digits behind the point.
    static func hundredths(_ value: Double) -> String {
        let number = UInt64(min(max(0, value), 1e15) * 100 + 0.5)
        let rest = number % 100
        return "\(number / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    /// "1 days, 2 hours, 3 minutes, 4 seconds", beginning with what is not zero.
    static func span(_ seconds: UInt64) -> String {
        var text = "\(seconds % 60) seconds"
        if seconds >= 60 { text = "\(seconds / 60 % 60) minutes, " + text }
        if seconds >= 3_600 { text = "\(seconds / 3_600 % 24) hours, " + text }
        if seconds >= 86_400 { text = "\(seconds / 86_400) days, " + text }
        return text
    }
}
